"""Calls of drivers: which ones and in which order, and drivers that refuse or fail."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

from portchain import errors
from portchain.core.model import ChainSnapshot, Port
from portchain.db import drift, port_usage, realisation, snapshots
from portchain.drivers.base import Capabilities, PortChainDriver
from portchain.drivers.manager import DriverManager
from portchain.drivers.noop import NoopDriver
from portchain.drivers.status import DatabaseStatusReporter
from tests.unit.api.base import HOST, ApiTestCase


class RecordingDriver(PortChainDriver):
    """A driver that records its calls, and fails while ``failing`` is set."""

    name = "fragile"
    capabilities = NoopDriver.capabilities

    def __init__(self) -> None:
        self.failing = False
        self.calls: list[tuple[str, list[ChainSnapshot]]] = []

    def _note(self, what: str, snapshots: Sequence[ChainSnapshot]) -> None:
        self.calls.append((what, list(snapshots)))
        if self.failing:
            raise ConnectionError("the controller does not answer")

    def claims(self, port: Port) -> bool:
        return True

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        self._note("create", [snapshot])

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        self._note("update", [snapshot])

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        self._note("delete", [snapshot])

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        self._note("refresh", snapshots)


class RefusingDriver(RecordingDriver):
    """A driver whose checks refuse everything."""

    name = "picky"

    def _refuse(self, subject: Any) -> None:
        raise errors.NotSupported(attribute="everything", rule="picky supports nothing")

    check_flow_classifier = check_port_pair = check_port_pair_group = check_port_chain = _refuse


class MinimalDriver(RecordingDriver):
    """A driver with the fewest capabilities that a driver can have."""

    name = "poor"
    capabilities = Capabilities()


class DriverTestCase(ApiTestCase):
    """Each test chooses its drivers with `use`."""

    def use(self, *drivers: PortChainDriver) -> None:
        self.plugin.drivers = DriverManager({driver.name: driver for driver in drivers})

    def prepare(self) -> None:
        self.net = self.network()


class CallsTest(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fragile = RecordingDriver()
        self.use(self.fragile)

    def called(self) -> list[str]:
        return [what for what, _ in self.fragile.calls]

    def test_the_driver_is_called_for_create_update_and_delete(self) -> None:
        chain = self.chain(self.net, groups=2)
        self.update("port_chain", chain["id"], flow_classifiers=[])
        self.delete("port_chain", chain["id"])
        assert self.called() == ["create", "update", "delete"]
        created, updated, deleted = (snapshots[0] for _, snapshots in self.fragile.calls)
        assert (created.chain.revision, updated.chain.revision) == (1, 2)
        assert [group.id for group in created.chain.port_pair_groups] == chain["port_pair_groups"]
        assert created.ports.keys() == created.chain.port_ids
        assert deleted == updated

    def test_a_new_name_calls_no_driver(self) -> None:
        chain = self.chain(self.net)
        self.update(
            "port_chain", chain["id"], name="new", port_pair_groups=chain["port_pair_groups"]
        )
        self.update("port_pair_group", chain["port_pair_groups"][0], name="new")
        assert self.called() == ["create"]

    def test_a_changed_group_makes_one_call_with_all_its_chains(self) -> None:
        group = self.group(self.net)["id"]
        chains = [self.create("port_chain", port_pair_groups=[group])["id"] for _ in range(3)]
        self.chain(self.net)
        self.fragile.calls.clear()
        self.update("port_pair_group", group, port_pairs=[])
        ((what, snapshots),) = self.fragile.calls
        assert what == "refresh"
        assert sorted(snapshot.chain.id for snapshot in snapshots) == sorted(chains)
        assert {snapshot.chain.revision for snapshot in snapshots} == {2}
        assert all(not snapshot.chain.port_pair_groups[0].port_pairs for snapshot in snapshots)

    def test_a_changed_weight_makes_one_call_with_all_chains_of_the_group(self) -> None:
        pair = self.pair(self.net)["id"]
        group = self.create("port_pair_group", port_pairs=[pair])["id"]
        chains = [self.create("port_chain", port_pair_groups=[group])["id"] for _ in range(2)]
        self.fragile.calls.clear()
        for weight in (1, 0, 0):
            self.update("port_pair", pair, service_function_parameters={"weight": weight})
        ((what, snapshots),) = self.fragile.calls
        assert what == "refresh"
        assert sorted(snapshot.chain.id for snapshot in snapshots) == sorted(chains)
        assert {one.chain.port_pair_groups[0].port_pairs[0].weight for one in snapshots} == {0}


class RefusingTest(DriverTestCase):
    def refused(self, request: Callable[[], Any], *words: str) -> None:
        before = self.rows()
        message = request()["message"]
        assert all(word in message for word in words), message
        assert self.rows() == before

    def test_checks_run_before_anything_is_written(self) -> None:
        parts = self.chain(self.net)
        ports = [self.port(self.net, "vm") for _ in range(2)]
        picky = RefusingDriver()
        self.use(picky)
        wanted: dict[str, dict[str, Any]] = {
            "flow_classifier": {"protocol": "udp"},
            "port_pair": {"ingress": ports[0], "egress": ports[1]},
            "port_pair_group": {},
            "port_chain": {"port_pair_groups": parts["port_pair_groups"]},
        }
        for resource, attributes in wanted.items():
            self.refused(
                lambda resource=resource, attributes=attributes: self.create(
                    resource, expect=400, **attributes
                ),
                "picky",
            )
        self.refused(
            lambda: self.update("port_chain", parts["id"], expect=400, flow_classifiers=[]),
            "picky",
        )
        self.refused(
            lambda: self.update(
                "port_pair_group", parts["port_pair_groups"][0], expect=400, port_pairs=[]
            ),
            "picky",
        )
        assert picky.calls == []

    def test_capabilities_are_compared_and_the_driver_is_named(self) -> None:
        group = self.group(self.net)["id"]
        ports = [self.port(self.net, "vm") for _ in range(2)]
        self.use(MinimalDriver())
        tuples = {"ppg_n_tuple_mapping": {"ingress_n_tuple": {"source_ip_prefix": "10.0.0.0/8"}}}
        for resource, attribute, value, words in (
            ("flow_classifier", "ethertype", "IPv6", ("ethertype", "IPv6")),
            (
                "flow_classifier",
                "l7_parameters",
                {"logical_source_network": self.net},
                ("l7_parameters", "logical_source_network"),
            ),
            ("port_pair", "service_function_parameters", {"correlation": "mpls"}, ("mpls",)),
            (
                "port_pair_group",
                "port_pair_group_parameters",
                {"lb_fields": ["ip_src"]},
                ("ip_src",),
            ),
            ("port_pair_group", "port_pair_group_parameters", tuples, ("n_tuple",)),
            ("port_pair_group", "tap_enabled", True, ("tap_enabled",)),
            ("port_pair_group", "health_check", "icmp", ("health_check icmp",)),
            ("port_pair_group", "failure_mode", "open", ("failure_mode open",)),
            ("port_pair_group", "min_healthy", 2, ("min_healthy 2",)),
            ("port_pair_group", "on_failure", "keep", ("on_failure keep",)),
            ("port_pair", "admin_state_up", False, ("admin_state_up",)),
            ("port_pair", "backup", True, ("backup",)),
            ("port_chain", "chain_parameters", {"symmetric": True}, ("symmetric",)),
            ("port_chain", "chain_parameters", {"correlation": "nsh"}, ("nsh",)),
        ):
            rest: dict[str, Any] = {
                "port_pair": {"ingress": ports[0], "egress": ports[1]},
                "port_chain": {"port_pair_groups": [group]},
            }.get(resource, {})
            self.refused(
                lambda resource=resource, attribute=attribute, value=value, rest=rest: self.create(
                    resource, expect=400, **{attribute: value}, **rest
                ),
                attribute,
                "poor",
                *words,
            )
        self.create("port_chain", port_pair_groups=[group])

    def test_groups_created_before_the_driver_was_loaded_are_checked_with_the_chain(self) -> None:
        group = self.create(
            "port_pair_group", port_pair_group_parameters={"lb_fields": ["eth_src"]}
        )["id"]
        self.use(MinimalDriver())
        self.refused(
            lambda: self.create("port_chain", expect=400, port_pair_groups=[group]),
            "lb_fields",
            "poor",
        )


class FailingTest(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fragile = RecordingDriver()
        self.use(self.fragile)

    def assert_error_then_repair(self, chain_id: str) -> None:
        shown = self.show("port_chain", chain_id)
        assert shown["status"] == "ERROR"
        assert "fragile" in shown["status_reason"]
        assert "the controller does not answer" in shown["status_reason"]
        self.plugin.repair()
        assert self.show("port_chain", chain_id)["status"] == "ERROR"
        self.fragile.failing = False
        self.plugin.repair()
        shown = self.show("port_chain", chain_id)
        assert (shown["status"], shown["status_reason"]) == ("ACTIVE", "")
        count = len(self.fragile.calls)
        self.plugin.repair()
        assert len(self.fragile.calls) == count, "repair called a driver for a realised chain"

    def setup_repair_at_once(self) -> None:
        self.config(group="port_chain", repair_after=0)

    def test_failed_create_is_repaired(self) -> None:
        self.setup_repair_at_once()
        self.fragile.failing = True
        chain = self.chain(self.net)
        assert chain["status"] == "ERROR"
        self.assert_error_then_repair(chain["id"])

    def test_failed_update_is_repaired(self) -> None:
        self.setup_repair_at_once()
        chain = self.chain(self.net)
        self.fragile.failing = True
        assert self.update("port_chain", chain["id"], flow_classifiers=[])["status"] == "ERROR"
        self.assert_error_then_repair(chain["id"])
        assert self.fragile.calls[-1][1][0].chain.flow_classifiers == ()

    def test_failed_refresh_is_repaired(self) -> None:
        self.setup_repair_at_once()
        chain = self.chain(self.net)
        self.fragile.failing = True
        self.update("port_pair_group", chain["port_pair_groups"][0], port_pairs=[])
        self.assert_error_then_repair(chain["id"])

    def test_failed_delete_still_deletes_the_chain(self) -> None:
        chain = self.chain(self.net)
        self.fragile.failing = True
        self.delete("port_chain", chain["id"])
        self.show("port_chain", chain["id"], expect=404)

    def test_a_chain_is_repaired_that_no_driver_was_notified_of(self) -> None:
        """As if the server process had ended between the commit and the call of the drivers."""
        self.setup_repair_at_once()
        self.use()
        with mock.patch.object(self.plugin.drivers, "create_port_chain"):
            chain = self.chain(self.net)
        assert chain["status"] == "BUILD"
        self.use(self.fragile)
        self.plugin.repair()
        assert [what for what, _ in self.fragile.calls] == ["update"]
        assert self.show("port_chain", chain["id"])["status"] == "ACTIVE"

    def test_a_chain_whose_check_fails_does_not_delay_others(self) -> None:
        self.setup_repair_at_once()
        self.fragile.failing = True
        chains = sorted(self.chain(self.net)["id"] for _ in range(2))
        self.fragile.failing = False

        def check(snapshot: ChainSnapshot) -> None:
            if snapshot.chain.id == chains[0]:
                raise KeyError("no such thing")

        self.fragile.check_port_chain = check  # type: ignore[method-assign]
        self.plugin.repair()
        poisoned, healthy = (self.show("port_chain", chain) for chain in chains)
        assert (poisoned["status"], healthy["status"]) == ("ERROR", "ACTIVE")
        assert "no such thing" in poisoned["status_reason"]

    def test_reasons_are_cut_to_a_readable_length(self) -> None:
        chain = self.chain(self.net)["id"]
        realisation.mark_failed(self.context, [chain], "\N{GREEK SMALL LETTER ALPHA}" * 100_000)
        assert len(self.show("port_chain", chain)["status_reason"]) <= 1000
        realisation.mark_realised(self.context, [(chain, 1)])
        DatabaseStatusReporter().record_plan(self.context, chain, 1, [], down_reason="x" * 100_000)
        assert self.show("port_chain", chain)["status_reason"].endswith("x ...")

    def test_missed_changes_of_ports_are_detected(self) -> None:
        """As if the server process had ended before it looked up the chains of a changed port."""
        chains = [self.chain(self.net) for _ in range(3)]
        self.plugin.repair()
        self.fragile.calls.clear()
        (pair,) = self.show("port_pair_group", chains[1]["port_pair_groups"][0])["port_pairs"]
        port = self.show("port_pair", pair)["egress"]
        with mock.patch.object(port_usage, "chains_using_port", side_effect=RuntimeError("killed")):
            self.bind(port)
        with mock.patch.object(drift, "_PAGE", 1):
            for _ in range(2 * len(chains) + 2):
                self.plugin.repair()
        ((what, (snapshot,)),) = self.fragile.calls
        assert (what, snapshot.chain.id) == ("refresh", chains[1]["id"])
        assert snapshot.ports[port].host == HOST

    def create_while(self, happens: Callable[[str], Any], **chain: Any) -> Any:
        """Create a chain; call something with its id after the commit, before it is realised."""
        load = DriverManager._load_new

        def late(manager: DriverManager, context: Any, created: Sequence[Any]) -> Any:
            if created:
                happens(created[0].id)
            return load(manager, context, created)

        with mock.patch.object(DriverManager, "_load_new", late):
            return self.create("port_chain", **chain)

    def test_a_chain_that_changes_before_it_is_realised(self) -> None:
        """The request reads only the ports again."""
        one, two = (self.group(self.net)["id"] for _ in range(2))
        shown = self.create_while(
            lambda chain: self.update("port_chain", chain, port_pair_groups=[two]),
            port_pair_groups=[one],
        )
        assert shown["port_pair_groups"] == [two]
        assert shown["status"] == "ACTIVE"
        found = drift.DriftDetector().find_in_next_page(self.context, lambda snapshot: snapshot)
        assert found == []

    def test_a_port_that_changes_before_its_chain_is_realised(self) -> None:
        group = self.group(self.net)
        port = self.show("port_pair", group["port_pairs"][0])["ingress"]
        self.fragile.calls.clear()
        with mock.patch.object(port_usage, "chains_using_port", return_value=[]):
            self.create_while(lambda _: self.bind(port), port_pair_groups=[group["id"]])
        ((what, (snapshot,)),) = self.fragile.calls
        assert (what, snapshot.ports[port].host) == ("create", HOST)

    def test_names_and_order_of_ports_do_not_change_the_digest(self) -> None:
        chain = self.chain(self.net)["id"]
        (before,) = snapshots.load(self.context, [chain])
        self.update("port_chain", chain, name="new")
        (after,) = snapshots.load(self.context, [chain])
        assert drift.digest(after) == drift.digest(before)
        ports = dict(reversed(before.ports.items()))
        assert drift.digest(replace(before, ports=ports)) == drift.digest(before)
        assert drift.digest(replace(before, ports={})) != drift.digest(before)

    def test_repair_leaves_requests_in_progress_alone(self) -> None:
        self.fragile.failing = True
        self.chain(self.net)
        count = len(self.fragile.calls)
        self.plugin.repair()
        assert len(self.fragile.calls) == count
