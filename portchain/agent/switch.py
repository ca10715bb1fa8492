"""The host's Open vSwitch: the one module of the agent that reads OVSDB and speaks OpenFlow."""

import ipaddress
from collections.abc import Mapping
from functools import partial
from typing import Any

from neutron.agent.common import ovs_lib
from neutron.agent.common import utils as agent_utils
from neutron_lib import constants as n_const
from neutron_lib.plugins import utils as plugin_utils
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_log import log

from portchain.agent.floods import Floods
from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import COOKIE, Bridge, Entry, Flow, FlowKey, parse_dump
from portchain.dataplane.local import Firewall, LocalPort, LocalSwitch, PhysicalBridge
from portchain.dataplane.pipeline import LIMITS, REG_STEP

LOG = log.getLogger(__name__)

# Bundles came with OpenFlow 1.4; Neutron's bridges speak it already.
OPENFLOW = ovs_constants.OPENFLOW14
# Later versions know no "no-flood" of a port: with one of them ovs-ofctl changes nothing and says nothing.
_OPENFLOW_OF_FLOODS = ovs_constants.OPENFLOW10
# GRE over IPv6 has a type of its own in the switch.
_TUNNEL_TYPES = frozenset({*ovs_constants.TUNNEL_NETWORK_TYPES, n_const.TYPE_GRE_IP6})


def _prepare(bridge: Any) -> None:
    # Neutron's agent deletes rules with cookies that nobody reserved; ours outlive restarts by keeping one cookie.
    bridge.set_agent_uuid_stamp(COOKIE)
    bridge.use_at_least_protocol(OPENFLOW)


class OpenVSwitch:
    """The bridges that Neutron's agent has set up.

    :param int_br: integration bridge as the agent extension API gives it. ``tun_br`` likewise, None without tunnels.
    :param physical_brs: physical network -> its bridge, likewise.
    :param patch_to_tun: name of the port of br-int that leads to br-tun; ``patch_to_int`` the reverse.
    """

    def __init__(
        self,
        *,
        host: str,
        firewall: Firewall,
        int_br: Any,
        tun_br: Any | None,
        physical_brs: Mapping[str, Any],
        patch_to_tun: str,
        patch_to_int: str,
    ) -> None:
        self._host = host
        self._firewall = firewall
        self._bridges = {Bridge.INT: int_br}
        if tun_br is not None:
            self._bridges[Bridge.TUN] = tun_br
        self._patch_to_tun = patch_to_tun
        self._patch_to_int = patch_to_int
        self._floods = Floods(int_br, partial(self._ofctl, Bridge.INT, version=_OPENFLOW_OF_FLOODS))
        for bridge in self._bridges.values():
            _prepare(bridge)
        int_br.add_protocols(_OPENFLOW_OF_FLOODS)
        self._physical: dict[str, Bridge] = {}
        self.take(physical_brs)

    def take(self, physical_brs: Mapping[str, Any]) -> None:
        """Work on bridges to physical networks, which Neutron's agent may have made anew.

        :param physical_brs: as for the constructor; others stay.
        """
        for name, bridge in physical_brs.items():
            _prepare(bridge)
            self._physical[name] = Bridge.physical(name)
            self._bridges[self._physical[name]] = bridge

    def inspect(self) -> LocalSwitch:
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

    def dump(self) -> list[Entry]:
        """Read what is ours: the rules that carry our cookie, from all bridges, and the settings of ports.

        :raises RuntimeError: the switch does not answer.
        """
        found: list[Entry] = [*self._floods.kept_out()]
        for bridge in self._bridges:
            text = self._ofctl(
                bridge, "dump-flows", "--no-stats", "--no-names", f"cookie={COOKIE:#x}/-1"
            )
            found += parse_dump(bridge, text)
        return found

    def bound(self, limits: Mapping[int, int]) -> None:
        """Limit what tables of br-int can hold, so that what the switch learns cannot fill its memory.

        A full table forgets first what would be forgotten next, of the hop that has learned most.

        :param limits: table -> number of rules; tables that are not in it are not limited.
        :raises Exception: of ovsdbapp, when the database refuses or does not answer.
        """
        bridge = self._bridges[Bridge.INT]
        database, name = bridge.ovsdb, bridge.br_name
        present = database.db_get("Bridge", name, "flow_tables").execute(check_error=True)
        missing = limits.keys() - present.keys()
        surplus = LIMITS.keys() & present.keys() - limits.keys()
        with database.transaction(check_error=True) as change:
            for number in missing:
                row = change.add(
                    database.db_create(
                        "Flow_Table",
                        name="port_chain",
                        flow_limit=limits[number],
                        overflow_policy="evict",
                        groups=[f"NXM_NX_{REG_STEP.upper()}[]"],
                    )
                )
                change.add(database.db_set("Bridge", name, ("flow_tables", {number: row})))
            for number in surplus:
                change.add(database.db_remove("Bridge", name, "flow_tables", number))

    def apply(self, batch: Batch) -> None:
        """Carry out a batch. Its rules go as one bundle: all of them or, when this raises, none.

        :raises RuntimeError: the switch refused or does not answer.
        """
        if batch.shield:
            self._floods.keep_out(batch.shield)
        if batch.expose:
            self._floods.let_in(batch.expose)
        lines = [f"delete_strict cookie={COOKIE:#x}/-1,{_match_text(key)}" for key in batch.remove]
        lines += [
            f"add cookie={COOKIE:#x},{flow.match_text},actions={flow.actions}" for flow in batch.put
        ]
        if lines:
            self._ofctl(batch.bridge, "add-flows", "--bundle", "-", stdin="\n".join(lines) + "\n")

    def _ofctl(
        self,
        bridge: Bridge,
        command: str,
        *args: str,
        stdin: str | None = None,
        version: str = OPENFLOW,
    ) -> str:
        # OVSBridge.run_ofctl logs failures and goes on; a rule that is not there must not pass for one that is.
        options = [arg for arg in args if arg.startswith("--")]
        operands = [arg for arg in args if not arg.startswith("--")]
        name = self._bridges[bridge].br_name
        argv = ["ovs-ofctl", *options, "-O", version, command, name, *operands]
        return agent_utils.execute(
            argv, run_as_root=True, process_input=stdin, privsep_exec=True, log_fail_as_error=False
        )

    def _physical_bridges(self, integration: list[dict[str, Any]]) -> dict[str, PhysicalBridge]:
        found = {}
        for name, bridge in self._physical.items():
            own = self._bridges[bridge].br_name
            here = _patch_name(own, ovs_constants.PEER_INTEGRATION_PREFIX)
            there = _patch_name(own, ovs_constants.PEER_PHYSICAL_PREFIX)
            to_physical = _ofport_of(integration, here)
            to_int = _ofport_of(self._interfaces(bridge), there)
            if to_physical is not None and to_int is not None:
                found[name] = PhysicalBridge(to_physical, to_int)
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
        return self._bridges[bridge].get_ports_attributes(table, columns=columns, if_exists=True)


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
