"""Reading ports again from a replica of the database, as the library keeps it."""

import threading
from types import SimpleNamespace
from uuid import UUID

import pytest
from ovs.db import idl as ovs_idl
from ovsdbapp.backend.ovs_idl import idlutils

from portchain.host import bridge as bridge_module
from portchain.host.bridge import PortRows

_STRINGS = {"key": "string", "value": "string", "min": 0, "max": "unlimited"}
_OPTIONAL = {"key": "integer", "min": 0, "max": 1}


def _several(table):
    return {"type": {"key": {"type": "uuid", "refTable": table}, "min": 0, "max": "unlimited"}}


SCHEMA = {
    "name": "Open_vSwitch",
    "version": "1.0.0",
    "tables": {
        "Bridge": {
            "isRoot": True,
            "columns": {"name": {"type": "string"}, "ports": _several("Port")},
        },
        "Port": {
            "columns": {
                "name": {"type": "string"},
                "tag": {"type": _OPTIONAL},
                "other_config": {"type": _STRINGS},
                "interfaces": _several("Interface"),
            }
        },
        "Interface": {
            "columns": {
                "name": {"type": "string"},
                "ofport": {"type": _OPTIONAL},
                "external_ids": {"type": _STRINGS},
            }
        },
    },
}
BRIDGE, PORT, OTHER_PORT, INTERFACE, OTHER_INTERFACE = (str(UUID(int=n)) for n in range(1, 6))


class Replica:
    """A bridge whose rows the library keeps; the server's messages are given to it."""

    name = "br-int"

    def __init__(self):
        helper = ovs_idl.SchemaHelper(schema_json=SCHEMA)
        helper.register_all()
        self.idl = ovs_idl.Idl("unix:/nonexistent", helper)
        lock = threading.RLock()
        self.database = SimpleNamespace(idl=self.idl, ovsdb_connection=SimpleNamespace(lock=lock))
        self.change("Interface", INTERFACE, insert={"name": "tap1", "external_ids": _map(id="p1")})
        self.change("Interface", OTHER_INTERFACE, insert={"name": "tap2", "ofport": 2})
        first, second = ["uuid", INTERFACE], ["uuid", OTHER_INTERFACE]
        config = _map(tag="5")
        self.change(
            "Port", PORT, insert={"name": "tap1", "interfaces": first, "other_config": config}
        )
        self.change("Port", OTHER_PORT, insert={"name": "tap2", "interfaces": second})
        ports = ["set", [["uuid", PORT], ["uuid", OTHER_PORT]]]
        self.change("Bridge", BRIDGE, insert={"name": "br-int", "ports": ports})

    def change(self, table, row, **what):
        """A message of the server: ``modify`` has differences, as the protocol sends them."""
        self.idl._Idl__parse_update({table: {row: what}}, ovs_idl.OVSDB_UPDATE2)


def _map(**values):
    return ["map", [list(item) for item in values.items()]]


@pytest.fixture
def replica():
    return Replica()


CHANGES = [
    ("Interface", INTERFACE, "external_ids", _map(id="p2"), {"id": "p2"}),
    ("Interface", INTERFACE, "external_ids", _map(id="p1"), {}),
    ("Interface", INTERFACE, "ofport", 7, 7),
    ("Port", PORT, "other_config", _map(tag="6"), {"tag": "6"}),
    ("Port", PORT, "tag", 6, 6),
]


@pytest.mark.parametrize(("table", "row", "column", "difference", "after"), CHANGES)
def test_changes_of_a_row_are_read(replica, table, row, column, difference, after):
    """The library changes most values in place."""
    columns = ("_uuid", *(one for one in SCHEMA["tables"][table]["columns"] if one != "interfaces"))
    rows = PortRows(replica, table, columns)
    before = rows.read()
    replica.change(table, row, modify={column: difference})
    found = rows.read()
    assert found is not before
    assert next(one for one in found if one["name"] == "tap1")[column] == after
    assert found == PortRows(replica, table, columns).read()


def test_only_rows_that_have_changed_are_converted(replica, monkeypatch):
    rows = PortRows(replica, "Interface", ("name", "ofport"))
    before = rows.read()
    converted, looked = [], []
    convert, look = idlutils.get_column_value, idlutils.row_by_value
    monkeypatch.setattr(
        bridge_module.idlutils,
        "get_column_value",
        lambda row, name: (converted.append(row.name), convert(row, name))[1],
    )
    monkeypatch.setattr(
        bridge_module.idlutils, "row_by_value", lambda *of: (looked.append(of), look(*of))[1]
    )
    assert rows.read() is before
    assert not looked, "nothing in the replica has changed"
    replica.change("Interface", INTERFACE, modify={"external_ids": _map(id="p1")})
    assert rows.read() is before, "a column that nobody asked for has changed"
    replica.change("Interface", INTERFACE, modify={"ofport": 7})
    assert rows.read() is not before
    assert set(converted) == {"tap1"}
