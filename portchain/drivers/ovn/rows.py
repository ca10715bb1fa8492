"""The Northbound rows of one chain, as values. Nothing here acts.

Rows that OVN identifies by name are identified so here as well. All are the chain's own but two
kinds: the ports of functions, which are Neutron's and are only moved, and the switch of the sources.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PRIORITY = 2000
"""Of a chain's ACLs."""
FROM_PORT, TO_PORT = "from-lport", "to-lport"
_PROBE = re.compile("pc-.{36}-(?P<chain>.{36})-probe")


@dataclass(frozen=True, slots=True)
class Acl:
    """A row of the table ACL.

    :param function: name of the ``Network_Function_Group`` that gets what matches; empty for none.
    """

    direction: str
    priority: int
    match: str
    action: str
    function: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patch:
    """A port of type ``switch``: one end of a wire between two switches.

    :param switch: name of the switch it is on. ``peer``: name of the port at the other end.
    :param addresses: of the row; ``unknown`` takes what no other port of its switch is known for.
    """

    name: str
    switch: str
    peer: str
    addresses: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MovedPort:
    """A port of a function, which Neutron has made: taken from its own switch to one of the chain's.

    :param home: name of the switch on which it is without chains.
    """

    name: str
    switch: str
    home: str
    addresses: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Function:
    """A ``Network_Function`` and the group of the same name that holds nothing else.

    :param inport: where requests leave the sources' switch, and replies come back to it.
    :param outport: where requests come back, and replies leave.
    """

    name: str
    inport: str
    outport: str


@dataclass(frozen=True, slots=True)
class Child:
    """A child of a function's port: what it sends comes out there with a VLAN tag, and only such frames come in.

    :param switch: name of the switch it is on. ``parent``: name of the function's port.
    :param tag: 1..4094; None where several chains may have children: each gets a tag of its own there.
    :param twin: name of the child at the function's other port, which gets the same.
    """

    name: str
    switch: str
    parent: str
    tag: int | None
    twin: str
    addresses: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A ``Network_Function`` for nothing but its health check, and that check, of the same name.

    :param inport: where the ping is sent. ``outport``: where it is awaited.
    :param options: of the check.
    """

    name: str
    inport: str
    outport: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChainRows:
    """Everything of one chain.

    :param anchor: name of the chain's Port_Group, by which all the rest is found again.
    :param project: id of the project that owns the chain.
    :param sources: names of the ports whose traffic is classified.
    :param keeps_functions: those that are left over stay for a while, for replies of connections from before.
    :param switches: name -> its ACLs.
    :param children: in the place of the ports of functions that keep VLAN tags. ``probes``: those that check functions.
    :param classification: ACLs of the anchor.
    """

    chain_id: str
    revision: int
    anchor: str
    project: str = ""
    sources: tuple[str, ...] = ()
    keeps_functions: bool = False
    switches: Mapping[str, tuple[Acl, ...]] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    moved: tuple[MovedPort, ...] = ()
    children: tuple[Child, ...] = ()
    functions: tuple[Function, ...] = ()
    probes: tuple[Child, ...] = ()
    checks: tuple[Check, ...] = ()
    classification: tuple[Acl, ...] = ()


def anchor_name(chain_id: str) -> str:
    """Name of a chain's Port_Group; matches refer to it, in which no hyphen may be."""
    return f"pc_{chain_id.replace('-', '_')}"


def wire_name(chain_id: str, wire: str = "") -> str:
    """Name of a wire of a chain; without a wire, what they all begin with."""
    return f"pc-{chain_id}-{wire}"


def check_name(chain_id: str, egress: str) -> str:
    """Name of what checks a function, and of the switch that takes: by the function's egress."""
    return wire_name(chain_id, f"{egress}-check")


def children_name(port: str) -> str:
    """What the names of all children of a function's port begin with."""
    return f"pc-{port}-"


def child_name(chain_id: str, port: str) -> str:
    """Name of the child by which a chain's packets pass a port of a function that keeps VLAN tags."""
    return f"{children_name(port)}{chain_id}"


def probe_name(chain_id: str, port: str) -> str:
    """Name of the child that a function's port has while the function is checked."""
    return f"{child_name(chain_id, port)}-probe"


def chain_of_probe(name: str) -> str:
    """Id of the chain that checks a function by the port of this name; empty if the port is nothing of the kind."""
    found = _PROBE.fullmatch(name)
    return found["chain"] if found else ""


def home_of(network_id: str) -> str:
    """Name of the switch that ML2/OVN makes for a network."""
    return f"neutron-{network_id}"
