"""Keeps floods out of ports of br-int: a port's OpenFlow setting, and a mark in OVSDB that says whose setting it is.

The setting is lost with every restart of ovs-vswitchd, the mark is not; both go with the port (docs/decisions/0012).
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from portchain.dataplane.flow import NoFlood
from portchain.host.bridge import OPENFLOW_OF_FLOODS, BridgeConnection, ports_of

MARK = "portchain-no-flood"
"""Key in an interface's ``external_ids``: we need the setting, and it was ``SET`` by us or ``FOUND`` as it should be."""

SET, FOUND = "set", "found"
_PORT = re.compile(r"^ (\d+)(?:\(.*\))?: addr:.*\n\s+config:\s+(.*)$", re.MULTILINE | re.ASCII)


class FloodControl:
    """The ports of a bridge that NORMAL does not flood to.

    :param bridge: br-int.
    """

    def __init__(self, bridge: BridgeConnection) -> None:
        self._bridge = bridge
        self._ofctl = partial(bridge.ofctl, version=OPENFLOW_OF_FLOODS)

    def kept_out(self) -> list[NoFlood]:
        """The ports whose setting is as we need it and marked so."""
        marked = [row for row in self._interfaces() if MARK in row["external_ids"]]
        quiet = self._quiet() if marked else frozenset()
        return [
            NoFlood(row["ofport"], str(row["_uuid"])) for row in marked if row["ofport"] in quiet
        ]

    def suppress(self, ports: Iterable[NoFlood]) -> None:
        """Keep floods out of ports; one that somebody else keeps them out of is only marked.

        The mark comes first: after a crash between the two, the setting is still known to be wanted.

        :raises RuntimeError: the switch refused.
        """
        quiet, names = self._quiet(), self._names()
        for port in ports:
            if port.record not in names:
                continue  # unplugged meanwhile; an event is on its way
            found = port.ofport in quiet
            mark = {MARK: FOUND if found else SET}
            change = ("external_ids", mark)
            note = self._bridge.database.db_set("Interface", names[port.record], change)
            note.execute(check_error=True)
            if not found:
                self._ofctl("mod-port", str(port.ofport), "no-flood")

    def restore(self, ports: Iterable[NoFlood]) -> None:
        """Let floods into ports again, unless it was somebody else who kept them out; the mark goes last.

        :raises RuntimeError: the switch refused.
        """
        rows = {str(row["_uuid"]): row for row in self._interfaces()}
        for port in ports:
            row = rows.get(port.record)
            if row is None or MARK not in row["external_ids"]:
                continue
            if row["external_ids"][MARK] == SET and row["ofport"] == port.ofport:
                self._ofctl("mod-port", str(port.ofport), "flood")
            remove = self._bridge.database.db_remove("Interface", row["name"], "external_ids", MARK)
            remove.execute(check_error=True)

    def _quiet(self) -> frozenset[int]:
        text = self._ofctl("dump-ports-desc")
        return frozenset(
            int(number) for number, config in _PORT.findall(text) if "NO_FLOOD" in config
        )

    def _names(self) -> dict[str, str]:
        return {str(row["_uuid"]): row["name"] for row in self._interfaces()}

    def _interfaces(self) -> list[dict[str, Any]]:
        columns = ["_uuid", "name", "ofport", "external_ids"]
        return ports_of(self._bridge, "Interface", columns)
