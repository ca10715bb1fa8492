"""Says of flows, in plain words, which packets they are for. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge, BridgeKind, Flow, NoFlood, SwitchEntry
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import (
    REG_NEUTRON_PORT,
    REG_PATH_POSITION,
    REG_TARGET,
    TABLES,
    Priority,
)
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.host_view import HostView

_NAMES = {(table.bridge.kind, table.number): name for name, table in TABLES.items()}
_SELECTS = ("BALANCE", "CHOICE", "SLOT_BIT")
_FIXED = {
    **dict.fromkeys(_SELECTS, "packets get no function, and are dropped"),
    "RETURNED": "packets that functions have returned are not accepted, and are dropped",
    "ARRIVED": "packets from other hosts do not get to the port here that they are for",
    "REJOIN": "packets that have passed all functions do not go on to their destination",
    "BRANCH": "packets do not enter the chain that follows in the service graph",
    "AFFINITY": "connections may change their function when the group changes",
    "LEARN_AFFINITY": "connections may change their function when the group changes",
    "TO_CHECKS": "packets that enter the chain do not get to OVN's egress checks and are dropped",
    "NEXT_HOPS": "packets lose the destination address that they had before OVN's checks",
}
_STRAY = "packets of chains that this host does not expect, and forged ones, are not dropped"


BridgeNames = dict[Bridge, str]
"""Role of a bridge -> its name on this host."""


@dataclass(frozen=True, slots=True)
class Words:
    """Says what entries of a host are for.

    :param plans: of the host.
    """

    local: LocalSwitch
    plans: Collection[ChainPlan]

    @property
    def _view(self) -> HostView:
        return HostView(self.local, {}, tuple(self.plans))

    def without(self, entries: Iterable[SwitchEntry]) -> str:
        """Return what happens to packets without entries, or with others in their place."""
        return "; ".join(sorted({self._without(entry) for entry in entries}))

    def _without(self, entry: SwitchEntry) -> str:
        if isinstance(entry, NoFlood):
            return (
                f"port {self._port_at(entry.ofport)} gets frames that the switch floods, and its "
                "function may bring them back into the network"
            )
        name = _NAMES.get((entry.key.bridge.kind, entry.key.table), "")
        if (say := _BY_TABLE.get(name)) is not None:
            return say(self, entry)
        return _FIXED.get(name, "packets of chains go astray")

    def _at_entrance(self, flow: Flow) -> str:
        return (
            f"packets that port {self._sender(flow)} sends are not classified here, and bypass "
            "the chain"
        )

    def _at_hop(self, flow: Flow) -> str:
        return f"packets in front of {self._hop(flow)} get no function, and are dropped"

    def _at_delivery(self, flow: Flow) -> str:
        return f"packets do not get to {self._pair(flow)}, and are dropped"

    def _at_copy(self, flow: Flow) -> str:
        return f"the tap at {self._hop(flow)} gets no copies"

    def _on_tunnels(self, flow: Flow) -> str:
        if flow.key.priority == Priority.STRAY_FRAME:
            return _STRAY
        if flow.key.priority == Priority.PEER_PROBE:
            return "hosts do not notice when one of them is switched off"
        return (
            "packets of chains are lost on their way from this host to others, or from others to it"
        )

    def _on_physical(self, flow: Flow) -> str:
        if flow.key.priority == Priority.STRAY_FRAME:
            return _STRAY
        network = flow.key.bridge.physical_network
        return f"packets of chains are lost between this host and physical network {network}"

    def _at_first_table(self, flow: Flow) -> str:
        if flow.key.priority == Priority.STRAY_FRAME:
            return _STRAY
        number = _number(flow, "in_port")
        if number is None or number in self._from_other_hosts():
            return "packets from other hosts are not taken into the chain here, and are dropped"
        port_id = self._view.port_at(number)
        pair = self._view.pair_at(port_id) if port_id else ""
        if pair:
            return (
                f"packets that the function of pair {pair} returns at port {port_id} do not go on "
                "in the chain"
            )
        return (
            f"frames of port {port_id or number} that no chain takes, or that go around it, are "
            "not told apart from others"
        )

    def _from_other_hosts(self) -> set[int | None]:
        physical = {one.patch_to_physical for one in self.local.physical.values()}
        return {self.local.patch_to_tun, *physical}

    def _sender(self, flow: Flow) -> str:
        for name in ("in_port", REG_NEUTRON_PORT):
            if (number := _number(flow, name)) is not None:
                return self._port_at(number)
        return "(any)"

    def _port_at(self, ofport: int) -> str:
        return self._view.port_at(ofport) or f"(OpenFlow port {ofport})"

    def _hop(self, flow: Flow) -> str:
        value = _number(flow, REG_PATH_POSITION)
        if value is None:
            return "a hop"
        position = self._view.position(value)
        direction = " of the way back" if position.reverse else ""
        return f"hop {position.hop + 1}{direction}"

    def _pair(self, flow: Flow) -> str:
        value = _number(flow, REG_TARGET)
        pair = self._view.pair(value) if value is not None else ""
        return f"pair {pair} of {self._hop(flow)}" if pair else "a function"


_BY_TABLE: Mapping[str, Callable[[Words, Flow], str]] = {
    "LOCAL_SWITCHING": Words._at_first_table,
    "TRANSIENT": Words._at_entrance,
    "ACCEPT_OR_INGRESS": Words._at_entrance,
    "ACCEPTED_EGRESS": Words._at_entrance,
    "HOP": Words._at_hop,
    "FORWARD": Words._at_delivery,
    "COPY": Words._at_copy,
    "TUNNEL_SWITCHING": Words._on_tunnels,
    "PHYSICAL_SWITCHING": Words._on_physical,
}


def places(entries: Iterable[SwitchEntry], names: BridgeNames) -> str:
    """Return where entries are: how many in which table of which bridge."""
    counts: dict[str, int] = {}
    for entry in entries:
        if isinstance(entry, Flow):
            bridge = names.get(entry.key.bridge, str(entry.key.bridge))
            table = _NAMES.get((entry.key.bridge.kind, entry.key.table))
            title = f" ({table})" if table else ""
            place = f"table {entry.key.table}{title} of {bridge}"
        else:
            place = f"settings of ports of {names.get(Bridge.INT, str(BridgeKind.INT))}"
        counts[place] = counts.get(place, 0) + 1
    return ", ".join(f"{count} in {place}" for place, count in sorted(counts.items()))


def _number(flow: Flow, name: str) -> int | None:
    """Return the number that a field must be equal to; None if the flow does not match it."""
    for word in flow.key.match:
        field, _, value = word.partition("=")
        if field == name and "/" not in value:
            return int(value, 0)
    return None


def count(number: int, noun: str) -> str:
    """Return e.g. ``1 flow`` or ``3 flows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return names, and how many more there are."""
    found = sorted(names)
    rest = len(found) - most
    shown = ", ".join(found[:most])
    return f"{shown} and {rest} more" if rest > 0 else shown
