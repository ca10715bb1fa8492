"""Chains that a driver refuses or cannot realise after they were created."""

from collections.abc import Sequence
from typing import Any

from portchain.core.model import ChainSnapshot, Port
from portchain.core.rules import Violation
from portchain.drivers.base import ChainsFailed
from portchain.drivers.status import DatabaseStatusReporter
from tests.unit.api.test_drivers import DriverTestCase, RecordingDriver


class FreezingDriver(RecordingDriver):
    """Records frozen chains too, and can refuse some chains or fail with them at run time."""

    def __init__(self, name: str = "holding") -> None:
        super().__init__()
        self.name = name
        self.refused: set[str] = set()
        self.broken: set[str] = set()
        self.claiming = True

    def claims(self, port: Port) -> bool:
        return self.claiming

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        if snapshot.chain.id in self.refused:
            raise Violation("port_chain", "it cannot be any more")

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        super().refresh_port_chains(context, snapshots)
        for snapshot in snapshots:
            DatabaseStatusReporter().record_plan(
                context, snapshot.chain.id, snapshot.chain.revision, ()
            )
        failing = self.broken & {snapshot.chain.id for snapshot in snapshots}
        if failing:
            raise ChainsFailed({chain: RuntimeError("no room") for chain in sorted(failing)})

    def freeze_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        self._note("hold", [snapshot])


class RefusedLaterTest(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = FreezingDriver("first"), FreezingDriver("second")
        self.second.claiming = False
        self.use(self.first, self.second)
        self.ids = [self.chain(self.net)["id"] for _ in range(2)]
        for pair in self.list_all("port_pair"):
            self.bind(pair["ingress"])
            self.bind(pair["egress"])
        self.forget()

    def forget(self) -> None:
        self.first.calls.clear()
        self.second.calls.clear()

    def called(self, driver: FreezingDriver) -> list[tuple[str, set[str]]]:
        return [(what, {one.chain.id for one in chains}) for what, chains in driver.calls]

    def refresh(self) -> None:
        self.plugin.drivers.refresh_port_chains(self.context, self.ids)

    def statuses(self) -> list[tuple[str, str]]:
        shown = [self.show("port_chain", chain) for chain in self.ids]
        return [(chain["status"], chain["status_reason"]) for chain in shown]

    def own(self, name: str) -> dict[str, str]:
        """Return the chains that a driver must not remove, with the reason why it refuses them."""
        found = self.plugin.drivers._own_chains(name, self.context, None)
        return {one.snapshot.chain.id: one.refusal for one in found}

    def test_its_driver_freezes_it_and_realises_the_others(self) -> None:
        self.first.refused = {self.ids[0]}
        self.refresh()
        assert self.called(self.first) == [("hold", {self.ids[0]}), ("refresh", {self.ids[1]})]
        assert self.called(self.second) == []
        assert self.statuses() == [("ERROR", "it cannot be any more"), ("ACTIVE", "")]
        assert self.own("first") == {self.ids[0]: "it cannot be any more", self.ids[1]: ""}
        assert self.own("second") == {}

    def test_drivers_keep_a_chain_that_no_driver_owns_any_more(self) -> None:
        self.second.claiming = True
        self.refresh()
        for driver in (self.first, self.second):
            assert sorted(self.called(driver), key=str) == sorted(
                (("hold", {chain}) for chain in self.ids), key=str
            )
        assert {status for status, _ in self.statuses()} == {"ERROR"}
        for name in ("first", "second"):
            assert self.own(name).keys() == set(self.ids)
            assert all("claimed by the drivers" in why for why in self.own(name).values())

    def test_only_chains_that_failed_are_in_error(self) -> None:
        self.first.broken = {self.ids[0]}
        self.refresh()
        (first, reason), second = self.statuses()
        assert (first, second) == ("ERROR", ("ACTIVE", ""))
        assert "driver first" in reason
        self.first.broken = set()
        self.refresh()
        assert self.statuses() == [("ACTIVE", "")] * 2
