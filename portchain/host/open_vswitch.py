"""A host's Open vSwitch: reads OVSDB and speaks OpenFlow, on the host itself or from afar."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from neutron.agent.common import ovs_lib
from neutron_lib import constants as n_const
from neutron_lib.plugins import utils as plugin_utils
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_config import cfg

from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import (
    COOKIE,
    Bridge,
    BridgeKind,
    Flow,
    FlowKey,
    SwitchEntry,
    parse_dump,
)
from portchain.dataplane.host_switch import Firewall, LocalPort, LocalSwitch, PhysicalBridge
from portchain.dataplane.pipeline import FLOW_LIMITS, REG_PATH_POSITION
from portchain.host.bridge import BridgeConnection, ports_of
from portchain.host.flood_control import FloodControl

# GRE over IPv6 has a type of its own in the switch.
_TUNNEL_TYPES = frozenset({*ovs_constants.TUNNEL_NETWORK_TYPES, n_const.TYPE_GRE_IP6})
_OVS_FIREWALLS = ("openvswitch", "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver")


def configured_firewall() -> Firewall:
    """Where Neutron's agent enforces security groups, by its options in section ``securitygroup``."""
    group = cfg.CONF.SECURITYGROUP
    on_bridge = group.enable_security_group and group.firewall_driver in _OVS_FIREWALLS
    return Firewall.OPENVSWITCH if on_bridge else Firewall.ELSEWHERE


class OpenVSwitch:
    """The bridges that Neutron's agent has set up on a host.

    :param bridges: br-int, br-tun if there are tunnels, and those to physical networks.
    :param patch_to_tun: name of the port of br-int that leads to br-tun; ``patch_to_int`` the reverse.
    """

    def __init__(
        self,
        *,
        host: str,
        firewall: Firewall,
        bridges: Mapping[Bridge, BridgeConnection],
        patch_to_tun: str,
        patch_to_int: str,
    ) -> None:
        self._host = host
        self._firewall = firewall
        self._bridges = dict(bridges)
        self._patch_to_tun = patch_to_tun
        self._patch_to_int = patch_to_int

    def update_bridges(self, bridges: Mapping[Bridge, BridgeConnection]) -> None:
        """Work on bridges, which may have been made anew; others stay as they are."""
        self._bridges = {**self._bridges, **bridges}

    def read_ports(self) -> LocalSwitch:
        """Look up what is plugged in now.

        :raises Exception: of ovsdbapp, when the database does not answer.
        """
        integration, tunnels = self._interfaces(Bridge.INT), self._interfaces(Bridge.TUN)
        return LocalSwitch(
            host=self._host,
            firewall=self._firewall,
            ports=self._vif_ports(integration),
            patch_to_tun=_ofport_of(integration, self._patch_to_tun),
            patch_to_int=_ofport_of(tunnels, self._patch_to_int),
            tunnels=_tunnels(tunnels),
            physical=self._physical_bridges(integration),
        )

    def dump_entries(self) -> list[SwitchEntry]:
        """Read what is ours: the rules that carry our cookie, from all bridges, and the settings of ports.

        :raises RuntimeError: the switch does not answer.
        """
        found: list[SwitchEntry] = [*FloodControl(self._bridges[Bridge.INT]).kept_out()]
        owned = f"cookie={COOKIE:#x}/-1"
        for bridge, reach in self._bridges.items():
            text = reach.ofctl("dump-flows", "--no-stats", "--no-names", owned)
            found += parse_dump(bridge, text)
        return found

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """Limit what tables of br-int can hold, so that what the switch learns cannot fill its memory.

        A full table forgets first what would be forgotten next, of the hop that has learned most.

        :param limits: table -> number of rules; tables that are not in it are not limited.
        :raises Exception: of ovsdbapp, when the database refuses or does not answer.
        """
        database, name = self._bridges[Bridge.INT].database, self._bridges[Bridge.INT].name
        present = database.db_get("Bridge", name, "flow_tables").execute(check_error=True)
        missing = limits.keys() - present.keys()
        surplus = FLOW_LIMITS.keys() & present.keys() - limits.keys()
        with database.transaction(check_error=True) as change:
            for number in missing:
                row = change.add(
                    database.db_create(
                        "Flow_Table",
                        name="port_chain",
                        flow_limit=limits[number],
                        overflow_policy="evict",
                        groups=[f"NXM_NX_{REG_PATH_POSITION.upper()}[]"],
                    )
                )
                change.add(database.db_set("Bridge", name, ("flow_tables", {number: row})))
            for number in surplus:
                change.add(database.db_remove("Bridge", name, "flow_tables", number))

    def apply(self, batch: Batch) -> None:
        """Carry out a batch. Its rules go as one bundle: all of them or, when this raises, none.

        :raises RuntimeError: the switch refused or does not answer.
        """
        floods = FloodControl(self._bridges[Bridge.INT])
        if batch.suppress_flooding:
            floods.suppress(batch.suppress_flooding)
        if batch.restore_flooding:
            floods.restore(batch.restore_flooding)
        lines = [f"delete_strict cookie={COOKIE:#x}/-1,{_match_text(key)}" for key in batch.remove]
        lines += [
            f"add cookie={COOKIE:#x},{flow.match_text},actions={flow.actions}" for flow in batch.put
        ]
        if lines:
            text = "\n".join(lines) + "\n"
            self._bridges[batch.bridge].ofctl("add-flows", "--bundle", "-", stdin=text)

    def _physical_bridges(self, integration: list[dict[str, Any]]) -> dict[str, PhysicalBridge]:
        found = {}
        for bridge, reach in self._bridges.items():
            if bridge.kind is not BridgeKind.PHYSICAL:
                continue
            own = reach.name
            here = _patch_name(own, ovs_constants.PEER_INTEGRATION_PREFIX)
            there = _patch_name(own, ovs_constants.PEER_PHYSICAL_PREFIX)
            to_physical = _ofport_of(integration, here)
            to_int = _ofport_of(self._interfaces(bridge), there)
            if to_physical is not None and to_int is not None:
                found[bridge.physical_network] = PhysicalBridge(to_physical, to_int)
        return found

    def _vif_ports(self, integration: list[dict[str, Any]]) -> dict[str, LocalPort]:
        vlans = {
            row["name"]: _vlan(row)
            for row in self._rows(Bridge.INT, "Port", ["name", "tag", "other_config"])
        }
        ports = {}
        for row in integration:
            port_id = row["external_ids"].get("iface-id")
            vlan = vlans.get(row["name"])
            if port_id and vlan and _is_plugged(row):
                ports[port_id] = LocalPort(row["ofport"], vlan, str(row["_uuid"]))
        return ports

    def _interfaces(self, bridge: Bridge) -> list[dict[str, Any]]:
        return self._rows(
            bridge, "Interface", ["_uuid", "name", "type", "ofport", "options", "external_ids"]
        )

    def _rows(self, bridge: Bridge, table: str, columns: list[str]) -> list[dict[str, Any]]:
        if bridge not in self._bridges:
            return []
        return ports_of(self._bridges[bridge], table, columns)


def _ofport_of(rows: list[dict[str, Any]], name: str) -> int | None:
    return next((row["ofport"] for row in rows if row["name"] == name and _is_plugged(row)), None)


def _patch_name(bridge: str, prefix: str) -> str:
    """Name of one end of the link between br-int and a physical bridge, as Neutron's agent forms it."""
    return str(plugin_utils.get_interface_name(bridge, prefix=prefix))


def _tunnels(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Remote address -> port. Of tunnels of several types to one host always the same one serves."""
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
    """The local VLAN of a port: Neutron writes it down in other_config before it sets the tag."""
    text = row["other_config"].get("tag", "")
    tag = int(text) if text.isdigit() else row["tag"]
    return tag if isinstance(tag, int) and 0 < tag < ovs_constants.DEAD_VLAN_TAG else None


def _match_text(key: FlowKey) -> str:
    return Flow(key, "").match_text
