"""Health of functions: what users ask for, what hosts report, and what the API shows of both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from neutron import policy
from neutron_lib.db import api as db_api
from oslo_policy import policy as oslo_policy

from portchain.core.model import ChainSnapshot, PairHealth, PeerHealth
from portchain.dataplane.planning.planner import plan_chain
from portchain.db import drift, models, pair_health, snapshots
from tests.unit.api.base import HOST, OTHER_PROJECT, PROJECT, ApiTestCase

CEILOMETER = Path("deploy/ceilometer/event_definitions.yaml")
DEFAULTS = {
    "delay": 1.0,
    "timeout": 0.5,
    "max_retries": 3,
    "max_retries_down": 3,
    "destination": None,
}
ADMIN: dict[str, Any] = {"roles": "admin"}
T2: dict[str, Any] = {"project": OTHER_PROJECT, "roles": "member,reader"}
CHECKED: dict[str, Any] = {"health_check": "icmp", "health_check_parameters": {"delay": 0.2}}
SECOND = "compute-2"
TUNNEL_IP = "192.0.2.1"


class HealthCase(ApiTestCase):
    """A chain with one group of two pairs, whose functions are checked."""

    drivers = ("ovs",)
    agent_hosts = (HOST, SECOND)

    def prepare(self) -> None:
        self.net = self.network()
        self.client = self.port(self.net, "client")
        self.bind(self.client)
        self.pairs = [self.bound_pair() for _ in range(2)]
        self.group_id = self.create("port_pair_group", port_pairs=self.pairs, **CHECKED)["id"]
        self.chain_id = self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[self.classifier(self.client)["id"]],
        )["id"]

    def bound_pair(self, host: str = HOST, **attributes: Any) -> str:
        pair = self.pair(self.net, **attributes)
        for side in ("ingress", "egress"):
            self.bind(pair[side], host)
        return str(pair["id"])

    def report(self, *health: PairHealth, host: str = HOST) -> None:
        self.plugin.drivers._drivers["ovs"]._record_health(self.context, host, health)

    def fail(self, *pairs: str, host: str = HOST) -> None:
        self.report(*(PairHealth(pair, False, "no answer") for pair in pairs), host=host)

    def pass_check(self, *pairs: str) -> None:
        self.report(*(PairHealth(pair, True) for pair in pairs))

    def snapshot(self) -> ChainSnapshot:
        (found,) = snapshots.load(self.context, [self.chain_id])
        return found

    def function_addresses(self) -> set[str]:
        found = self.snapshot()
        ports = (found.ports[port] for port in found.chain.function_ports)
        return {address for port in ports for address in port.fixed_ips}

    def weights(self) -> dict[str, int]:
        plan = plan_chain(self.snapshot(), {}).plan
        return {target.pair_id: target.weight for target in plan.paths[0].hops[0].targets}

    def state(self, resource: str, an_id: str) -> tuple[str, str]:
        shown = self.show(resource, an_id)
        return shown["operating_status"], shown["operating_status_reason"]["code"]

    def chain_row(self) -> models.PortChain:
        self.context.session.expire_all()
        with db_api.CONTEXT_READER.using(self.context):
            return self.context.session.get(models.PortChain, self.chain_id)


class PeersTest(HealthCase):
    """Hosts that others do not reach any more."""

    def answers(self, host_answers: bool, *reports: PeerHealth, host: str = SECOND) -> mock.Mock:
        driver = self.plugin.drivers._drivers["ovs"]
        silent = set() if host_answers else {HOST}
        with mock.patch.object(driver._agents, "silent", return_value=silent) as asked:
            driver._record_peers(self.context, host, reports)
        return asked

    def test_functions_of_a_host_that_is_switched_off(self) -> None:
        asked = self.answers(False, PeerHealth(TUNNEL_IP, False))
        assert [call.args[1] for call in asked.call_args_list] == [{HOST}]
        assert set(self.snapshot().failed.values()) == {pair_health.HOST_IS_SILENT}
        assert self.snapshot().failed.keys() == set(self.pairs)
        # Nobody asks again, and the host itself says when it is back.
        assert not self.answers(False, PeerHealth(TUNNEL_IP, False)).called
        self.pass_check(*self.pairs)
        assert not self.snapshot().failed

    def test_a_host_that_answers_is_not_switched_off(self) -> None:
        """The way between the two is broken, or the reporting host's own."""
        first = self.answers(True, PeerHealth(TUNNEL_IP, False))
        again = self.answers(False, PeerHealth(TUNNEL_IP, False))
        assert (first.called, again.called) == (True, False)  # it has just answered
        assert not self.snapshot().failed

    def test_reports_that_concern_nobody(self) -> None:
        for report in (PeerHealth(TUNNEL_IP, True), PeerHealth("192.0.2.99", False)):
            assert not self.answers(False, report).called
        assert not self.answers(False, PeerHealth(TUNNEL_IP, False), host=HOST).called
        assert not self.snapshot().failed


class HealthTest(HealthCase):
    # Requests

    def test_parameters_that_a_request_leaves_out(self) -> None:
        shown = self.show("port_pair_group", self.group_id)["health_check_parameters"]
        assert shown == DEFAULTS | {"delay": 0.2, "timeout": 0.1}
        group = self.create("port_pair_group")
        assert group["health_check_parameters"] == DEFAULTS
        assert (group["min_healthy"], group["on_failure"]) == (1, "rebalance")
        first: dict[str, Any] = {
            "health_check_parameters": {"timeout": 1, "destination": "2001:DB8::1"}
        }
        self.update("port_pair_group", group["id"], **first)
        second: dict[str, Any] = {"health_check_parameters": {"max_retries": 10}}
        shown = self.update("port_pair_group", group["id"], **second)["health_check_parameters"]
        wanted = {"timeout": 1.0, "destination": "2001:db8::1", "max_retries": 10}
        assert shown == DEFAULTS | wanted
        shorter: dict[str, Any] = {"health_check_parameters": {"delay": 0.4}}
        shown = self.update("port_pair_group", self.group_id, **shorter)["health_check_parameters"]
        assert (shown["delay"], shown["timeout"]) == (0.4, 0.2)  # nobody has asked for another one
        cleared: dict[str, Any] = {"health_check_parameters": {"destination": None}}
        shown = self.update("port_pair_group", group["id"], **cleared)["health_check_parameters"]
        assert shown == DEFAULTS | wanted | {"destination": None}

    def test_refusals_name_attribute_and_alternative(self) -> None:
        cases: list[tuple[dict[str, Any], str, str]] = [
            (
                {"health_check_parameters": {"delay": 1, "timeout": 1.5}},
                "health_check_parameters",
                "smaller timeout or a greater delay",
            ),
            (
                {"health_check_parameters": {"destination": "224.0.0.1"}},
                "health_check_parameters",
                "or null",
            ),
            ({"health_check": "l2"}, "health_check", "use icmp or ping"),
        ]
        before = self.show("port_pair_group", self.group_id)
        for attributes, attribute, alternative in cases:
            error = self.update("port_pair_group", self.group_id, expect=400, **attributes)
            assert attribute in error["message"] and alternative in error["message"], error
        assert self.show("port_pair_group", self.group_id) == before
        error = self.create("port_pair_group", expect=400, tap_enabled=True, health_check="icmp")
        assert "use ping or none" in error["message"]

    def test_a_pair_can_be_switched_off_and_be_a_backup(self) -> None:
        first, second = self.pairs
        assert self.show("port_pair", first)["admin_state_up"] is True
        self.update("port_pair", first, admin_state_up=False)
        assert self.weights() == {second: 1}
        assert self.state("port_pair", first) == ("OFFLINE", "ADMIN_STATE_DOWN")
        self.update("port_pair", first, admin_state_up=True, backup=True)
        assert self.weights() == {first: 0, second: 1}
        assert self.state("port_pair", first) == ("NO_MONITOR", "STANDS_BY")
        self.fail(second)
        assert self.weights() == {first: 1}

    # Reports

    def test_a_failed_function_gets_no_packets_until_it_is_back(self) -> None:
        first, second = self.pairs
        assert self.weights() == {first: 1, second: 1}
        assert self.state("port_pair", first) == ("NO_MONITOR", "NOT_CHECKED_YET")
        self.pass_check(first, second)
        assert self.state("port_pair", first) == ("ONLINE", "")
        assert self.state("port_chain", self.chain_id) == ("ONLINE", "")
        self.fail(first)
        assert self.weights() == {second: 1}
        assert self.state("port_pair", first) == ("ERROR", "HEALTH_CHECK_FAILED")
        assert "no answer" in self.show("port_pair", first)["operating_status_reason"]["text"]
        assert self.state("port_pair_group", self.group_id)[0] == "DEGRADED"
        assert self.state("port_chain", self.chain_id)[0] == "DEGRADED"
        self.fail(second)
        assert self.state("port_pair_group", self.group_id) == ("ERROR", "NO_PAIR_AVAILABLE")
        assert self.state("port_chain", self.chain_id)[0] == "ERROR"
        assert self.show("port_chain", self.chain_id)["status"] == "DOWN"
        self.pass_check(first, second)
        assert self.weights() == {first: 1, second: 1}

    def test_the_hosts_of_a_failed_function_still_check_it_and_take_what_it_returns(self) -> None:
        first, _ = self.pairs
        self.fail(first)
        plan = plan_chain(self.snapshot(), {}).plan
        assert {probe.pair_id for probe in plan.probes} == set(self.pairs)
        assert [target.pair_id for target in plan.paths[0].hops[0].returning] == [first]

    def test_hosts_know_which_port_has_the_destination_of_probes(self) -> None:
        address = "10.0.0.77"
        port = self.port(self.net, "vm", ip=address)
        parameters = {"delay": 0.2, "destination": address}
        self.update("port_pair_group", self.group_id, health_check_parameters=parameters)
        found = self.snapshot()
        mac = self.call("GET", f"/ports/{port}").json["port"]["mac_address"]
        assert found.owners == {self.net: {address: mac}}
        assert {one.destination_mac for one in plan_chain(found, {}).plan.probes} == {mac}

    def test_probes_go_from_the_gateway_to_where_packets_go(self) -> None:
        (probe, _) = plan_chain(self.snapshot(), {}).plan.probes
        # Nothing is known but the gateway, which is what packets go to.
        assert probe.destination == "10.0.0.1"
        assert probe.source.startswith("10.0.0.")
        assert probe.source not in {probe.destination, *self.function_addresses()}
        assert probe.parameters.delay == 0.2
        given: dict[str, Any] = {"health_check_parameters": {"destination": "192.0.2.7"}}
        self.update("port_pair_group", self.group_id, **given)
        (probe, _) = plan_chain(self.snapshot(), {}).plan.probes
        assert (probe.source, probe.destination) == ("10.0.0.1", "192.0.2.7")
        self.update("port_pair_group", self.group_id, health_check="ping")
        (probe, _) = plan_chain(self.snapshot(), {}).plan.probes
        assert probe.source == ""
        assert probe.destination in self.snapshot().ports[probe.ingress_port].fixed_ips

    def test_a_report_of_another_host_is_ignored(self) -> None:
        first, _ = self.pairs
        before = self.rows()
        self.fail(first, host=SECOND)
        self.fail(first, host="")
        self.fail("00000000-0000-0000-0000-000000000000")
        assert self.rows() == before

    def test_a_report_about_a_function_that_nobody_checks_is_ignored(self) -> None:
        alone = self.bound_pair()
        unchecked = self.create("port_pair_group", port_pairs=[self.bound_pair()])
        before = self.rows()
        self.fail(alone, *unchecked["port_pairs"])
        assert self.rows() == before

    def test_a_verdict_counts_on_its_host_only(self) -> None:
        first, second = self.pairs
        self.fail(first)
        shown = self.show("port_pair", first)
        for side in ("ingress", "egress"):
            self.bind(shown[side], SECOND)
        assert self.weights() == {first: 1, second: 1}
        assert self.state("port_pair", first) == ("NO_MONITOR", "NOT_CHECKED_YET")

    def test_a_verdict_goes_with_the_check(self) -> None:
        first, second = self.pairs
        self.fail(first)
        self.update("port_pair_group", self.group_id, health_check="none")
        assert self.weights() == {first: 1, second: 1}
        self.update("port_pair_group", self.group_id, health_check="icmp")
        assert self.weights() == {first: 1, second: 1}
        self.fail(first)
        self.update("port_pair_group", self.group_id, port_pairs=[second])
        self.update("port_pair_group", self.group_id, port_pairs=[first, second])
        assert self.weights() == {first: 1, second: 1}

    def test_only_changes_are_planned_and_all_of_a_report_at_once(self) -> None:
        refresh = mock.patch.object(
            self.plugin.drivers,
            "refresh_port_chains",
            wraps=self.plugin.drivers.refresh_port_chains,
        )
        revision = self.chain_row().revision
        with refresh as planned:
            self.pass_check(*self.pairs)
            self.fail(*self.pairs)
            self.fail(*self.pairs)
            self.fail(*self.pairs, self.pairs[0])
        assert [list(call.args[1]) for call in planned.call_args_list] == [[self.chain_id]]
        assert self.chain_row().revision == revision + 1

    def test_a_repeated_report_costs_two_statements(self) -> None:
        self.fail(*self.pairs)
        with self.statements() as seen:
            self.fail(*self.pairs)
        assert len(seen) == 2, seen

    def test_what_was_stored_but_not_planned_is_found(self) -> None:
        first, _ = self.pairs
        with mock.patch.object(self.plugin.drivers, "refresh_port_chains"):
            self.fail(first)
        row = self.chain_row()
        assert row.realised_revision < row.revision  # the repair finds it
        assert drift.digest(self.snapshot()) != row.realised_digest
        self.plugin.drivers.repair_port_chain(self.context, [self.chain_id])
        assert self.chain_row().realised_digest == drift.digest(self.snapshot())

    # What follows from a failure

    def test_flows_stay_with_a_failed_function_if_the_user_wants_that(self) -> None:
        first, second = self.pairs
        self.update("port_pair_group", self.group_id, on_failure="keep")
        self.fail(first)
        assert self.weights() == {first: 0, second: 1}

    def test_earlier_pairs_are_those_that_packets_could_visit(self) -> None:
        first, second = self.pairs
        self.fail(first)
        self.pass_check(first)
        with db_api.CONTEXT_READER.using(self.context):
            sets = self.context.session.query(models.PairSet).filter_by(group_id=self.group_id)
            ordered = [one.weights for one in sorted(sets, key=lambda one: one.number)]
        both = {first: 1, second: 1}
        assert ordered == [both, {second: 1}, both]

    def test_with_too_few_healthy_functions_the_failure_mode_applies(self) -> None:
        first, second = self.pairs
        self.update("port_pair_group", self.group_id, min_healthy=2)
        assert self.weights() == {first: 1, second: 1}
        self.fail(first)
        assert self.weights() == {}
        assert self.state("port_pair_group", self.group_id)[0] == "ERROR"
        assert "min_healthy is 2" in self.show("port_chain", self.chain_id)["status_reason"]

    def test_packets_pass_a_group_that_fails_open(self) -> None:
        self.update("port_pair_group", self.group_id, failure_mode="open")
        generation = self.chain_row().generation
        assert not plan_chain(self.snapshot(), {}).plan.paths[0].hops[0].passed
        self.fail(*self.pairs)
        (hop,) = plan_chain(self.snapshot(), {}).plan.paths[0].hops
        assert (hop.passed, hop.targets) == (True, ())
        assert {target.pair_id for target in hop.returning} == set(self.pairs)
        assert self.chain_row().generation == generation
        assert self.show("port_chain", self.chain_id)["status"] != "DOWN"
        assert self.state("port_chain", self.chain_id)[0] == "DEGRADED"

    # Statuses and notifications

    def statuses(self, **as_: Any) -> Any:
        return self.call("GET", f"/sfc/port_chains/{self.chain_id}/statuses", **as_)

    def test_statuses_show_the_tree(self) -> None:
        first, second = self.pairs
        self.pass_check(second)
        self.fail(first)
        tree = self.statuses().json["statuses"]
        assert (tree["id"], tree["operating_status"]) == (self.chain_id, "DEGRADED")
        (group,) = tree["port_pair_groups"]
        assert (group["id"], group["operating_status"]) == (self.group_id, "DEGRADED")
        shown = {
            pair["id"]: (pair["operating_status"], pair["host"]) for pair in group["port_pairs"]
        }
        assert shown == {first: ("ERROR", HOST), second: ("ONLINE", HOST)}
        assert self.statuses(**T2).status_int == 404
        assert self.call("GET", "/sfc/port_chains/unknown/statuses").status_int == 404

    def test_a_borrowed_group_shows_its_status_only(self) -> None:
        self.share("port_pair_group", self.group_id)
        self.fail(self.pairs[0])
        net = self.network("10.7.0.0/24", **T2)
        client = self.port(net, "client", **T2)
        classifier = self.classifier(client, as_=T2)["id"]
        chain = self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[classifier],
            as_=T2,
        )
        answer = self.call("GET", f"/sfc/port_chains/{chain['id']}/statuses", **T2)
        (group,) = answer.json["statuses"]["port_pair_groups"]
        assert group["operating_status"] == "DEGRADED"
        assert "port_pairs" not in group
        shown = self.show("port_pair_group", self.group_id, **T2)
        assert shown["operating_status"] == "DEGRADED"
        for text in (answer.text, str(shown["operating_status_reason"])):
            assert HOST not in text and not any(pair in text for pair in self.pairs)

    def test_a_borrower_does_not_see_where_probes_go(self) -> None:
        self.share("port_pair_group", self.group_id)
        given = {"destination": "192.0.2.77"}
        self.update("port_pair_group", self.group_id, health_check_parameters=given)
        for caller, expected in ((T2, None), ({}, "192.0.2.77"), (ADMIN, "192.0.2.77")):
            shown = self.show("port_pair_group", self.group_id, **caller)
            assert shown["health_check_parameters"]["destination"] == expected
            (listed,) = self.list_all("port_pair_group", f"id={self.group_id}", **caller)
            assert listed == shown

    def test_policies_of_reasons_hold_for_statuses(self) -> None:
        chain = self.chain(self.net)["id"]

        def resources() -> dict[str, Any]:
            found = self.call("GET", f"/sfc/port_chains/{chain}/statuses").json["statuses"]
            (group,) = found["port_pair_groups"]
            (pair,) = group["port_pairs"]
            return {"port_chain": found, "port_pair_group": group, "port_pair": pair}

        assert all("operating_status_reason" in one for one in resources().values())
        hidden = set()
        for name in resources():
            rule = {f"get_{name}:operating_status_reason": "role:auditor"}
            policy._ENFORCER.set_rules(oslo_policy.Rules.from_dict(rule), overwrite=False)
            hidden.add(name)
            for other, one in resources().items():
                assert ("operating_status_reason" in one) is (other not in hidden)
                assert "operating_status" in one
                assert ("host" in one) is (other == "port_pair" and other not in hidden)

    def notifications(self, *changes: Callable[[], None]) -> list[tuple[str, dict[str, Any]]]:
        """Return the type and the resource of each notification that is sent meanwhile."""
        notifier = mock.Mock()
        with mock.patch("neutron_lib.rpc.get_notifier", return_value=notifier):
            for change in changes:
                change()
        sent = []
        for _, event_type, payload in (call.args for call in notifier.info.call_args_list):
            ((resource, shown),) = payload.items()
            assert event_type == f"{resource}.operating_status.changed"
            sent.append((resource, shown))
        return sent

    def test_a_notification_for_each_function_that_has_failed_or_is_back(self) -> None:
        first, _ = self.pairs
        sent = self.notifications(
            lambda: self.pass_check(*self.pairs),
            lambda: self.fail(first),
            lambda: self.fail(first),
            lambda: self.pass_check(first),
        )
        pairs = [shown for resource, shown in sent if resource == "port_pair"]
        assert [pair["operating_status"] for pair in pairs] == ["ERROR", "ONLINE"]
        wanted = {"id": first, "device_id": "vm", "host": HOST, "port_pair_group_id": self.group_id}
        assert pairs[0].items() >= wanted.items()

    def test_a_notification_for_each_group_and_chain_whose_status_changes(self) -> None:
        first, second = self.pairs
        self.pass_check(*self.pairs)
        sent = self.notifications(
            lambda: self.fail(first),
            lambda: self.fail(second),
            lambda: self.pass_check(first, second),
        )
        for resource, resource_id in (
            ("port_pair_group", self.group_id),
            ("port_chain", self.chain_id),
        ):
            own = [shown for name, shown in sent if name == resource]
            assert {shown["id"] for shown in own} == {resource_id}
            states = [shown["operating_status"] for shown in own]
            assert states == ["DEGRADED", "ERROR", "ONLINE"], resource
            assert own[0]["project_id"] == PROJECT
            code = self.state(resource, resource_id)[1]
            assert own[-1]["operating_status_reason"]["code"] == code

    def test_the_fields_that_ceilometer_reads_are_in_the_notifications(self) -> None:
        definitions = yaml.safe_load(CEILOMETER.read_text())
        self.pass_check(*self.pairs)
        sent = dict(self.notifications(lambda: self.fail(self.pairs[0])))
        assert {one["event_type"] for one in definitions} == {
            f"{resource}.operating_status.changed" for resource in sent
        }
        for one in definitions:
            for trait, rule in one["traits"].items():
                payload, *path = rule["fields"].split(".")
                value: Any = sent
                for name in path:
                    value = value[name]
                assert (payload, bool(value or trait == "name")) == ("payload", True), trait

    def test_no_notification_for_a_group_whose_status_stays(self) -> None:
        """A third pair fails where one has failed: the group stays DEGRADED."""
        third = self.bound_pair()
        self.update("port_pair_group", self.group_id, port_pairs=[*self.pairs, third])
        self.pass_check(*self.pairs, third)
        self.fail(self.pairs[0])
        sent = self.notifications(lambda: self.fail(third))
        assert [resource for resource, _ in sent] == ["port_pair"]

    def test_notifications_of_a_borrower_tell_nothing_of_the_functions(self) -> None:
        self.share("port_pair_group", self.group_id)
        client = self.port(self.network("10.7.0.0/24", **T2), "client", **T2)
        chain = self.create(
            "port_chain",
            port_pair_groups=[self.group_id],
            flow_classifiers=[self.classifier(client, as_=T2)["id"]],
            as_=T2,
        )
        sent = self.notifications(lambda: self.fail(self.pairs[0]))
        (shown,) = (one for _, one in sent if one["project_id"] == T2["project"])
        assert (shown["id"], shown["operating_status"]) == (chain["id"], "DEGRADED")
        assert HOST not in str(shown) and not any(pair in str(shown) for pair in self.pairs)
