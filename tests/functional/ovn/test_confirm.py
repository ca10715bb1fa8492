"""Status of chains whose ports are not in place yet, on a real Northbound database."""

from collections.abc import Callable
from typing import Any

import pytest

from portchain.db.realisation import Unconfirmed
from portchain.drivers.ovn import northbound
from portchain.drivers.ovn.confirm import Confirmation
from portchain.drivers.ovn.health import Health
from portchain.drivers.ovn.rows import anchor_name, child_name, probe_name, wire_name
from tests.functional.ovn.conftest import Connect, add
from tests.plans import ident


def test_ports_of_functions_without_traffic_are_not_awaited(connect: Connect) -> None:
    """A function with weight 0 or on standby has probes and gets no packets."""
    database = connect()
    marks = {"neutron:port_name": "p2", "neutron:project_id": "mine", "neutron:host_id": "h1"}
    function = ident("p2")
    names = {probe_name: "", child_name: "port p2 to be plugged in"}

    def chain(row: Callable[..., Any]) -> None:
        port = row("Logical_Switch_Port", name=function, external_ids=marks)
        row("Logical_Switch", name="net", ports=[port])
        for number, name_of in enumerate(names):
            chain_id = ident(f"pc{number}")
            child = row(
                "Logical_Switch_Port", name=name_of(chain_id, function), parent_name=function
            )
            row("Logical_Switch", name=wire_name(chain_id, "wire"), ports=[child])
            row("Port_Group", name=anchor_name(chain_id), external_ids={northbound.PROJECT: "mine"})

    add(database, chain)
    confirmation = Confirmation(database, database, Health(database))
    for number, expected in enumerate(names.values()):
        item = Unconfirmed("h1", ident(f"pc{number}"), 1, "")
        assert confirmation._missing(item) == expected


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ({"p1": "mine", "p2": "mine"}, "port p1, p2 to be plugged in"),
        ({"p1": "mine", "p2": "theirs"}, "port p1 and a port of another project to be plugged in"),
        ({"p1": "theirs", "p2": "theirs"}, "a port of another project to be plugged in"),
    ],
)
def test_ports_of_borrowed_functions_are_not_named(
    connect: Connect, owners: dict[str, str], expected: str
) -> None:
    database = connect()

    def chain(row: Callable[..., Any]) -> None:
        ports = [
            row(
                "Logical_Switch_Port",
                name=ident(name),
                external_ids={
                    "neutron:port_name": name,
                    "neutron:project_id": owner,
                    "neutron:host_id": "h1",
                },
            )
            for name, owner in owners.items()
        ]
        row("Logical_Switch", name=wire_name(ident("pc1"), "wire"), ports=ports)
        marks = {northbound.PROJECT: "mine"}
        row("Port_Group", name=anchor_name(ident("pc1")), external_ids=marks)

    add(database, chain)
    item = Unconfirmed("h1", ident("pc1"), 1, "")
    assert Confirmation(database, database, Health(database))._missing(item) == expected
