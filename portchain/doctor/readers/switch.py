"""Reads this host's Open vSwitch: its database, its bridges and our flows."""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from portchain.agent.datapath import lacking
from portchain.agent.ovn import host_name
from portchain.core.counters import Count
from portchain.dataplane.datapath import Feature
from portchain.dataplane.flow import Bridge, FlowKey
from portchain.dataplane.host_switch import Firewall, LocalSwitch
from portchain.dataplane.interposing import BR_CHAIN, IFACE_ID, PATCH
from portchain.doctor.readers.bridges import LocalBridge, appctl
from portchain.doctor.readers.configuration import Configuration
from portchain.doctor.readers.deadline import Call
from portchain.doctor.readers.mtu import read_mtu
from portchain.doctor.snapshot import BridgeFacts, HostKind, InterfaceFacts, SwitchFacts
from portchain.host.bridge import OPENFLOW, OPENFLOW_FOR_FLOODING
from portchain.host.open_vswitch import OpenVSwitch
from portchain.host.ovn_switch import integration_bridge, local_switch, read_rows
from portchain.ovsdb.connection import OvsdbUnreachableError
from portchain.ovsdb.switch_database import SwitchDatabase

_MORE = {
    "Interface": ("error", "admin_state", "link_state", "mtu", "status", "bfd", "bfd_status"),
}
_VERSIONS = (OPENFLOW, OPENFLOW_FOR_FLOODING)


class SwitchReader:
    """This host's Open vSwitch.

    :param local_socket: where its database is if it does not answer at the agent's address.
    :param timeout: seconds that each answer may take.
    """

    def __init__(
        self, kind: HostKind, configuration: Configuration, local_socket: str, timeout: int
    ) -> None:
        self._kind, self._configuration = kind, configuration
        self._timeout = timeout
        self._remotes = list(dict.fromkeys((configuration.database, f"unix:{local_socket}")))
        self._switch: OpenVSwitch | None = None

    def read(self) -> tuple[SwitchFacts, str]:
        """Read everything.

        :returns: the switch, and the host's name in Neutron.
        """
        name, errors = self._configuration.host, []
        for remote in self._remotes:
            database = SwitchDatabase(partial(str, remote), self._timeout, _ignore, _MORE)
            try:
                # A server that accepts connections and hangs would be waited for without an end.
                api = Call(database.connect).result(2 * self._timeout)
            except OvsdbUnreachableError as exc:
                errors.append(f"{remote}: {exc.reason}")
                continue
            except TimeoutError as exc:
                errors.append(f"{remote}: {exc}")
                continue
            try:
                if self._kind is HostKind.OVN:
                    name = host_name(api)
                facts = self._read(api, name)
            finally:
                database.close()
            refused = self._remotes[0] if errors else ""
            return replace(facts, refused_address=refused), name
        return SwitchFacts(database_error="; ".join(errors)), name

    def counts(self, keys: Collection[FlowKey]) -> Mapping[FlowKey, Count]:
        """Return what flows have counted; nothing if the switch does not answer."""
        if self._switch is None or not keys:
            return {}
        try:
            return self._switch.read_counts(keys)
        except RuntimeError:
            return {}

    def _read(self, api: Any, name: str) -> SwitchFacts:
        facts = SwitchFacts(interfaces=tuple(_interfaces(api)))
        try:
            appctl(self._timeout, "version")
        except RuntimeError as exc:
            silent = f"ovs-vswitchd does not answer: {exc}"
            facts = replace(facts, daemon_error=str(exc), entries_error=silent)
        bridges = self._bridges(api)
        if not facts.daemon_error:
            bridges = [self._answers(api, bridge) for bridge in bridges]
        lacks, lacks_error = self._lacks(api, bridges)
        facts = replace(facts, bridges=tuple(bridges), lacks_error=lacks_error)
        switch = self._switch = self._open(api, name, bridges)
        switch.lacks = lacks
        try:
            local = self._local(api, name, switch, lacks)
            facts = replace(facts, local=replace(local, limits=self._configuration.limits))
        except Exception as exc:  # of ovsdbapp, e.g. if there is no br-int
            return replace(facts, local_error=str(exc), entries_error=str(exc))
        if facts.daemon_error:
            return facts
        return self._flows(switch, facts)

    def _flows(self, switch: OpenVSwitch, facts: SwitchFacts) -> SwitchFacts:
        try:
            entries = tuple(switch.dump_entries()) if self._has_flows(facts) else ()
            return replace(facts, entries=entries)
        except (RuntimeError, ValueError) as exc:
            return replace(facts, entries_error=str(exc))

    @staticmethod
    def _has_flows(facts: SwitchFacts) -> bool:
        """Return whether the bridge of chains exists."""
        return any(one.exists for one in facts.bridges if one.role == Bridge.INT)

    def _bridges(self, api: Any) -> list[BridgeFacts]:
        wanted: dict[Bridge | None, str] = dict(self._configuration.bridges.items())
        if self._kind is HostKind.OVN:
            wanted = {None: integration_bridge(api), Bridge.INT: BR_CHAIN}
        present = set(api.list_br().execute(check_error=True))
        return [BridgeFacts(name, role, name in present) for role, name in wanted.items()]

    def _answers(self, api: Any, bridge: BridgeFacts) -> BridgeFacts:
        """Ask a bridge in each version of OpenFlow that we use."""
        if not bridge.exists or bridge.role is None:
            return bridge
        connection = LocalBridge(api, bridge.name, self._timeout)
        refusals = {}
        for version in _VERSIONS if bridge.role == Bridge.INT else (OPENFLOW,):
            try:
                connection.ofctl("dump-ports-desc", version=version)
            except RuntimeError as exc:
                refusals[version] = str(exc)
        return replace(bridge, refusals=refusals)

    def _lacks(self, api: Any, bridges: Collection[BridgeFacts]) -> tuple[frozenset[Feature], str]:
        """Return what the datapath lacks, and why that is not known if it is not."""
        first = next((one for one in bridges if one.exists), None)
        if first is None:
            return frozenset(), "there is no bridge to ask about"
        kind = api.db_get("Bridge", first.name, "datapath_type").execute(check_error=True)
        try:
            text = appctl(self._timeout, "dpif/show-dp-features", first.name)
        except RuntimeError as exc:
            return frozenset(), str(exc)
        return lacking(text, kind or "system"), ""

    def _open(self, api: Any, name: str, bridges: Collection[BridgeFacts]) -> OpenVSwitch:
        known = self._configuration
        return OpenVSwitch(
            host=name,
            firewall=known.firewall if self._kind is HostKind.OVS else Firewall.ELSEWHERE,
            bridges={
                one.role: LocalBridge(api, one.name, self._timeout)
                for one in bridges
                if one.exists and one.role is not None
            },
            patch_to_tun=known.patch_to_tun,
            patch_to_int=known.patch_to_int,
            has_rate_limits=known.has_rate_limits,
        )

    def _local(
        self, api: Any, name: str, switch: OpenVSwitch, lacks: frozenset[Feature]
    ) -> LocalSwitch:
        if self._kind is HostKind.OVS:
            return switch.read_ports()
        has_br_chain = api.br_exists(BR_CHAIN).execute(check_error=True)
        rows = read_rows(api, integration_bridge(api)) if has_br_chain else []
        return local_switch(name, rows, lacks, switch.largest_meter())


def _ignore(_: str) -> None: ...


def _interfaces(api: Any) -> Iterator[InterfaceFacts]:
    """Yield all interfaces of all bridges, but those of the bridges themselves."""
    ports = {row["name"]: row for row in api.db_list("Port").execute(check_error=True)}
    interfaces = api.db_list("Interface").execute(check_error=True)
    by_name = {row["name"]: row for row in interfaces}
    by_id = {row["_uuid"]: row for row in interfaces}
    for bridge in api.list_br().execute(check_error=True):
        for name in api.list_ports(bridge).execute(check_error=True):
            for one in ports[name]["interfaces"]:
                if one in by_id:
                    yield _interface(bridge, ports[name], by_id[one], by_name)


def _interface(
    bridge: str, port: Mapping[str, Any], row: Mapping[str, Any], rows: Mapping[str, Any]
) -> InterfaceFacts:
    status, options = row.get("status") or {}, row["options"]
    noted = port["other_config"].get("tag", "")
    egress = str(status.get("tunnel_egress_iface", ""))
    return InterfaceFacts(
        name=row["name"],
        bridge=bridge,
        type=row["type"],
        ofport=_number(row["ofport"]),
        error=_text(row.get("error")),
        admin_state=_text(row.get("admin_state")),
        link_state=_text(row.get("link_state")),
        tag=_number(port["tag"]),
        wanted_tag=int(noted) if noted.isdigit() else None,
        # On OVN, patch ports of br-int represent ports that are on br-chain.
        port_id="" if row["type"] == PATCH else str(row["external_ids"].get(IFACE_ID, "")),
        remote_ip=_address(str(options.get("remote_ip", ""))),
        mtu=_number(row.get("mtu")) or 0,
        carrier=str(status.get("tunnel_egress_iface_carrier", "")),
        bfd=_bfd(row),
        egress_mtu=_number(rows.get(egress, {}).get("mtu")) or read_mtu(egress),
    )


def _bfd(row: Mapping[str, Any]) -> str:
    is_enabled = (row.get("bfd") or {}).get("enable") == "true"
    return str((row.get("bfd_status") or {}).get("state", "")) if is_enabled else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _address(text: str) -> str:
    """Return an address as plans have it; empty if it is none, e.g. ``flow``."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
