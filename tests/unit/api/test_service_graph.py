"""Service graphs: requests, responses and calls of drivers."""

from typing import Any

from oslo_config import cfg
from oslo_utils import uuidutils

from portchain.db import snapshots
from tests.unit.api.base import OTHER_PROJECT
from tests.unit.api.test_drivers import DriverTestCase, MinimalDriver, RecordingDriver


class ServiceGraphTest(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.driver = RecordingDriver()
        self.use(self.driver)

    def prepare(self) -> None:
        super().prepare()
        self.client = self.port(self.net, "client")

    def chains(self, *numbers: int, **attributes: Any) -> list[str]:
        """Create chains of one function each, for one destination port each; return their ids."""
        made = []
        for number in numbers:
            classifier = self.classifier(self.client, number)["id"]
            group = self.group(self.net)["id"]
            chain = self.create(
                "port_chain",
                port_pair_groups=[group],
                flow_classifiers=[classifier],
                **attributes,
            )
            made.append(chain["id"])
        self.driver.calls.clear()
        return made

    def graph(self, port_chains: dict[str, list[str]], **attributes: Any) -> Any:
        return self.create("service_graph", port_chains=port_chains, **attributes)

    def refused(self, *words: str, expect: int = 400, **attributes: Any) -> None:
        before = self.rows()
        message = self.create("service_graph", expect=expect, **attributes)["message"]
        assert all(word in message for word in words), message
        assert self.rows() == before

    def test_branch_and_join(self) -> None:
        one, two, three, four = self.chains(1, 2, 3, 4)
        wanted = {one: [three, two], two: [four], three: [four]}
        graph = self.graph(wanted, name="SG1", description="text")
        assert graph["port_chains"] == wanted
        assert (graph["name"], graph["description"]) == ("SG1", "text")
        assert self.show("service_graph", graph["id"]) == graph
        assert self.list_all("service_graph", "name=SG1") == [graph]

    def test_only_name_and_description_can_be_updated(self) -> None:
        one, two = self.chains(1, 2)
        graph = self.graph({one: [two]})
        self.driver.calls.clear()
        changed = self.update("service_graph", graph["id"], name="new", description="text")
        expected = graph | {"name": "new", "description": "text"}
        # The time of the update is shown if another test has loaded Neutron's time stamps.
        assert changed == expected | {key: changed[key] for key in ("updated_at",) if key in graph}
        assert "port_chains" in str(
            self.update("service_graph", graph["id"], expect=400, port_chains={two: [one]})
        )
        assert self.driver.calls == []

    def test_loops_are_refused(self) -> None:
        one, two, three = self.chains(1, 2, 3)
        for loop in (
            {one: [one]},
            {one: [two], two: [one]},
            {one: [two], two: [three], three: [two]},
        ):
            self.refused("port_chains", "loop", two if len(loop) > 1 else one, port_chains=loop)

    def test_duplicate_and_missing_destinations_are_refused(self) -> None:
        one, two = self.chains(1, 2)
        self.refused("port_chains", two, "more than once", port_chains={one: [two, two]})
        self.refused("port_chains", one, port_chains={one: []})
        self.refused("port_chains", port_chains={})
        self.refused("port_chains")

    def test_wrong_values_are_refused(self) -> None:
        one, two = self.chains(1, 2)
        for wrong in (
            None,
            "all",
            [one, two],
            {one: two},
            {one: {two: []}},
            {one: None},
            {one: [None]},
            {one: [[two]]},
            {one: ["two"]},
            {"one": [two]},
            {"": [two]},
            3,
        ):
            self.refused("port_chains", port_chains=wrong)

    def test_chains_must_exist_and_be_visible(self) -> None:
        (one,) = self.chains(1)
        as_other = {"project": OTHER_PROJECT}
        group = self.create("port_pair_group", as_=as_other)["id"]
        foreign = self.create("port_chain", as_=as_other, port_pair_groups=[group])["id"]
        for unknown in (uuidutils.generate_uuid(), foreign):
            self.refused(unknown, expect=404, port_chains={one: [unknown]})
            self.refused(unknown, expect=404, port_chains={unknown: [one]})

    def test_a_chain_is_in_one_graph_only(self) -> None:
        one, two, three = self.chains(1, 2, 3)
        graph = self.graph({one: [two]})
        for wrong in ({two: [three]}, {three: [one]}):
            self.refused("port_chains", graph["id"], expect=409, port_chains=wrong)

    def test_chains_have_one_correlation(self) -> None:
        (one,) = self.chains(1)
        (two,) = self.chains(2, chain_parameters={"correlation": "nsh"})
        self.refused("port_chains", "correlation", port_chains={one: [two]})

    def test_classifiers_behind_a_branching_point_must_not_overlap(self) -> None:
        """Logical source ports do not count there: nobody knows who sent a packet."""
        one, two = self.chains(1, 2)
        other = self.classifier(self.port(self.net, "other"), 2)["id"]
        group = self.group(self.net)["id"]
        three = self.create("port_chain", port_pair_groups=[group], flow_classifiers=[other])["id"]
        self.refused("port_chains", two, three, other, port_chains={one: [two, three]})
        # In a row, they do not branch.
        self.graph({one: [two], two: [three]})

    def test_a_chain_of_a_graph_cannot_be_deleted(self) -> None:
        one, two = self.chains(1, 2)
        graph = self.graph({one: [two]})["id"]
        for chain in (one, two):
            assert graph in self.delete("port_chain", chain, expect=409)["message"]
        self.delete("service_graph", graph)
        self.show("service_graph", graph, expect=404)
        self.delete("port_chain", one)
        self.delete("port_chain", two)

    def test_changes_of_chains_are_checked_against_the_graph(self) -> None:
        one, two, three = self.chains(1, 2, 3)
        self.graph({one: [two, three]})
        like_two = self.classifier(self.port(self.net, "other"), 2)["id"]
        before = self.rows()
        message = self.update("port_chain", three, expect=400, flow_classifiers=[like_two])
        assert "flow_classifiers" in message["message"]
        assert two in message["message"]
        assert self.rows() == before

    # Calls of drivers

    def new_calls(self) -> dict[str, Any]:
        """Return the snapshots of the calls of the driver since the last time, by chain."""
        new_calls = {one.chain.id: one for _, snapshots in self.driver.calls for one in snapshots}
        self.driver.calls.clear()
        return new_calls

    @staticmethod
    def around(snapshot: Any) -> tuple[list[str], list[str]]:
        predecessors = [chain.id for chain in snapshot.predecessors]
        return predecessors, [chain.id for chain in snapshot.successors]

    def chains_by_port(self) -> dict[str, set[str]]:
        """Return for each port the chains whose snapshots have it."""
        chains = [chain["id"] for chain in self.list_all("port_chain")]
        seen_by: dict[str, set[str]] = {}
        for snapshot in snapshots.load(self.context, chains):
            for port in snapshot.ports:
                seen_by.setdefault(port, set()).add(snapshot.chain.id)
        return seen_by

    def check_that_ports_refresh_the_chains_that_know_them(self) -> None:
        seen_by = self.chains_by_port()
        self.new_calls()
        for port in self.call("GET", "/ports", roles="admin").json["ports"]:
            self.bind(port["id"])
            assert self.new_calls().keys() == seen_by.get(port["id"], set()), port

    def test_snapshots_have_predecessors_and_successors(self) -> None:
        one, two, three = self.chains(1, 2, 3)
        graph = self.graph({one: [two, three]})["id"]
        ((what, snapshots),) = self.driver.calls
        assert what == "refresh"
        new_calls = self.new_calls()
        assert {an_id: self.around(new_calls[an_id]) for an_id in new_calls} == {
            one: ([], [two, three]),
            two: ([one], []),
            three: ([one], []),
        }
        assert {one.chain.revision for one in snapshots} == {2}
        # A chain that follows another has no sources, whatever its classifiers name.
        (classifier,) = new_calls[two].chain.flow_classifiers
        assert new_calls[two].sources == {classifier.id: ()}
        assert new_calls[one].chain.port_pair_groups[-1].port_ids <= new_calls[two].ports.keys()
        self.delete("service_graph", graph)
        new_calls = self.new_calls()
        assert {an_id: self.around(new_calls[an_id]) for an_id in new_calls} == {
            an_id: ([], []) for an_id in (one, two, three)
        }
        assert new_calls[two].sources == {classifier.id: (self.client,)}

    def test_a_changed_chain_refreshes_those_before_and_all_behind_it(self) -> None:
        one, two, three, four = self.chains(1, 2, 3, 4)
        self.graph({one: [two], two: [three, four]})
        self.new_calls()
        self.update("port_chain", one, flow_classifiers=[])
        assert self.new_calls().keys() == {one, two, three, four}
        self.update("port_chain", two, flow_classifiers=[])
        assert self.new_calls().keys() == {one, two, three, four}
        self.update("port_chain", three, flow_classifiers=[])
        assert self.new_calls().keys() == {two, three}
        (group,) = self.show("port_chain", one)["port_pair_groups"]
        self.update("port_pair_group", group, port_pairs=[])
        assert self.new_calls().keys() == {one, two, three, four}
        (group,) = self.show("port_chain", three)["port_pair_groups"]
        self.update("port_pair_group", group, port_pairs=[])
        assert self.new_calls().keys() == {three}
        for chain in (one, two, three, four):
            assert self.show("port_chain", chain)["status"] == "ACTIVE"

    def test_a_chain_and_its_neighbours_are_refreshed_in_one_call(self) -> None:
        """In separate calls, its packets would bypass the following chain between the two."""
        one, two = self.chains(1, 2)
        self.graph({one: [two]})
        groups = self.show("port_chain", one)["port_pair_groups"]
        self.driver.calls.clear()
        self.update("port_chain", one, port_pair_groups=[*groups, self.group(self.net)["id"]])
        ((what, snapshots),) = self.driver.calls
        assert (what, {snapshot.chain.id for snapshot in snapshots}) == ("refresh", {one, two})

    def test_snapshots_have_all_chains_before_and_the_sources_of_their_packets(self) -> None:
        other, unrelated = self.port(self.net, "other"), self.port(self.net, "unrelated")
        one, two, three, four, five = self.chains(1, 2, 3, 4, 5)
        self.update("port_chain", five, flow_classifiers=[self.classifier(other, 5)["id"]])
        self.classifier(unrelated, 6)
        self.graph({one: [two, three], two: [three], three: [four], five: [four]})
        found = self.new_calls()
        assert {an_id: {chain.id for chain in found[an_id].earlier} for an_id in found} == {
            one: set(),
            two: set(),
            three: set(),  # the first chain is a predecessor, too
            four: {one, two},
            five: set(),
        }
        expected = {two: {self.client}, three: {self.client}, four: {self.client, other}}
        for an_id, snapshot in found.items():
            senders = expected.get(an_id, set())
            assert set(snapshot.senders) == senders
            functions = {port for chain in snapshot.ancestors for port in chain.function_ports}
            assert snapshot.ports.keys() >= senders | functions
            assert unrelated not in snapshot.ports
        ahead, behind = {one, two, three, four}, {five, four}
        assert all(chains in self.chains_by_port().values() for chains in (ahead, behind, {four}))
        self.check_that_ports_refresh_the_chains_that_know_them()

    def test_a_new_source_of_the_first_chain_is_known_to_all_that_follow(self) -> None:
        one, two, three = self.chains(1, 2, 3)
        (classifier,) = self.show("port_chain", one)["flow_classifiers"]
        self.update("port_chain", one, flow_classifiers=[])
        self.delete("flow_classifier", classifier)
        every = self.create("flow_classifier", protocol="icmp")["id"]
        self.update("port_chain", one, flow_classifiers=[every])
        self.graph({one: [two], two: [three]})
        self.new_calls()
        source = self.port(self.net, "new")
        found = self.new_calls()
        assert found.keys() == {one, two, three}
        assert source in found[one].sources[every]
        for an_id in (two, three):
            assert found[an_id].senders == found[one].sources[every]
        self.call("DELETE", f"/ports/{source}")
        found = self.new_calls()
        assert all(source not in found[an_id].senders for an_id in (two, three))

    def test_a_packet_cannot_visit_a_function_twice(self) -> None:
        one, two, apart = self.chains(1, 2, 3)
        (group,) = self.show("port_chain", one)["port_pair_groups"]
        like_one = self.classifier(self.port(self.net, "other"), 1)["id"]
        groups = [self.group(self.net)["id"], group]
        again = self.create("port_chain", port_pair_groups=groups, flow_classifiers=[like_one])[
            "id"
        ]
        self.refused("port_chains", one, again, port_chains={one: [two], two: [again]})
        # Two branches may share a function: no packet passes both.
        self.update("port_chain", apart, port_pair_groups=groups)
        self.graph({one: [two, apart]})
        wide = self.classifier(self.port(self.net, "more"), 1)["id"]
        before = self.rows()
        message = self.update("port_chain", apart, expect=400, flow_classifiers=[wide])["message"]
        assert "correlation" in message
        assert self.rows() == before

    def row_of_ports(self) -> list[str]:
        """Create groups of pairs p1>p2 and p2>p3, and an empty one; return their ids."""
        ports = [self.port(self.net, "vm") for _ in range(3)]
        pairs = [
            self.create("port_pair", ingress=ports[number], egress=ports[number + 1])["id"]
            for number in range(2)
        ]
        groups = [self.create("port_pair_group", port_pairs=[pair])["id"] for pair in pairs]
        return [*groups, self.create("port_pair_group")["id"]]

    def change_refused(self, attribute: str, resource: str, an_id: str, **changes: Any) -> None:
        """Try a change that makes two functions in a row share a port."""
        before = self.rows()
        message = self.update(resource, an_id, expect=400, **changes)["message"]
        assert f"for {attribute}." in message
        assert "a port of its own" in message
        assert self.rows() == before

    def test_functions_in_a_row_share_no_port(self) -> None:
        one, two, empty = self.row_of_ports()
        groups = {"port_pair_groups": [one, two]}
        before = self.rows()
        assert "a port of its own" in self.create("port_chain", expect=400, **groups)["message"]
        assert self.rows() == before
        chain = self.create("port_chain", port_pair_groups=[one])["id"]
        self.change_refused("port_pair_groups", "port_chain", chain, **groups)
        self.update("port_chain", chain, port_pair_groups=[one, empty])
        pairs = self.show("port_pair_group", two)["port_pairs"]
        self.update("port_pair_group", two, port_pairs=[])
        self.change_refused("port_pairs", "port_pair_group", empty, port_pairs=pairs)

    def test_functions_in_a_row_share_no_port_across_chains_of_a_graph(self) -> None:
        one, two, empty = self.row_of_ports()
        first = self.create("port_chain", port_pair_groups=[one])["id"]
        after = self.create("port_chain", port_pair_groups=[two])["id"]
        graph = {first: [after]}
        self.refused("port_chains", "a port of its own", port_chains=graph)
        self.update("port_chain", after, port_pair_groups=[empty])
        self.graph(graph)
        self.change_refused("port_pair_groups", "port_chain", after, port_pair_groups=[two])
        pairs = self.show("port_pair_group", two)["port_pairs"]
        self.update("port_pair_group", two, port_pairs=[])
        self.change_refused("port_pairs", "port_pair_group", empty, port_pairs=pairs)

    def test_ports_where_chains_meet_refresh_both(self) -> None:
        server = self.port(self.net, "server")
        first, last = self.group(self.net)["id"], self.group(self.net)["id"]
        one = self.create(
            "port_chain",
            port_pair_groups=[first, last],
            flow_classifiers=[self.create("flow_classifier", protocol="udp")["id"]],
        )["id"]
        classifiers = [
            self.create("flow_classifier", protocol="tcp", **ends)["id"]
            for ends in (
                {"logical_source_port": self.client, "logical_destination_port": server},
                {"logical_source_port": server},
            )
        ]
        two = self.create(
            "port_chain",
            port_pair_groups=[self.group(self.net)["id"]],
            flow_classifiers=classifiers,
        )["id"]
        self.create("port_chain", port_pair_groups=[first], flow_classifiers=[])
        three = self.create("port_chain", port_pair_groups=[self.group(self.net)["id"]])["id"]
        self.graph({one: [two], two: [three]})
        self.new_calls()
        assert {one, two, three} in self.chains_by_port().values()
        self.check_that_ports_refresh_the_chains_that_know_them()

    def test_a_driver_without_graph_support_refuses_them(self) -> None:
        one, two = self.chains(1, 2)
        self.use(MinimalDriver())
        self.refused("port_chains", "poor", port_chains={one: [two]})

    def test_over_quota(self) -> None:
        self.enforce_quotas()
        cfg.CONF.set_override("quota_service_graph", 1, "QUOTAS")
        one, two, three, four = self.chains(1, 2, 3, 4)
        self.graph({one: [two]})
        error = self.create("service_graph", expect=409, port_chains={three: [four]})
        assert error["type"] == "OverQuota"
