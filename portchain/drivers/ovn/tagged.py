"""Functions that keep VLAN tags: which tags chains have there, and who has their ports (docs/decisions/0038).

The children of a port say which of its tags are taken: nobody writes them but this driver. Who deals out a tag, or removes
the last child, writes the rows of the function's own ports as well, and verifies them: of two processes that do so at once,
one starts again.
"""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from portchain.drivers.ovn import moved
from portchain.drivers.ovn.errors import NoFreeTag, Taken
from portchain.drivers.ovn.northbound import CHAIN, TAGS, Database
from portchain.drivers.ovn.rows import children_name, wire_name

_HIGHEST = 4094
_PORT = "Logical_Switch_Port"


def children(database: Database, port: str) -> list[Any]:
    """Rows of the children that chains have at a port."""
    return database.named_from(_PORT, children_name(port))


def chains_at(database: Database, port: str) -> set[str]:
    """Ids of the chains that have children at a port."""
    return {str(row.external_ids.get(CHAIN, "")) for row in children(database, port)}


def deal(database: Database, ports: Sequence[Any], names: Collection[str]) -> int:
    """Return the tag of a chain's children at a function; shut the function's ports.

    :param ports: rows of the function's ports. ``names``: of the children, which need not be there.
    :raises Taken: a port is on another chain's wire.
    :raises NoFreeTag: all are dealt out.
    """
    for port in ports:
        if not is_shut(port):
            claim(database, port)
        port.verify("external_ids")
    own = [row for name in names if (row := database.named(_PORT, name)) is not None]
    others = [row for port in ports for row in children(database, port.name) if row.name not in names]  # fmt: skip
    taken = {number for row in others for number in row.tag}
    present = {number for row in own for number in row.tag} - taken
    if len(own) == len(names) and len(present) == 1:
        (number,) = present
        last = ""
    else:
        number = _next(_last(ports[0]), taken)
        last = str(number)
    for port in ports:
        moved.shut(port, last or port.external_ids.get(TAGS, str(number)))
    return number


def claim(database: Database, port: Any, chain_id: str = "") -> None:
    """See that a port is nobody's, or a chain's own.

    :raises Taken: it is another chain's.
    """
    port.verify("external_ids")
    holder = str(port.external_ids.get(CHAIN, chain_id))
    if is_shut(port) or holder != chain_id:
        if is_had(database, port):
            raise Taken
        moved.give_back(port)


def let_go(database: Database, port: Any) -> None:
    """Give a port back that was shut, if nobody has children there any more."""
    port.verify("external_ids")
    if is_shut(port) and not children(database, port.name):
        moved.give_back(port)


def is_shut(port: Any) -> bool:
    """Whether chains have a port by children, as its marks say."""
    return TAGS in port.external_ids


def is_had(database: Database, port: Any) -> bool:
    """Whether a port is in fact a chain's, or several chains'.

    Its marks alone do not tell: Neutron reads all of them, and may write them again when they are gone.
    """
    if is_shut(port):
        return bool(children(database, port.name))
    wires = database.named_from("Logical_Switch", wire_name(port.external_ids.get(CHAIN, "-")))
    return any(port in wire.ports for wire in wires)


def _last(port: Any) -> int:
    return int(port.external_ids.get(TAGS, _HIGHEST + 1))


def _next(last: int, taken: Collection[int]) -> int:
    """The next tag in turn: what a chain that is gone left in a function must not come out in another."""
    turn = chain(range(last - 1, 0, -1), range(_HIGHEST, last - 1, -1))
    number = next((number for number in turn if number not in taken), None)
    if number is None:
        raise NoFreeTag
    return number
