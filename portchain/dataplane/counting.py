"""Which part of a switch's flows to read for their counts, and what it printed of them. Pure."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from portchain.core.counters import Count
from portchain.dataplane.flow import Bridge, FlowKey, parse_flow
from portchain.dataplane.pipeline import (
    LEARNED_POSITION_SHIFT,
    POSITION_ARRIVED,
    REG_PATH_POSITION,
    TABLES,
)

MOST_SELECTIONS = 12
"""A program is started for each selection. Beyond this number, whole tables are read: the switch
prints some 100,000 flows a second."""

_LABEL = 0xFFFFF & ~POSITION_ARRIVED
_PATH = 0xFFFFF
_COOKIE = re.compile(r"cookie=0x([0-9a-f]{1,16}),", re.ASCII)
_COUNTS = re.compile(r"n_packets=(\d+), n_bytes=(\d+)", re.ASCII)
_POSITION = f"{REG_PATH_POSITION}="


def selections(keys: Iterable[FlowKey]) -> Mapping[Bridge, Collection[str]]:
    """Return which flows to ask for: these, and as few others as possible.

    :returns: bridge -> matches for ``ovs-ofctl dump-flows``. It prints the flows that match at
        least these fields.
    """
    exact: defaultdict[Bridge, set[str]] = defaultdict(set)
    tables: defaultdict[Bridge, set[str]] = defaultdict(set)
    for key in keys:
        exact[key.bridge].add(f"table={key.table},{_distinctive_word(key.match)}")
        tables[key.bridge].add(f"table={key.table}")
    few = sum(map(len, exact.values())) <= MOST_SELECTIONS
    return {bridge: sorted(found) for bridge, found in (exact if few else tables).items()}


def _distinctive_word(match: Collection[str]) -> str:
    """Return the word that few flows of other chains match.

    All flows of one path have the path's label in their position, whatever the hop.
    """
    for name in ("in_port=", "conj_id=", _POSITION):
        for word in match:
            if word.startswith(name):
                if name != _POSITION:
                    return word
                position = int(word.removeprefix(name), 0)
                return f"{name}{position & _LABEL:#x}/{_LABEL:#x}"
    return ""


def parse_counts(
    bridge: Bridge, text: str, wanted: Collection[FlowKey]
) -> Iterator[tuple[FlowKey, Count]]:
    """Yield the counts of the wanted flows among those that a switch has printed.

    :param text: what ``ovs-ofctl dump-flows`` printed, with counts.
    :param wanted: a set, because it is looked up for each flow.
    """
    for line in text.splitlines():
        found = _COUNTS.search(line)
        if found is None:
            continue
        key = parse_flow(bridge, line).key
        if key in wanted:
            yield key, Count(int(found[1]), int(found[2]))


Learned = tuple[int, int]
"""Where flows have been learned: the path's label, and the number of the pair that they visit."""


def learned_selections(labels: Collection[int]) -> list[str]:
    """Return which learned flows to ask for: those of some paths, and as few others as possible.

    :param labels: of the paths, see ``pipeline.path_label``.
    :returns: matches for ``ovs-ofctl dump-flows`` on br-int.
    """
    table = f"table={TABLES['AFFINITY'].number}"
    if len(labels) > MOST_SELECTIONS:
        return [table]
    return [
        f"{table},cookie={label << LEARNED_POSITION_SHIFT:#x}/{_PATH << LEARNED_POSITION_SHIFT:#x}"
        for label in sorted(labels)
    ]


def parse_learned(text: str) -> Iterator[Learned]:
    """Yield where each flow has been learned that a switch has printed."""
    for found in _COOKIE.finditer(text):
        position, pair = divmod(int(found[1], 16), 1 << LEARNED_POSITION_SHIFT)
        yield position & _PATH, pair
