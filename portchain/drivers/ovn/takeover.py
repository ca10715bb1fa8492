"""Removes the rows of the former driver ``ovn``, which moved functions' ports to its own switches.

Neutron's ports get back what Neutron wrote. That is in the rows themselves: marks say what the
former driver wrote into which columns, and what was there before.
"""

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from ovsdbapp.backend.ovs_idl.command import BaseCommand

from portchain.drivers.ovn.northbound import CHAIN, FORMER_TABLES, Wanted, Writer
from portchain.ovsdb.ovn import Database, put

_ANCHOR = re.compile(r"pc_[0-9a-f]{8}(_[0-9a-f]{4}){3}_[0-9a-f]{12}")
"""Name of the port group of a chain that the former driver realised."""

_SWITCH = "pc-"  # beginning of the names of chains' logical switches
_HOME = "neutron:network_name"
_WRITTEN, _KEPT = "portchain:written", "portchain:kept"  # column -> values, as JSON
_OPTIONS = frozenset({"lsp_learn_fdb", "is-nf", "receive_multicast"})
_MARKS = "portchain:"


def former_chains(database: Database) -> set[str]:
    """Return the ids of the chains that have rows of the former driver."""
    groups = database.named_from("Port_Group", "pc_")
    return {
        row.external_ids[CHAIN]
        for row in groups
        if _ANCHOR.fullmatch(row.name) and CHAIN in row.external_ids
    }


class TakeOver(BaseCommand):
    """Replaces all rows of the former driver by guards: chains drop until hosts forward.

    :param wanted: the rows of the chains that stay.
    """

    def __init__(self, database: Database, wanted: Iterable[Wanted]) -> None:
        super().__init__(database)
        self._wanted = list(wanted)

    def run_idl(self, txn: Any) -> None:
        """Called by ovsdbapp, within its transaction."""
        write = Writer(self.api, txn)
        for each in self._wanted:
            write.chain(each)
        switches = self.api.rows("Logical_Switch")
        for switch in switches:
            for port in list(switch.ports):
                self._take(port, switch, switches)
        for switch in switches:
            if switch.name.startswith(_SWITCH) and CHAIN in switch.external_ids:
                switch.delete()
        for row in self.api.named_from("Port_Group", "pc_"):
            if _ANCHOR.fullmatch(row.name):
                _release_functions(row)
                row.delete()
        for table in FORMER_TABLES:
            for row in self.api.rows(table) if self.api.has(table) else ():
                if CHAIN in row.external_ids:
                    row.delete()

    def _take(self, port: Any, switch: Any, switches: Collection[Any]) -> None:
        """Give a port of Neutron's back to its network, or delete one of the former driver's."""
        marks = port.external_ids
        if _WRITTEN in marks:
            _restore(port)
            homes = [row for row in switches if row.name == marks.get(_HOME)]
            if homes and homes[0] != switch:
                switch.delvalue("ports", port)
                homes[0].addvalue("ports", port)
        elif CHAIN in marks:
            switch.delvalue("ports", port)
            port.delete()


def _release_functions(group: Any) -> None:
    """Have the ACLs of a port group name no network function.

    They go with the group, but the database counts references before that.
    """
    for acl in group.acls:
        if getattr(acl, "network_function_group", ()):
            acl.network_function_group = []


def _restore(port: Any) -> None:
    """Write into a port's row what Neutron wrote last."""
    marks = port.external_ids
    written = dict(json.loads(marks[_WRITTEN]))
    present = {column: sorted(getattr(port, column)) for column in written}
    # If they differ, Neutron has written them since.
    kept = json.loads(marks.get(_KEPT, "{}")) if present == written else {}
    put(
        port,
        **kept,
        options={key: value for key, value in port.options.items() if key not in _OPTIONS},
        external_ids={key: value for key, value in marks.items() if not key.startswith(_MARKS)},
    )
