"""Reads from the Northbound database which ports are plugged in on hosts of OVN."""

from collections.abc import Iterable
from dataclasses import replace

from portchain.core.model import ChainSnapshot, Port
from portchain.ovsdb import ovn

OVN_MECHANISM = "ovn"
"""Neutron's mechanism driver for ports on hosts of OVN."""

_TABLE = "Logical_Switch_Port"
_COLUMNS = {_TABLE: ("name", "up")}


class LogicalPorts:
    """The logical ports of Neutron's ports. Connects when it is first asked."""

    def __init__(self, database: ovn.Database | None = None) -> None:
        """Prepare the connection.

        :param database: a Northbound database that replicates what is needed here; None for one of
            its own.
        """
        self._northbound = database

    def without_seemingly_unplugged(self, snapshot: ChainSnapshot) -> ChainSnapshot:
        """Return a chain in which ports that OVN has bound are plugged in.

        OVN binds a port anew when its interface moves to the bridge of chains or back. Neutron
        hears later, and one after the other, that the port is down and that it is up.
        """
        ports = snapshot.ports.values()
        unplugged = [p for p in ports if p.mechanism == OVN_MECHANISM and not p.plugged]
        bound = {port.id: replace(port, plugged=True) for port in self._bound(unplugged)}
        return replace(snapshot, ports={**snapshot.ports, **bound}) if bound else snapshot

    def _bound(self, ports: Iterable[Port]) -> list[Port]:
        """Return the ports that OVN has bound; none if it does not answer."""
        asked = list(ports)
        if not asked:
            return []
        if self._northbound is None:
            self._northbound = ovn.northbound(_COLUMNS)
        try:
            self._northbound.connect()
        except ovn.Unreachable:
            return []
        rows = {port.id: self._northbound.named(_TABLE, port.id) for port in asked}
        return [p for p in asked if (row := rows[p.id]) is not None and row.up == [True]]
