"""Reads the tunnel endpoints of OVN's hosts from the Southbound database."""

from collections.abc import Collection, Iterable
from typing import Any

from portchain.dataplane.planning.mtu import TunnelEnd
from portchain.ovsdb import ovn

_COLUMNS = {"Chassis": ("name", "hostname", "encaps"), "Encap": ("type", "ip", "options")}
_TUNNELS = ("geneve", "vxlan")
"""Types with which ovn-controller connects chassis, the preferred one first (ovn-sb(5), Encap)."""


class Chassis:
    """The chassis that ovn-controllers have registered. Connects when it is first asked."""

    def __init__(self) -> None:
        self._southbound: ovn.Database | None = None

    def tunnel_ends(self, hosts: Collection[str]) -> dict[str, TunnelEnd]:
        """Return host -> its tunnel endpoint; hosts without a chassis are left out.

        :raises ovn.Unreachable: the database does not answer, and never did in this process.
        """
        if not hosts:
            return {}
        southbound = self._connected()
        return {
            host: _tunnel_end(row.encaps)
            for host in hosts
            for row in southbound.with_hostname("Chassis", host)
        }

    def all_tunnel_ends(self) -> dict[str, TunnelEnd]:
        """Return the same for all hosts."""
        chassis = self._connected().rows("Chassis")
        return {row.hostname: _tunnel_end(row.encaps) for row in chassis}

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
