"""Functions that keep VLAN tags: which tags chains have there, and who has their ports (docs/decisions/0038).

The children of a port say which of its tags are taken: nobody writes them but this driver. Whoever deals out a tag, or removes
a child, writes the rows of the function's own ports as well, and verifies them: of two processes that do so at once, one
starts again. (What is only verified and not written, the server does not look at.)
"""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from portchain.drivers.ovn import moved
from portchain.drivers.ovn.errors import NoFreeTag, Taken
from portchain.drivers.ovn.northbound import CHAIN, DEALT, HOME, TAGS, Database
from portchain.drivers.ovn.rows import children_name

_HIGHEST = 4094
_PORT = "Logical_Switch_Port"


def chains_at(database: Database, port: str) -> set[str]:
    """Ids of the chains that share a function's port, by its name."""
    return {str(row.external_ids.get(CHAIN, "")) for row in _sharing(database, port)}


def deal(database: Database, ports: Sequence[Any], names: Collection[str]) -> int:
    """Return the tag of a chain's children at a function; shut the function's ports.

    :param ports: rows of the function's ports. ``names``: of the children, which need not be there.
    :raises Taken: a port is on another chain's wire.
    :raises NoFreeTag: all are dealt out.
    """
    for port in ports:
        port.verify("external_ids")
        if not _is_at_home(database, port):
            raise Taken
    own = [row for name in names if (row := database.named(_PORT, name)) is not None]
    everybody = [row for port in ports for row in _children(database, port.name)]
    taken = {number for row in everybody if row.name not in names for number in row.tag}
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


def claim(database: Database, port: Any) -> None:
    """See that a port that is on none of a chain's wires is nobody's.

    :raises Taken: it is another chain's.
    """
    port.verify("external_ids")
    if is_had(database, port):
        raise Taken
    moved.give_back(port)


def let_go(database: Database, port: Any, child: str) -> None:
    """Give a port back that was shut, if nobody has children there any more.

    :param child: name of the one that was removed.
    """
    if not is_shut(port):
        return
    port.verify("external_ids")
    if _sharing(database, port.name):
        moved.note_left(port, child)
    else:
        moved.give_back(port)


def is_shut(port: Any) -> bool:
    """Whether chains share a port, as its marks say."""
    return TAGS in port.external_ids


def is_had(database: Database, port: Any) -> bool:
    """Whether a port is in fact a chain's, or several chains'.

    Its marks do not tell: Neutron reads all of them, and may write them again when they are gone.
    """
    return not _is_at_home(database, port) or bool(_sharing(database, port.name))


def _is_at_home(database: Database, port: Any) -> bool:
    home = database.named("Logical_Switch", port.external_ids.get(HOME, ""))
    return home is not None and port in home.ports


def _children(database: Database, port: str) -> list[Any]:
    return database.named_from(_PORT, children_name(port))


def _sharing(database: Database, port: str) -> list[Any]:
    """The children by which chains share a port: not those that check a function which one has for itself."""
    return [row for row in _children(database, port) if DEALT in row.external_ids]


def _last(port: Any) -> int:
    return int(port.external_ids.get(TAGS, _HIGHEST + 1))


def _next(last: int, taken: Collection[int]) -> int:
    """The next tag in turn: what a chain that is gone left in a function must not come out in another."""
    turn = chain(range(last - 1, 0, -1), range(_HIGHEST, last - 1, -1))
    number = next((number for number in turn if number not in taken), None)
    if number is None:
        raise NoFreeTag
    return number
