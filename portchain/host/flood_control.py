"""Keeps the action NORMAL of br-int from sending frames to ports.

NORMAL floods broadcast, multicast and unknown unicast. A port is excluded by the OpenFlow port
setting "no-flood", and marked in OVSDB with who made the setting. ovs-vswitchd forgets the setting
when it restarts, but the mark stays. Both disappear with the port (docs/decisions/0012).

NORMAL also sends unicast to the port at which it has learned the destination. ovs-vswitchd forgets
what it has learned at a port when the port's column "protected" changes. The column does not stay
set, because nothing can be sent between two protected ports (docs/decisions/0050).
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

ADDRESSES_MARK = "portchain-addresses"
"""Key in an interface's ``external_ids``. It says whether the switch is about to forget the
addresses behind the port (``FORGETTING``), or has done so (``FORGOTTEN``)."""

SET, FOUND = "set", "found"
FORGETTING, FORGOTTEN = "forgetting", "forgotten"
_PORT = re.compile(r"^ (\d+)(?:\(.*\))?: addr:.*\n\s+config:\s+(.*)$", re.MULTILINE | re.ASCII)


class FloodControl:
    """The ports of a bridge to which NORMAL sends nothing.

    :param bridge: br-int.
    """

    def __init__(self, bridge: BridgeConnection) -> None:
        self._bridge = bridge
        self._ofctl = partial(bridge.ofctl, version=OPENFLOW_FOR_FLOODING)

    def suppressed(self) -> list[NoFlood]:
        """Return the ports that have the setting and our marks."""
        marked = [
            row
            for row in self._interfaces()
            if MARK in row["external_ids"] and row["external_ids"].get(ADDRESSES_MARK) == FORGOTTEN
        ]
        excluded = self.excluded_ofports() if marked else frozenset()
        return [
            NoFlood(row["ofport"], str(row["_uuid"])) for row in marked if row["ofport"] in excluded
        ]

    def suppress(self, ports: Iterable[NoFlood]) -> None:
        """Exclude ports from flooding. A port that somebody else excluded is only marked.

        The mark is written first: after a crash between the two writes, the mark still shows that
        the setting is needed.

        :raises RuntimeError: the switch refused.
        """
        excluded = self.excluded_ofports()
        rows = {str(row["_uuid"]): row for row in self._interfaces()}
        for port in ports:
            if port.record not in rows:
                continue  # unplugged in the meantime; its event follows
            row, found = rows[port.record], port.ofport in excluded
            if MARK not in row["external_ids"]:
                mark = ("external_ids", {MARK: FOUND if found else SET})
                command = self._bridge.database.db_set("Interface", row["name"], mark)
                command.execute(check_error=True)
            if not found:
                self._ofctl("mod-port", str(port.ofport), "no-flood")

    def forget_addresses(self, ports: Iterable[NoFlood]) -> None:
        """Forget the addresses that the switch has learned at ports.

        Call this when flows keep the switch from learning them again. Each transaction returns
        when ovs-vswitchd has taken it over.

        :raises Exception: of ovsdbapp, if the database refuses or does not answer.
        """
        rows = {str(row["_uuid"]): row for row in self._interfaces()}
        protected = self._protected_ports()
        chosen = [rows[port.record] for port in ports if port.record in rows]
        pending = [row for row in chosen if row["external_ids"].get(ADDRESSES_MARK) != FORGOTTEN]
        if not pending:
            return
        for mark, changed in ((FORGETTING, True), (FORGOTTEN, False)):
            database = self._bridge.database
            with database.transaction(check_error=True) as transaction:
                for row in pending:
                    name, marks = row["name"], {ADDRESSES_MARK: mark}
                    # Protected by somebody else, unless we were interrupted.
                    found = (
                        name in protected and row["external_ids"].get(ADDRESSES_MARK) != FORGETTING
                    )
                    transaction.add(database.db_set("Interface", name, ("external_ids", marks)))
                    transaction.add(database.db_set("Port", name, ("protected", found ^ changed)))

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
            database, name = self._bridge.database, row["name"]
            with database.transaction(check_error=True) as transaction:
                if row["external_ids"].get(ADDRESSES_MARK) == FORGETTING:
                    transaction.add(database.db_set("Port", name, ("protected", False)))
                for mark in (MARK, ADDRESSES_MARK):
                    transaction.add(database.db_remove("Interface", name, "external_ids", mark))

    def excluded_ofports(self) -> frozenset[int]:
        """Return the OpenFlow ports that have the setting, whoever made it."""
        text = self._ofctl("dump-ports-desc")
        return frozenset(
            int(number) for number, config in _PORT.findall(text) if "NO_FLOOD" in config
        )

    def _protected_ports(self) -> frozenset[str]:
        rows = read_port_rows(self._bridge, "Port", ["name", "protected"])
        return frozenset(row["name"] for row in rows if row["protected"])

    def _interfaces(self) -> list[dict[str, Any]]:
        columns = ["_uuid", "name", "ofport", "external_ids"]
        return read_port_rows(self._bridge, "Interface", columns)
