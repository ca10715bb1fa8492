"""Excludes ports of br-int from flooding.

The action NORMAL floods broadcast, multicast and unknown unicast. A port is excluded by the
OpenFlow port setting "no-flood", and marked in OVSDB with who made the setting. ovs-vswitchd
forgets the setting when it restarts, but the mark stays. Both disappear with the port
(docs/decisions/0012).
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from portchain.dataplane.flow import NoFlood
from portchain.host.bridge import OPENFLOW_FOR_FLOODING, BridgeConnection, read_port_rows

MARK = "portchain-no-flood"
"""Key in an interface's ``external_ids``. It says that a chain needs the setting, and who
made it: portchain (``SET``), or somebody else before (``FOUND``)."""

SET, FOUND = "set", "found"
_PORT = re.compile(r"^ (\d+)(?:\(.*\))?: addr:.*\n\s+config:\s+(.*)$", re.MULTILINE | re.ASCII)


class FloodControl:
    """The ports of a bridge that are excluded from flooding.

    :param bridge: br-int.
    """

    def __init__(self, bridge: BridgeConnection) -> None:
        self._bridge = bridge
        self._ofctl = partial(bridge.ofctl, version=OPENFLOW_FOR_FLOODING)

    def suppressed(self) -> list[NoFlood]:
        """Return the ports that have both the setting and our mark."""
        marked = [row for row in self._interfaces() if MARK in row["external_ids"]]
        excluded = self._excluded_ofports() if marked else frozenset()
        return [
            NoFlood(row["ofport"], str(row["_uuid"])) for row in marked if row["ofport"] in excluded
        ]

    def suppress(self, ports: Iterable[NoFlood]) -> None:
        """Exclude ports from flooding. A port that somebody else excluded is only marked.

        The mark is written first: after a crash between the two writes, the mark still shows that
        the setting is needed.

        :raises RuntimeError: the switch refused.
        """
        excluded = self._excluded_ofports()
        names = {str(row["_uuid"]): row["name"] for row in self._interfaces()}
        for port in ports:
            if port.record not in names:
                continue  # unplugged in the meantime; its event follows
            found = port.ofport in excluded
            mark = ("external_ids", {MARK: FOUND if found else SET})
            command = self._bridge.database.db_set("Interface", names[port.record], mark)
            command.execute(check_error=True)
            if not found:
                self._ofctl("mod-port", str(port.ofport), "no-flood")

    def restore(self, ports: Iterable[NoFlood]) -> None:
        """Undo ``suppress``. A port that somebody else excluded stays excluded.

        The mark is removed last, for the same reason as in ``suppress``.

        :raises RuntimeError: the switch refused.
        """
        rows = {str(row["_uuid"]): row for row in self._interfaces()}
        for port in ports:
            row = rows.get(port.record)
            if row is None or MARK not in row["external_ids"]:
                continue
            if row["external_ids"][MARK] == SET and row["ofport"] == port.ofport:
                self._ofctl("mod-port", str(port.ofport), "flood")
            command = self._bridge.database.db_remove(
                "Interface", row["name"], "external_ids", MARK
            )
            command.execute(check_error=True)

    def _excluded_ofports(self) -> frozenset[int]:
        text = self._ofctl("dump-ports-desc")
        return frozenset(
            int(number) for number, config in _PORT.findall(text) if "NO_FLOOD" in config
        )

    def _interfaces(self) -> list[dict[str, Any]]:
        columns = ["_uuid", "name", "ofport", "external_ids"]
        return read_port_rows(self._bridge, "Interface", columns)
