"""Chains that can no longer be carried out: whom drivers are told of, and what becomes of the others."""

from collections.abc import Sequence
from typing import Any

from portchain.core.model import ChainSnapshot, Port
from portchain.core.rules import Violation
from portchain.db import realisation
from portchain.drivers.base import ChainsFailed
from tests.unit.api.test_drivers import DriverTestCase, Fragile


class Holding(Fragile):
    """Writes down as well which chains it is to hold back; can be made to refuse some at run time, or to fail with them."""

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
            realisation.record_plan(context, snapshot.chain.id, snapshot.chain.revision, ())
        failing = self.broken & {snapshot.chain.id for snapshot in snapshots}
        if failing:
            raise ChainsFailed({chain: RuntimeError("no room") for chain in sorted(failing)})

    def freeze_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        self._note("hold", [snapshot])


class RefusedLaterTest(DriverTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = Holding("first"), Holding("second")
        self.second.claiming = False
        self.use(self.first, self.second)
        self.ids = [self.chain(self.net)["id"] for _ in range(2)]
        for pair in self.list_all("port_pair"):
            self.bind(pair["ingress"])
            self.bind(pair["egress"])
        self.forget()

    def forget(self) -> None:
        self.first.told.clear()
        self.second.told.clear()

    def told(self, driver: Holding) -> list[tuple[str, set[str]]]:
        return [(what, {one.chain.id for one in chains}) for what, chains in driver.told]

    def refresh(self) -> None:
        self.plugin.drivers.refresh_port_chains(self.context, self.ids)

    def statuses(self) -> list[tuple[str, str]]:
        shown = [self.show("port_chain", chain) for chain in self.ids]
        return [(chain["status"], chain["status_reason"]) for chain in shown]

    def own(self, name: str) -> dict[str, str]:
        """The chains that are not to be removed, and why they cannot be carried out."""
        found = self.plugin.drivers._own_chains(name, self.context, None)
        return {one.snapshot.chain.id: one.refusal for one in found}

    def test_its_owner_holds_it_back_and_the_others_go_on(self) -> None:
        self.first.refused = {self.ids[0]}
        self.refresh()
        assert self.told(self.first) == [("hold", {self.ids[0]}), ("refresh", {self.ids[1]})]
        assert self.told(self.second) == []
        assert self.statuses() == [("ERROR", "it cannot be any more"), ("ACTIVE", "")]
        assert self.own("first") == {self.ids[0]: "it cannot be any more", self.ids[1]: ""}
        assert self.own("second") == {}

    def test_what_no_driver_owns_any_more_no_driver_removes(self) -> None:
        self.second.claiming = True
        self.refresh()
        for driver in (self.first, self.second):
            assert sorted(self.told(driver), key=str) == sorted(
                (("hold", {chain}) for chain in self.ids), key=str
            )
        assert {status for status, _ in self.statuses()} == {"ERROR"}
        for name in ("first", "second"):
            assert self.own(name).keys() == set(self.ids)
            assert all("claimed by the drivers" in why for why in self.own(name).values())

    def test_only_the_chains_that_failed_are_in_error(self) -> None:
        self.first.broken = {self.ids[0]}
        self.refresh()
        (first, reason), second = self.statuses()
        assert (first, second) == ("ERROR", ("ACTIVE", ""))
        assert "driver first" in reason
        self.first.broken = set()
        self.refresh()
        assert self.statuses() == [("ACTIVE", "")] * 2
