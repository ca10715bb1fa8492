"""The Open vSwitch of a host of OVN: br-chain in front of ovn-controller's br-int.

Reading the state of the switch also brings about what chains need of it: br-chain itself, their
ports on it, and tunnels. ``dataplane.interposing`` decides which rows that takes.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from oslo_log import log
from ovsdbapp.backend.ovs_idl.command import BaseCommand
from ovsdbapp.schema.open_vswitch import impl_idl

from portchain.dataplane import interposing
from portchain.dataplane.compile import compile_frame_guard
from portchain.dataplane.compile.wiring import wiring_flows
from portchain.dataplane.datapath import Feature
from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.gates import gate_name
from portchain.dataplane.host_switch import (
    FROM_TUNNELS,
    Firewall,
    HostNeeds,
    LocalPort,
    LocalSwitch,
    Wire,
)
from portchain.dataplane.interposing import (
    BR_CHAIN,
    HOLD_SECONDS,
    HeldNeeds,
    OwnPort,
    PortRow,
    RowChange,
)
from portchain.dataplane.pipeline import BR_CHAIN_LIMITS
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.host_view import HostView
from portchain.host.bridge import (
    OPENFLOW,
    OPENFLOW_FOR_FLOODING,
    OPENFLOW_OF_OPERATORS,
    BridgeConnection,
)
from portchain.host.health.channel import PacketChannel
from portchain.host.live.switch import Vif
from portchain.host.open_vswitch import OpenVSwitch
from portchain.host.ovn_bridge import ovn_bridge
from portchain.ovsdb.switch_database import SwitchDatabase

LOG = log.getLogger(__name__)

_FAIL_MODE = "secure"
_PROTOCOLS = sorted((OPENFLOW_FOR_FLOODING, OPENFLOW_OF_OPERATORS, OPENFLOW))


class OvnSwitch(OpenVSwitch):
    """Implements ``Switch`` for a host of OVN.

    :param database: the host's Open vSwitch database.
    :param connect: returns a connection to a bridge, from the database's API and the bridge's name.
    :param call_later: has this switch read again after some seconds; must not block.
    :param clock: returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        host: str,
        database: SwitchDatabase,
        connect: Callable[[Any, str], BridgeConnection],
        call_later: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            host=host,
            firewall=Firewall.ELSEWHERE,
            bridges={},
            patch_to_tun="",
            patch_to_int="",
        )
        self._database = database
        self._connect = connect
        self._call_later = call_later
        self._clock = clock
        self._held: HeldNeeds | None = None  # None before the needs of all chains are known
        self._looks_again = -math.inf
        self._known: tuple[object, LocalSwitch] | None = None  # a state that was read, of what

    def provide(self, needs: HostNeeds) -> None:
        """See ``Switch``. Ports that are not needed any more are kept for ``HOLD_SECONDS``.

        So are those that an agent before this one has moved: chains may have gone since then, and
        functions may still hold their packets.
        """
        now = self._clock()
        held = self._held or HeldNeeds(HostNeeds(frozenset(self.read_ports().ports)))
        self._held = held.replace(needs, now)
        if self._held.unused and now >= self._looks_again:
            self._looks_again = now + HOLD_SECONDS
            self._call_later(HOLD_SECONDS)

    def read_ports(self) -> LocalSwitch:
        """See ``Switch``. Provides what chains need, as far as that is known.

        :raises OvsdbUnreachableError: the database does not answer.
        :raises Exception: of ovsdbapp, if the database refuses or ovs-vswitchd does not answer in
            time.
        """
        api = self._database.connect()
        needs = None if self._held is None else self._held.needs
        # Reading hundreds of ports takes longer than most changes of a chain.
        state = (api.idl.change_seqno, needs, self.lacks)
        if self._known is None or self._known[0] != state:
            integration = self._ensure_br_chain(api)
            rows = read_rows(api, integration)
            if needs is not None:
                rows = self._interpose(api, integration, rows, needs)
            self._known = state, self._local_switch(rows)
        return self._known[1]

    def vifs(self) -> Mapping[str, Vif]:
        """See ``LiveSwitch``. Ports that no chain uses are on br-int.

        :raises Exception: as ``read_ports``.
        """
        api = self._database.connect()
        integration = integration_bridge(api)
        rows = interposing.interfaces_of_ports(read_rows(api, integration))
        bridges = {
            is_chain: self._connect(api, BR_CHAIN if is_chain else integration)
            for is_chain in {row.on_br_chain for row in rows.values()}
        }
        return {
            port_id: Vif(row.name, row.type, bridges[row.on_br_chain], row.ofport)
            for port_id, row in rows.items()
            if row.is_plugged and row.ofport is not None
        }

    # For traces, see ``host.tracer.TraceableSwitch``.

    def view(self, plans: Sequence[ChainPlan]) -> HostView:
        """See ``OpenVSwitch``: br-chain, and OVN's br-int.

        :raises Exception: as ``read_ports``.
        """
        local, api = self.read_ports(), self._database.connect()
        integration = integration_bridge(api)
        rows = read_rows(api, integration)
        bridges = {BR_CHAIN: Bridge.INT, integration: None}
        found = interposing.interfaces_of_ports(rows)
        names = {row.name: port_id for port_id, row in found.items()}
        return HostView(local, bridges, plans, names, ovn_bridge(integration, rows))

    def restore_wires(self) -> None:
        """Connect the ports of br-chain to their networks, without regard to chains.

        Does what can be done before the chains of this host are known, for example if the host has
        just been started and the server does not answer. OVN drops what would bypass a chain.

        :raises Exception: as ``read_ports``; RuntimeError if the switch does not answer.
        """
        local = self.read_ports()
        wanted = compile_frame_guard(local) if local.ports else frozenset()
        missing = wanted - set(self.dump_entries())
        self._put(flow for flow in missing if isinstance(flow, Flow))

    def open_channel(self, *, to_tunnels: bool = False) -> PacketChannel:
        """See ``Switch``: a connection to br-chain, which has functions and tunnels."""
        return self._open_channel(Bridge.INT)

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """See ``Switch``."""
        super().limit_tables(BR_CHAIN_LIMITS if limits else {})

    def close(self) -> None:
        """Disconnect from the database. Ports and flows stay."""
        self._database.close()

    def _ensure_br_chain(self, api: Any) -> str:
        """Create br-chain if it does not exist, and configure it. Return the name of br-int.

        Patch ports work between bridges of one datapath only. In another fail mode, br-chain would
        forward packets while it has no flow.
        """
        integration = integration_bridge(api)
        kind = api.db_get("Bridge", integration, "datapath_type").execute(check_error=True)
        if not api.br_exists(BR_CHAIN).execute(check_error=True):
            api.add_br(BR_CHAIN, datapath_type=kind).execute(check_error=True)
        (row,) = api.db_list("Bridge", [BR_CHAIN]).execute(check_error=True)
        wanted = {"datapath_type": kind, "fail_mode": _FAIL_MODE, "protocols": _PROTOCOLS}
        present = {name: row[name] for name in wanted} | {"protocols": sorted(row["protocols"])}
        if present != wanted:
            api.db_set("Bridge", BR_CHAIN, *wanted.items()).execute(check_error=True)
        if Bridge.INT not in self._bridges:
            self.update_bridges({Bridge.INT: self._connect(api, BR_CHAIN)})
        return integration

    def _interpose(
        self, api: Any, integration: str, rows: list[PortRow], needs: HostNeeds
    ) -> list[PortRow]:
        """Change rows until they are as chains need them; return them."""
        if change := interposing.prepare(rows, needs):
            self._change(api, integration, change)
            rows = read_rows(api, integration)
        if change := interposing.interpose(rows, needs):
            self._connect_before(rows, change.interpose)
            self._log(change)
            self._change(api, integration, change)
            rows = read_rows(api, integration)
        return rows

    def _connect_before(self, rows: list[PortRow], movers: Mapping[str, int]) -> None:
        """Add the flows that connect ports, before the ports are moved to br-chain."""
        if not movers:
            return
        as_moved = [
            replace(row, on_br_chain=True, ofport=movers[row.name]) if row.name in movers else row
            for row in rows
        ]
        self._put(wiring_flows(self._local_switch(as_moved)))

    def _put(self, flows: Iterable[Flow]) -> None:
        if put := tuple(flows):
            self.apply(Batch(Bridge.INT, put=put))

    def _change(self, api: Any, integration: str, change: RowChange) -> None:
        with api.transaction(check_error=True) as transaction:
            transaction.add(_ChangeRows(api, integration, change))

    def _log(self, change: RowChange) -> None:
        for name in change.interpose:
            LOG.info("Moving port %s of host %s to %s: chains use it", name, self._host, BR_CHAIN)
        for name in change.give_back:
            LOG.info("Moving port %s of host %s back: no chain uses it", name, self._host)

    def _local_switch(self, rows: list[PortRow]) -> LocalSwitch:
        return local_switch(self._host, rows, self.lacks, self.largest_meter())


def local_switch(
    host: str,
    rows: Collection[PortRow],
    lacks: frozenset[Feature] = frozenset(),
    largest_meter: int = 0,
) -> LocalSwitch:
    """Return what the compiler depends on, from the ports of a host of OVN.

    :param host: the host's name in Neutron.
    """
    by_name = {row.name: row for row in rows}
    ports = {
        port_id: LocalPort(row.ofport, 0, row.record, wire)
        for port_id, row in interposing.interfaces_of_ports(rows).items()
        if row.on_br_chain and row.is_plugged and row.ofport is not None
        if (wire := _wire(port_id, by_name)) is not None
    }
    return LocalSwitch(
        host=host,
        firewall=Firewall.ELSEWHERE,
        ports=ports,
        patch_to_tun=FROM_TUNNELS,
        tunnels=_tunnels(rows),
        lacks=lacks,
        largest_meter=largest_meter,
        has_br_chain=True,
    )


def integration_bridge(api: Any) -> str:
    """Return the name of ovn-controller's bridge."""
    (row,) = api.db_list("Open_vSwitch", columns=["external_ids"]).execute(check_error=True)
    return str(row["external_ids"].get("ovn-bridge", "br-int"))


def read_rows(api: Any, integration: str) -> list[PortRow]:
    """Return the ports of br-int and br-chain that have one interface."""
    found = []
    for bridge in (integration, BR_CHAIN):
        # ovsdbapp looks each row's name up among these.
        names = frozenset(api.list_ports(bridge).execute(check_error=True))
        columns = ["_uuid", "name", "type", "ofport", "ifindex", "options", "external_ids"]
        query = api.db_list("Interface", names, columns=columns, if_exists=True)
        found += [
            PortRow(
                name=row["name"],
                on_br_chain=bridge == BR_CHAIN,
                type=row["type"],
                ofport=row["ofport"] if isinstance(row["ofport"], int) else None,
                record=str(row["_uuid"]),
                ifindex=row["ifindex"] if isinstance(row["ifindex"], int) else None,
                options=dict(row["options"]),
                external_ids=dict(row["external_ids"]),
            )
            for row in (query.execute(check_error=True) if names else ())
        ]
    return found


def _wire(port_id: str, rows: Mapping[str, PortRow]) -> Wire | None:
    """Return the wire of a port; None if it is not connected to its network."""
    network = rows.get(interposing.network_patch(port_id))
    if network is None or network.ofport is None or not network.is_plugged:
        return None
    gate, outer = rows.get(interposing.gate_patch(port_id)), rows.get(gate_name(port_id))
    if gate is None or outer is None or not gate.is_plugged:
        return Wire(network.ofport)
    return Wire(network.ofport, gate.ofport, outer.is_bound)


def _tunnels(rows: Iterable[PortRow]) -> dict[str, int]:
    return {
        row.external_ids[interposing.OWNER]: row.ofport
        for row in rows
        if row.is_own
        and row.type != interposing.PATCH
        and row.is_plugged
        and row.ofport is not None
    }


class _ChangeRows(BaseCommand):
    """Changes rows of ports in one transaction."""

    def __init__(self, api: impl_idl.OvsdbIdl, integration: str, change: RowChange) -> None:
        super().__init__(api)
        self._integration = integration
        self._change = change

    def run_idl(self, txn: Any) -> None:
        bridges = {row.name: row for row in self.api.idl.tables["Bridge"].rows.values()}
        inner, outer = bridges[BR_CHAIN], bridges[self._integration]
        ports = {
            port.name: (bridge, port) for bridge in (inner, outer) for port in list(bridge.ports)
        }
        for name in self._change.delete:
            _delete(*ports[name])
        for name, number in self._change.interpose.items():
            _move(ports[name][1], outer, inner, number)
        for name in self._change.give_back:
            _move(ports[name][1], inner, outer, [])
        for wanted in self._change.put:
            if wanted.name in ports:
                _write(ports[wanted.name][1].interfaces[0], wanted)
            else:
                self._add(txn, inner if wanted.on_br_chain else outer, wanted)

    def _add(self, txn: Any, bridge: Any, wanted: OwnPort) -> None:
        tables = self.api.idl.tables
        interface = txn.insert(tables["Interface"])
        interface.name, interface.type = wanted.name, wanted.type
        interface.options, interface.external_ids = dict(wanted.options), dict(wanted.external_ids)
        port = txn.insert(tables["Port"])
        port.name = wanted.name
        port.interfaces = [interface]
        bridge.addvalue("ports", port)


def _write(interface: Any, wanted: OwnPort) -> None:
    interface.type = wanted.type
    interface.options = dict(wanted.options)
    for key, value in wanted.external_ids.items():
        interface.setkey("external_ids", key, value)
    for key in wanted.unset:
        interface.delkey("external_ids", key)


def _delete(bridge: Any, port: Any) -> None:
    bridge.delvalue("ports", port)
    for interface in list(port.interfaces):
        interface.delete()
    port.delete()


def _move(port: Any, start: Any, end: Any, number: int | list[int]) -> None:
    start.delvalue("ports", port)
    end.addvalue("ports", port)
    port.interfaces[0].ofport_request = number
