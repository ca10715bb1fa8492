"""What plans say of the pairs that groups selected from before, and when they stop saying it."""

import datetime
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from unittest import mock

from neutron_lib.plugins import directory
from oslo_config import cfg

from portchain import conf
from portchain.core.model import HostReport
from portchain.dataplane.plan import EarlierPairs
from portchain.db import pair_sets, realisation, snapshots
from portchain.drivers.hosts import planning
from portchain.drivers.ovs.driver import OvsDriver
from portchain.plugin import PortChainPlugin
from portchain.rpc.agent import AgentClient
from portchain.rpc.contract import HostKnowledge, PlanUpdate
from tests.unit.api.base import HOST, ApiTestCase

NEW, ALL = 300, 7440  # the defaults of the options, in seconds


class EarlierPairsCase(ApiTestCase):
    """A chain through a group with one of three pairs, and what is sent to its host."""

    drivers = ("ovs",)

    def setUp(self) -> None:
        super().setUp()
        cfg.CONF.set_override("underlay_mtu", 9000, conf.GROUP)
        self.sent: list[Mapping[str, PlanUpdate]] = []
        apply = mock.patch.object(
            AgentClient, "apply", lambda _self, _context, updates: self.sent.append(updates)
        )
        apply.start()
        self.addCleanup(apply.stop)
        self.now = datetime.datetime(2026, 1, 1)
        clock = mock.patch.object(pair_sets.timeutils, "utcnow", lambda: self.now)
        clock.start()
        self.addCleanup(clock.stop)

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client")
        self.bind(self.client)
        self.pairs = sorted(self.bound_pair(device) for device in ("vm1", "vm2", "vm3"))
        self.group_id = self.create("port_pair_group", port_pairs=self.pairs[:1])["id"]
        self.chain_id = self.new_chain(80, self.group_id)

    def bound_pair(self, device: str) -> str:
        pair = self.pair(self.net, device)
        for side in ("ingress", "egress"):
            self.bind(pair[side])
        an_id: str = pair["id"]
        return an_id

    def new_chain(self, number: int, *groups: str, **attributes: Any) -> str:
        classifier = self.classifier(self.client, number)["id"]
        chain = self.create(
            "port_chain", port_pair_groups=groups, flow_classifiers=[classifier], **attributes
        )
        an_id: str = chain["id"]
        return an_id

    def set_pairs(self, *numbers: int) -> None:
        chosen = [self.pairs[number] for number in numbers]
        self.update("port_pair_group", self.group_id, port_pairs=chosen)

    def weigh(self, number: int, weight: int) -> None:
        parameters = {"weight": weight}
        self.update("port_pair", self.pairs[number], service_function_parameters=parameters)

    def report(self, number: int, status: str) -> None:
        """Report the status of a pair's ingress port, as its agent does."""
        port = self.show("port_pair", self.pairs[number])["ingress"]
        directory.get_plugin().update_port_status(self.context, port, status, HOST)

    def earlier(self, chain: str = "") -> list[tuple[EarlierPairs, ...]]:
        """What each hop of the plan that was sent last selects from before."""
        wanted = chain or self.chain_id
        plans = (
            plan
            for updates in reversed(self.sent)
            for plan in updates.get(HOST, PlanUpdate()).chains
            if plan.id == wanted
        )
        return [hop.earlier_pairs for path in next(plans).paths for hop in path.hops]

    def past(self, *numbers: int, new_flows: bool = True, **weights: int) -> EarlierPairs:
        """The set of these pairs, as an earlier one; a keyword such as `p1` gives a weight."""
        return EarlierPairs(
            tuple((self.pairs[n], weights.get(f"p{n}", 1)) for n in sorted(numbers)), new_flows
        )

    def in_force(self) -> list[tuple[tuple[str, int], ...]]:
        """The sets in force, as another server would read them."""
        with pair_sets.db_api.CONTEXT_READER.using(self.context) as session:
            sets = pair_sets._load(session, [self.group_id])[self.group_id]
        return [one.weights for one in sets if not one.replaced]

    def wait(self, seconds: int) -> None:
        """Let time pass, and run the driver's periodic task."""
        self.now += datetime.timedelta(seconds=seconds)
        self.run_task()

    def run_task(self) -> None:
        for task in self.plugin.drivers.periodic_tasks():
            task()

    def driver(self) -> OvsDriver:
        (only,) = self.plugin.drivers._drivers.values()
        assert isinstance(only, OvsDriver)
        return only

    def revision(self) -> int:
        (snapshot,) = snapshots.load(self.context, [self.chain_id])
        return snapshot.chain.revision


class EarlierPairsTest(EarlierPairsCase):
    def test_a_new_group_has_no_history(self) -> None:
        assert self.in_force() == [((self.pairs[0], 1),)]
        assert self.earlier(self.new_chain(81, self.group_id)) == [()]

    def test_a_pair_that_joins_or_leaves(self) -> None:
        self.set_pairs(0, 1)
        assert self.earlier() == [(self.past(0),)]
        self.set_pairs(1)
        assert self.earlier() == [(self.past(0), self.past(0, 1))]
        assert self.in_force() == [((self.pairs[1], 1),)]

    def test_a_set_that_returns_is_remembered_as_often_as_it_was_in_force(self) -> None:
        one, both = self.past(0), self.past(0, 1)
        self.set_pairs(0, 1)
        self.set_pairs(0)
        assert self.earlier() == [(one, both)]
        self.set_pairs(0, 1)
        assert self.earlier() == [(one, both, one)]

    def test_both_directions_of_a_symmetric_chain_know_the_same(self) -> None:
        chain = self.new_chain(81, self.group_id, chain_parameters={"symmetric": True})
        self.set_pairs(0, 1)
        assert self.earlier(chain) == [(self.past(0),)] * 2

    def test_weights(self) -> None:
        self.set_pairs(0, 1)
        self.weigh(1, 3)
        assert self.earlier() == [(self.past(0), self.past(0, 1))]
        self.weigh(1, 0)
        assert self.earlier() == [(self.past(0), self.past(0, 1), self.past(0, 1, p1=3))]
        assert self.in_force() == [((self.pairs[0], 1), (self.pairs[1], 0))]

    def test_the_order_of_pairs_and_their_names_change_nothing(self) -> None:
        self.set_pairs(0, 1)
        before = self.earlier()
        self.set_pairs(1, 0)
        self.update("port_pair", self.pairs[0], name="new")
        assert self.earlier() == before

    def test_a_pair_whose_port_is_down_leaves_and_comes_back(self) -> None:
        self.set_pairs(0, 1)
        self.wait(ALL)
        self.report(1, "DOWN")
        assert self.earlier() == [(self.past(0, 1),)]
        self.report(1, "ACTIVE")
        assert self.earlier() == [(self.past(0, 1), self.past(0))]
        self.report(1, "BUILD")
        self.report(1, "ACTIVE")
        assert self.earlier() == [(self.past(0, 1), self.past(0))]

    def test_a_group_without_pairs_for_a_while_has_not_changed(self) -> None:
        self.report(0, "DOWN")
        assert self.earlier() == [()]
        assert self.in_force() == [()]
        self.report(0, "ACTIVE")
        assert self.earlier() == [()]
        self.report(0, "DOWN")
        self.set_pairs(1)
        assert self.earlier() == [(self.past(0),)]

    def test_all_chains_of_a_group_know_the_same(self) -> None:
        other = self.new_chain(81, self.group_id)
        self.set_pairs(0, 1)
        assert self.earlier() == self.earlier(other) == [(self.past(0),)]
        late = self.new_chain(82, self.group_id)
        assert self.earlier(late) == [(self.past(0),)]

    def test_taps_are_not_recorded(self) -> None:
        tap = self.create("port_pair_group", port_pairs=self.pairs[1:2], tap_enabled=True)["id"]
        chain = self.new_chain(81, self.group_id, tap)
        self.update("port_pair_group", tap, port_pairs=self.pairs[2:])
        assert self.earlier(chain) == [(), ()]
        assert all(tap not in row for row in self.rows()["portchain_pair_sets"])

    def test_at_most_eight_earlier_sets_are_kept(self) -> None:
        self.set_pairs(0, 1)
        for weight in range(2, 12):
            self.weigh(1, weight)
        last = tuple(self.past(0, 1, p1=weight) for weight in range(4, 11))
        assert self.earlier() == [(self.past(0), *last)], "the oldest says where old flows are"
        assert len(self.rows()["portchain_pair_sets"]) == 9

    def test_a_deleted_group_leaves_nothing(self) -> None:
        self.set_pairs(0, 1)
        self.delete("port_chain", self.chain_id)
        self.delete("port_pair_group", self.group_id)
        assert self.rows()["portchain_pair_sets"] == []

    def test_an_older_snapshot_brings_nothing_back(self) -> None:
        """Another server was slow: it plans what the group was before the last change."""
        (old,) = snapshots.load(self.context, [self.chain_id])
        self.set_pairs(0, 1)
        rows = self.rows()["portchain_pair_sets"]
        planned = self.driver()._planner().plan(self.context, [old]).planned
        assert self.rows()["portchain_pair_sets"] == rows
        assert planned[0].plan.paths[0].hops[0].earlier_pairs == ()

    def test_a_host_that_asks_hears_the_same(self) -> None:
        self.set_pairs(0, 1)
        (plan,) = self.driver()._sync(self.context, HOST, HostKnowledge({})).chains
        assert [hop.earlier_pairs for hop in plan.paths[0].hops] == self.earlier()

    def test_a_port_that_was_unplugged_before_a_sync_is_recorded_by_it(self) -> None:
        """The host asks between the change of the port and the notification of it."""
        self.set_pairs(0, 1)
        with mock.patch.object(PortChainPlugin, "_refresh_chains_of"):
            self.report(1, "DOWN")
        (plan,) = self.driver()._sync(self.context, HOST, HostKnowledge({})).chains
        assert [hop.earlier_pairs for hop in plan.paths[0].hops] == [
            (self.past(0), self.past(0, 1))
        ]

    # Time

    def test_earlier_pairs_are_forgotten_in_two_steps_once_each(self) -> None:
        self.set_pairs(0, 1)
        start = self.revision()
        self.wait(NEW - 1)
        assert self.revision() == start
        self.wait(1)
        assert self.earlier() == [(self.past(0, new_flows=False),)]
        assert self.revision() == start + 1
        self.wait(ALL - NEW - 1)
        assert self.revision() == start + 1
        self.wait(1)
        assert self.earlier() == [()]
        assert len(self.rows()["portchain_pair_sets"]) == 1
        assert self.revision() == start + 2
        sent = len(self.sent)
        self.wait(ALL)
        assert (self.revision(), len(self.sent)) == (start + 2, sent)

    def test_all_sets_are_remembered_as_long_as_the_last_one(self) -> None:
        """A slot may be back at the pair of the first: its flows were never learned."""
        self.set_pairs(0, 1)
        self.wait(100)
        self.set_pairs(1)
        self.wait(NEW - 1)
        assert self.earlier() == [(self.past(0), self.past(0, 1))]
        self.wait(1)
        both = self.past(0, new_flows=False), self.past(0, 1, new_flows=False)
        assert self.earlier() == [both]
        self.wait(ALL - NEW - 1)
        assert self.earlier() == [both]
        self.wait(1)
        assert self.earlier() == [()]

    def test_a_server_that_was_away_for_long_forgets_at_once(self) -> None:
        self.set_pairs(0, 1)
        self.wait(ALL)
        assert self.earlier() == [()]

    def test_a_chain_stays_active_while_it_forgets(self) -> None:
        """Also if a host does not answer; the host asks for the plan when it is back."""
        self.set_pairs(0, 1)
        self.confirm()
        for seconds in (NEW, ALL):
            known = HostKnowledge(realisation.expected_on(self.context, HOST))
            assert self.driver()._sync(self.context, HOST, known) == PlanUpdate()
            self.wait(seconds)
            assert self.show("port_chain", self.chain_id)["status"] == "ACTIVE"
            (plan,) = self.driver()._sync(self.context, HOST, known).chains
            assert [hop.earlier_pairs for hop in plan.paths[0].hops] == self.earlier()
        self.confirm()
        assert self.show("port_chain", self.chain_id)["status"] == "ACTIVE"

    def test_a_chain_whose_host_has_not_confirmed_a_change_waits_for_it_meanwhile(self) -> None:
        self.set_pairs(0, 1)
        for seconds in (NEW, ALL):
            self.wait(seconds)
            shown = self.show("port_chain", self.chain_id)
            assert (shown["status"], shown["status_reason"]) == ("BUILD", f"waiting for {HOST}")
        self.confirm()
        assert self.show("port_chain", self.chain_id)["status"] == "ACTIVE"

    def test_a_chain_that_cannot_be_planned_without_its_earlier_pairs_is_in_error(self) -> None:
        self.set_pairs(0, 1)
        with mock.patch.object(planning, "plan_chain", side_effect=KeyError("a mistake")):
            self.wait(NEW)
        shown = self.show("port_chain", self.chain_id)
        assert (shown["status"], "a mistake" in shown["status_reason"]) == ("ERROR", True)
        self.plugin.drivers.update_port_chain(self.context, [self.chain_id])
        assert self.earlier() == [(self.past(0, new_flows=False),)]

    def confirm(self) -> None:
        expected = realisation.expected_on(self.context, HOST)
        reports = [HostReport(chain, revision) for chain, revision in expected.items()]
        realisation.record_reports(self.context, HOST, reports)

    def test_sets_of_a_group_without_chains_are_forgotten(self) -> None:
        self.set_pairs(0, 1)
        self.delete("port_chain", self.chain_id)
        self.wait(ALL)
        assert len(self.rows()["portchain_pair_sets"]) == 1

    def test_a_chain_that_no_driver_can_realise_is_left_alone(self) -> None:
        self.set_pairs(0, 1)
        start, sent = self.revision(), len(self.sent)
        refused = mock.patch.object(
            self.driver(), "check_accepted_chain", side_effect=KeyError("x")
        )
        with refused:
            self.wait(ALL)
        assert (self.revision(), len(self.sent)) == (start, sent)
        assert len(self.rows()["portchain_pair_sets"]) == 1

    def test_another_drivers_groups_are_left_to_it(self) -> None:
        self.set_pairs(0, 1)
        self.now += datetime.timedelta(seconds=ALL)
        rows = self.rows()

        def none(_context: Any, _ids: Collection[str] | None) -> Iterator[Any]:
            return iter(())

        self.driver()._forget_earlier_pairs(self.context, none)
        assert self.rows() == rows

    def test_two_servers_forget_once(self) -> None:
        self.set_pairs(0, 1)
        start = self.revision()
        self.now += datetime.timedelta(seconds=NEW)
        times = pair_sets.AffinityTimes(ALL, NEW)
        due = pair_sets.due(self.context, times)
        assert due == {self.group_id: frozenset({self.chain_id})}
        arguments = [self.group_id], [self.chain_id], times
        assert pair_sets.age(self.context, *arguments)
        assert not pair_sets.age(self.context, *arguments)
        assert self.revision() == start + 1
        assert pair_sets.due(self.context, times) == {}

    def test_options(self) -> None:
        cfg.CONF.set_override("new_flow_affinity_time", 0, conf.GROUP)
        self.set_pairs(0, 1)
        assert self.earlier() == [(self.past(0, new_flows=False),)]
        cfg.CONF.set_override("flow_affinity_time", 10, conf.GROUP)
        cfg.CONF.set_override("new_flow_affinity_time", 20, conf.GROUP)
        self.wait(10)
        assert self.earlier() == [()]
        cfg.CONF.set_override("flow_affinity_time", 0, conf.GROUP)
        self.set_pairs(1)
        assert self.earlier() == [()]
        assert len(self.rows()["portchain_pair_sets"]) == 1

    # Cost

    def test_a_plan_without_changes_costs_one_query_for_all_groups(self) -> None:
        more = [self.create("port_pair_group", port_pairs=[pair])["id"] for pair in self.pairs[1:]]
        self.new_chain(81, self.group_id, *more)
        ids = [chain["id"] for chain in self.list_all("port_chain")]
        loaded = snapshots.load(self.context, ids)
        with self.statements() as seen:
            self.driver().refresh_port_chains(self.context, loaded)
        ours = [statement for statement in seen if "portchain_pair_sets" in statement]
        assert len(ours) == 1, ours
        assert ours[0].startswith("SELECT")

    def test_a_task_without_work_costs_one_query(self) -> None:
        self.set_pairs(0, 1)
        with self.statements() as seen:
            self.run_task()
        assert len(seen) == 1, seen

    def test_a_change_costs_as_much_whatever_the_number_of_chains(self) -> None:
        def cost(*numbers: int) -> int:
            with self.statements() as seen:
                self.set_pairs(*numbers)
            return len([one for one in seen if "portchain_pair_sets" in one])

        few = cost(0, 1)
        for number in range(81, 84):
            self.new_chain(number, self.group_id)
        assert cost(1, 2) == few
