"""The Open vSwitch of one host: reads OVSDB and programs flows with ovs-ofctl."""

import contextlib
import ipaddress
import operator
from collections import Counter as Tally
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

from neutron.agent.common import ovs_lib
from neutron.conf.agent.agent_extensions_manager import register_agent_ext_manager_opts
from neutron_lib import constants as n_const
from neutron_lib.plugins import utils as plugin_utils
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_config import cfg

from portchain.core.counters import Count
from portchain.dataplane import answer_meters
from portchain.dataplane.counting import (
    Learned,
    learned_selections,
    parse_counts,
    parse_learned,
    selections,
)
from portchain.dataplane.datapath import Feature
from portchain.dataplane.diff import Batch
from portchain.dataplane.dump import Dump
from portchain.dataplane.flow import COOKIE, Bridge, BridgeKind, Flow, FlowKey
from portchain.dataplane.host_switch import (
    Firewall,
    HostNeeds,
    LocalPort,
    LocalSwitch,
    PhysicalBridge,
)
from portchain.dataplane.pipeline import BR_CHAIN_LIMITS, REG_PROJECT
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.tracing.host_view import HostView
from portchain.host.bridge import BridgeConnection, PortRows
from portchain.host.flood_control import FloodControl
from portchain.host.health.channel import PacketChannel
from portchain.host.live.switch import Vif
from portchain.host.meters import Meters
from portchain.host.tracer import Tracing

# Open vSwitch has an interface type of its own for GRE over IPv6; Neutron's constant lacks it.
_TUNNEL_TYPES = frozenset({*ovs_constants.TUNNEL_NETWORK_TYPES, n_const.TYPE_GRE_IP6})
_OVS_FIREWALLS = ("openvswitch", "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver")


_COLUMNS = {
    "Port": ("name", "tag", "other_config"),
    "Interface": ("_uuid", "name", "type", "ofport", "options", "external_ids"),
}


def configured_firewall() -> Firewall:
    """Return where Neutron's agent enforces security groups, from its section ``securitygroup``."""
    group = cfg.CONF.SECURITYGROUP
    on_bridge = group.enable_security_group and group.firewall_driver in _OVS_FIREWALLS
    return Firewall.OPENVSWITCH if on_bridge else Firewall.ELSEWHERE


def configured_rate_limits() -> bool:
    """Return whether Neutron's agent limits packet rates: it has the extension ``qos``."""
    register_agent_ext_manager_opts(cfg.CONF)
    return "qos" in cfg.CONF.agent.extensions


class OpenVSwitch:
    """The bridges that Neutron's agent has set up on a host; implements ``Switch``.

    :param host: the host's name in Neutron.
    :param bridges: br-int, br-tun if the host has tunnels, and the bridges to physical networks.
    :param patch_to_tun: name of the patch port of br-int to br-tun.
    :param patch_to_int: name of the patch port of br-tun to br-int.
    :param has_rate_limits: as in ``LocalSwitch``.
    :ivar lacks: as in ``LocalSwitch``; it may change while the switch is used.
    """

    def __init__(
        self,
        *,
        host: str,
        firewall: Firewall,
        bridges: Mapping[Bridge, BridgeConnection],
        patch_to_tun: str,
        patch_to_int: str,
        has_rate_limits: bool = False,
    ) -> None:
        self._host = host
        self._firewall = firewall
        self._has_rate_limits = has_rate_limits
        self._bridges = dict(bridges)
        self._patch_to_tun = patch_to_tun
        self._patch_to_int = patch_to_int
        self.lacks: frozenset[Feature] = frozenset()
        self._port_rows: dict[tuple[Bridge, str], PortRows] = {}
        self._read_from: tuple[list[object], LocalSwitch] | None = None  # read, and from what
        self._largest_meter: int | None = None  # None before the switch has said

    def update_bridges(self, bridges: Mapping[Bridge, BridgeConnection]) -> None:
        """Add bridges, or replace the connections of those that were created again."""
        self._bridges = {**self._bridges, **bridges}
        self._port_rows.clear()

    def provide(self, needs: HostNeeds) -> None:
        """See ``Switch``. Neutron's agent provides ports and tunnels."""

    def read_ports(self) -> LocalSwitch:
        """See ``Switch``.

        :raises Exception: of ovsdbapp, if the database does not answer.
        """
        rows = [self._rows(Bridge.INT, "Port"), *map(self._interfaces, self._bridges)]
        state = [*rows, self.lacks, self.largest_meter()]
        if self._read_from is None or not _are_same(self._read_from[0], state):
            self._read_from = state, self._build_local_switch()
        return self._read_from[1]

    def largest_meter(self) -> int:
        """Return ``LocalSwitch.largest_meter``; the switch is asked until it has answered."""
        if self._largest_meter is None and Bridge.INT in self._bridges:
            with contextlib.suppress(RuntimeError):  # it restarts
                self._largest_meter = Meters(self._bridges[Bridge.INT]).largest()
        return self._largest_meter or 0

    def _build_local_switch(self) -> LocalSwitch:
        integration, tunnels = self._interfaces(Bridge.INT), self._interfaces(Bridge.TUN)
        return LocalSwitch(
            host=self._host,
            firewall=self._firewall,
            ports=self._vif_ports(integration),
            patch_to_tun=_ofport_of(integration, self._patch_to_tun),
            patch_to_int=_ofport_of(tunnels, self._patch_to_int),
            tunnels=_tunnels(tunnels),
            physical=self._physical_bridges(integration),
            has_rate_limits=self._has_rate_limits,
            lacks=self.lacks,
            largest_meter=self.largest_meter(),
        )

    # For live traces.

    def vifs(self) -> Mapping[str, Vif]:
        """See ``LiveSwitch``.

        :raises Exception: of ovsdbapp, if the database does not answer.
        """
        wired, bridge = self.read_ports().ports, self._bridges[Bridge.INT]
        return {
            port_id: Vif(row["name"], row["type"], bridge, row["ofport"])
            for row in self._interfaces(Bridge.INT)
            if (port_id := row["external_ids"].get("iface-id")) in wired and _is_plugged(row)
        }

    # For traces, see ``host.tracer.TraceableSwitch``.

    def view(self, plans: Sequence[ChainPlan]) -> HostView:
        """Return what is known of the host.

        :raises Exception: of ovsdbapp, if the database does not answer.
        """
        local = self.read_ports()
        names = {connection.name: bridge for bridge, connection in self._bridges.items()}
        return HostView(local, names, plans, self._interfaces_of_ports())

    def _interfaces_of_ports(self) -> dict[str, str]:
        """Return the name of each interface -> the Neutron port that is plugged in there."""
        rows = self._interfaces(Bridge.INT)
        found = ((row["name"], row["external_ids"].get("iface-id", "")) for row in rows)
        return {name: port_id for name, port_id in found if port_id}

    def tracing(self) -> contextlib.AbstractContextManager[Tracing]:
        """Return this switch: it traces packets itself."""
        return contextlib.nullcontext(self)

    def appctl(self, command: str, *args: str) -> str:
        """Give ovs-vswitchd a command; see ``BridgeConnection``."""
        return self._bridges[Bridge.INT].appctl(command, *args)

    def dump_table(self, bridge: str, table: int) -> str:
        """Return the flows of a table of a bridge as ``ovs-ofctl dump-flows`` prints them.

        :param bridge: name of a bridge of chains.
        :raises RuntimeError: the switch does not answer.
        """
        by_name = {connection.name: connection for connection in self._bridges.values()}
        return by_name[bridge].ofctl("dump-flows", "--no-stats", f"table={table}")

    def dump_entries(self) -> Dump:
        """See ``Switch``. A flow is ours if it has our cookie.

        :raises RuntimeError: the switch does not answer.
        """
        settings = FloodControl(self._bridges[Bridge.INT]).suppressed()
        owned = f"cookie={COOKIE:#x}/-1"
        flows = {
            bridge: connection.ofctl("dump-flows", "--no-stats", owned)
            for bridge, connection in self._bridges.items()
        }
        return Dump(flows, settings)

    def read_counts(self, keys: Collection[FlowKey]) -> Mapping[FlowKey, Count]:
        """See ``Switch``.

        :raises RuntimeError: the switch does not answer.
        """
        wanted = frozenset(keys)
        found: dict[FlowKey, Count] = {}
        for bridge, matches in selections(wanted).items():
            for match in matches:
                owned = f"cookie={COOKIE:#x}/-1,{match}"
                text = self._bridges[bridge].ofctl("dump-flows", owned)
                found |= parse_counts(bridge, text, wanted)
        return found

    def count_learned(self, labels: Collection[int]) -> Mapping[Learned, int]:
        """See ``Switch``.

        :raises RuntimeError: the switch does not answer.
        """
        bridge = self._bridges[Bridge.INT]
        found: Tally[Learned] = Tally()
        for match in learned_selections(labels):
            found.update(parse_learned(bridge.ofctl("dump-flows", "--no-stats", match)))
        return found

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """See ``Switch``. The limits keep learned flows from filling the switch's memory.

        A full table evicts flows of the project that has most flows in it, and of these the flow
        that would time out first (ovs-vswitchd.conf.db(5), table Flow_Table). So a project loses
        flows only while no other one has more.

        :raises Exception: of ovsdbapp, if the database refuses or does not answer.
        """
        database, name = self._bridges[Bridge.INT].database, self._bridges[Bridge.INT].name
        present = database.db_get("Bridge", name, "flow_tables").execute(check_error=True)
        missing = limits.keys() - present.keys()
        groups = [f"NXM_NX_{REG_PROJECT.upper()}[]"]
        outdated = [
            row.uuid
            for number, row in present.items()
            if number in limits and list(row.groups) != groups
        ]
        surplus = BR_CHAIN_LIMITS.keys() & present.keys() - limits.keys()
        with database.transaction(check_error=True) as transaction:
            for number in missing:
                row = transaction.add(
                    database.db_create(
                        "Flow_Table",
                        name="port_chain",
                        flow_limit=limits[number],
                        overflow_policy="evict",
                        groups=groups,
                    )
                )
                transaction.add(database.db_set("Bridge", name, ("flow_tables", {number: row})))
            for row in outdated:
                transaction.add(database.db_set("Flow_Table", row, ("groups", groups)))
            for number in surplus:
                transaction.add(database.db_remove("Bridge", name, "flow_tables", number))

    def open_channel(self, *, to_tunnels: bool = False) -> PacketChannel:
        """See ``Switch``: a connection to br-int, or to br-tun."""
        return self._open_channel(Bridge.TUN if to_tunnels else Bridge.INT)

    def _open_channel(self, bridge: Bridge) -> PacketChannel:
        def find_target() -> str:
            connection = self._bridges.get(bridge)  # there may be none yet
            return connection.target if connection else ""

        return PacketChannel(find_target)

    def apply(self, batch: Batch) -> None:
        """See ``Switch``.

        :raises RuntimeError: the switch rejected the batch or does not answer.
        """
        flood_control = FloodControl(self._bridges[Bridge.INT])
        if batch.suppress_flooding:
            flood_control.suppress(batch.suppress_flooding)
        if batch.forget_addresses:
            flood_control.forget_addresses(batch.forget_addresses)
        if batch.restore_flooding:
            flood_control.restore(batch.restore_flooding)
        if needed := answer_meters.used_by(batch.put):
            self._provide_meters(batch.bridge, needed)
        lines = [f"delete_strict cookie={COOKIE:#x}/-1,{_match_text(key)}" for key in batch.remove]
        lines += [
            f"add cookie={COOKIE:#x},{flow.match_text},actions={flow.actions}" for flow in batch.put
        ]
        if lines:
            text = "\n".join(lines) + "\n"
            self._bridges[batch.bridge].ofctl("add-flows", "--bundle", "-", stdin=text)

    def _provide_meters(self, bridge: Bridge, needed: Set[int]) -> None:
        """Add the meters that flows need, and remove those of ports that are gone."""
        meters = Meters(self._bridges[bridge])
        present = meters.present()
        meters.remove(answer_meters.surplus(present, self.read_ports()))
        meters.add(needed - present)

    def _physical_bridges(self, integration: list[dict[str, Any]]) -> dict[str, PhysicalBridge]:
        found = {}
        for bridge, connection in self._bridges.items():
            if bridge.kind is not BridgeKind.PHYSICAL:
                continue
            to_physical_name = _patch_name(connection.name, ovs_constants.PEER_INTEGRATION_PREFIX)
            to_int_name = _patch_name(connection.name, ovs_constants.PEER_PHYSICAL_PREFIX)
            to_physical = _ofport_of(integration, to_physical_name)
            to_int = _ofport_of(self._interfaces(bridge), to_int_name)
            if to_physical is not None and to_int is not None:
                found[bridge.physical_network] = PhysicalBridge(to_physical, to_int)
        return found

    def _vif_ports(self, integration: list[dict[str, Any]]) -> dict[str, LocalPort]:
        vlans = {row["name"]: _vlan(row) for row in self._rows(Bridge.INT, "Port")}
        ports = {}
        for row in integration:
            port_id = row["external_ids"].get("iface-id")
            vlan = vlans.get(row["name"])
            if port_id and vlan and _is_plugged(row):
                ports[port_id] = LocalPort(row["ofport"], vlan, str(row["_uuid"]))
        return ports

    def _interfaces(self, bridge: Bridge) -> list[dict[str, Any]]:
        return self._rows(bridge, "Interface")

    def _rows(self, bridge: Bridge, table: str) -> list[dict[str, Any]]:
        if bridge not in self._bridges:
            return []
        if (bridge, table) not in self._port_rows:
            connection = self._bridges[bridge]
            self._port_rows[bridge, table] = PortRows(connection, table, _COLUMNS[table])
        return self._port_rows[bridge, table].read()


def _are_same(some: list[object], others: list[object]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _ofport_of(rows: list[dict[str, Any]], name: str) -> int | None:
    return next((row["ofport"] for row in rows if row["name"] == name and _is_plugged(row)), None)


def _patch_name(bridge: str, prefix: str) -> str:
    """Return the name of a patch port between br-int and a physical bridge, as Neutron forms it."""
    return str(plugin_utils.get_interface_name(bridge, prefix=prefix))


def _tunnels(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Return remote address -> OpenFlow port.

    A host may have tunnels of several types to the same address: the one whose name sorts last is
    used, so that the choice does not depend on the order of the rows.
    """
    usable = [
        row
        for row in rows
        if row["type"] in _TUNNEL_TYPES and _is_plugged(row) and "remote_ip" in row["options"]
    ]
    return {
        str(ipaddress.ip_address(row["options"]["remote_ip"])): row["ofport"]
        for row in sorted(usable, key=lambda row: str(row["name"]))
    }


def _is_plugged(row: dict[str, Any]) -> bool:
    return (
        isinstance(row["ofport"], int)
        and row["ofport"] > 0
        and row["ofport"] != ovs_lib.INVALID_OFPORT
    )


def _vlan(row: dict[str, Any]) -> int | None:
    """Return the local VLAN of a port.

    Neutron's agent writes it to ``other_config`` before it sets the column ``tag``.
    """
    text = row["other_config"].get("tag", "")
    tag = int(text) if text.isdigit() else row["tag"]
    return tag if isinstance(tag, int) and 0 < tag < ovs_constants.DEAD_VLAN_TAG else None


def _match_text(key: FlowKey) -> str:
    return Flow(key, "").match_text
