"""Reads the tunnel endpoints of OVN's hosts from the Southbound database."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from oslo_log import log

from portchain.dataplane.planning.mtu import TunnelEnd
from portchain.ovsdb import ovn

LOG = log.getLogger(__name__)

_COLUMNS = {
    "Chassis": ("name", "hostname", "encaps"),
    "Chassis_Private": ("name", "nb_cfg_timestamp"),
    "Encap": ("type", "ip", "options"),
}
_TUNNELS = ("geneve", "vxlan")
"""Types with which ovn-controller connects chassis, the preferred one first (ovn-sb(5), Encap)."""

_SILENT_MS = 60_000
"""A chassis that answered so long before another one of its host has gone. Several that answer do
not take turns: each change of the endpoint plans the host's chains again."""


class Chassis:
    """The chassis that ovn-controllers have registered. Connects when it is first asked."""

    def __init__(self) -> None:
        self._southbound: ovn.Database | None = None
        self._doubled: set[str] = set()  # hosts that the log names

    def tunnel_ends(self, hosts: Collection[str]) -> dict[str, TunnelEnd]:
        """Return host -> its tunnel endpoint; hosts without a chassis are left out.

        :raises ovn.Unreachable: the database does not answer, and never did in this process.
        """
        if not hosts:
            return {}
        southbound = self._connected()
        found = {host: southbound.with_hostname("Chassis", host) for host in hosts}
        return self._ends(southbound, found)

    def all_tunnel_ends(self) -> dict[str, TunnelEnd]:
        """Return the same for all hosts."""
        southbound = self._connected()
        found: defaultdict[str, list[Any]] = defaultdict(list)
        for row in southbound.rows("Chassis"):
            found[row.hostname].append(row)
        return self._ends(southbound, found)

    def _ends(
        self, southbound: ovn.Database, found: Mapping[str, Sequence[Any]]
    ) -> dict[str, TunnelEnd]:
        """Return host -> its tunnel endpoint.

        A host that was installed anew has another chassis, and the former one stays until somebody
        deletes it.

        :param found: host -> its chassis.
        """
        ends: dict[str, TunnelEnd] = {}
        for host, rows in found.items():
            answered = {row.name: 0 for row in rows}
            if len(rows) > 1:
                self._log_doubled(host, answered)
                for name in answered:
                    private = southbound.named("Chassis_Private", name)
                    answered[name] = 0 if private is None else private.nb_cfg_timestamp
            if rows:
                name = current_chassis(answered)
                ends[host] = next(_tunnel_end(row.encaps) for row in rows if row.name == name)
        return ends

    def _log_doubled(self, host: str, names: Iterable[str]) -> None:
        if host not in self._doubled:
            self._doubled.add(host)
            LOG.warning(
                "OVN has several chassis with the hostname %s: %s. Chains use the one that "
                "answers. Delete those that have gone (openstack network agent delete)",
                host,
                ", ".join(sorted(names)),
            )

    def open(self) -> ovn.Database:
        """Return the database; it is not connected before it is asked."""
        if self._southbound is None:
            self._southbound = ovn.southbound(_COLUMNS)
        return self._southbound

    def _connected(self) -> ovn.Database:
        database = self.open()
        try:
            database.connect()
        except ovn.Unreachable:
            # Hosts keep their addresses while the database is away.
            if not database.is_known:
                raise
        return database


def current_chassis(answered: Mapping[str, int]) -> str:
    """Return which of the chassis with one hostname is the host.

    :param answered: name -> when ovn-controller has followed the databases last, in milliseconds.
    """
    latest = max(answered.values())
    return min(name for name, time in answered.items() if latest - time < _SILENT_MS)


def _tunnel_end(encaps: Iterable[Any]) -> TunnelEnd:
    """Return the endpoint of a chassis: of several, the one that OVN prefers."""
    usable = [row for row in encaps if row.type in _TUNNELS]
    if not usable:
        return TunnelEnd()

    def rank(row: Any) -> tuple[int, bool, str]:
        is_default = row.options.get("default-encap-ip") == "true"
        return _TUNNELS.index(row.type), not is_default, row.ip

    chosen = min(usable, key=rank)
    return TunnelEnd(chosen.ip, frozenset({chosen.type}))
