"""Which chain has which VLAN tag at a function that keeps them (docs/decisions/0038).

It is noted in the rows of the function's two ports, because that is what all chains that have it write: two processes that deal
out tags at once meet there, and one of them starts again.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from portchain.drivers.ovn.northbound import CHAIN, TAGS
from portchain.drivers.ovn.rows import Purpose

# Those of trunks tend to be low numbers.
_NUMBERS = range(4094, 0, -1)


def reserve(ports: Sequence[Any], chain_id: str, purposes: Iterable[Purpose]) -> None:
    """See that a chain has the tags it needs at a function, the same at all of its ports; those it has stay.

    :param ports: rows of its ports.
    """
    noted = [_read(port) for port in ports]
    needed = [_key(chain_id, purpose) for purpose in purposes]
    for tags in noted:
        for key in _keys(tags, chain_id) - set(needed):
            del tags[key]
    for key in needed:
        present = {tags.get(key) for tags in noted}
        if len(present) > 1 or None in present:
            taken = {number for tags in noted for number in tags.values()}
            number = next(number for number in _NUMBERS if number not in taken)
            for tags in noted:
                tags[key] = number
    for port, tags in zip(ports, noted, strict=True):
        _write(port, tags)


def tag_of(port: Any, chain_id: str, purpose: Purpose) -> int:
    """The tag that a chain has at a port.

    :raises KeyError: it has none.
    """
    return _read(port)[_key(chain_id, purpose)]


def holder(port: Any, chain_id: str) -> str:
    """Whose of the chains that have a port is to be told when its row changes.

    :param chain_id: the one that asks, if nobody is.
    """
    first = str(port.external_ids.get(CHAIN, ""))
    return first if _keys(_read(port), first) else chain_id


def forget(port: Any, chain_id: str) -> bool:
    """Take a chain's tags at a port away.

    :returns: whether no other chain has one.
    """
    tags = _read(port)
    for key in _keys(tags, chain_id):
        del tags[key]
    _write(port, tags)
    if tags:
        heir = next(iter(tags)).partition(" ")[0]
        port.external_ids = {**port.external_ids, CHAIN: holder(port, heir)}
    return not tags


def is_tagged(port: Any) -> bool:
    """Whether chains have a port by tags."""
    return TAGS in port.external_ids


def _key(chain_id: str, purpose: Purpose) -> str:
    return f"{chain_id} {purpose}"


def _keys(tags: Iterable[str], chain_id: str) -> set[str]:
    return {key for key in tags if key.partition(" ")[0] == chain_id}


def _read(port: Any) -> dict[str, int]:
    port.verify("external_ids")
    return dict(json.loads(port.external_ids.get(TAGS, "{}")))


def _write(port: Any, tags: dict[str, int]) -> None:
    if tags != _read(port):
        port.external_ids = {**port.external_ids, TAGS: json.dumps(tags)}
