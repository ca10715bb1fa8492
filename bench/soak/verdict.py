"""What a minute of the soak has shown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Connection = tuple[int, int]
"""The client's port, and the destination's."""

FRESH_TTL = 64
"""The TTL with which the ends send. Each function that routes subtracts one."""


@dataclass
class Seen:
    """What was seen of the packets of one minute.

    :param visited: the pairs of each hop that the client's packets visited, as ``hop, pair``.
    :param returned: the same for replies.
    :param arrived: TTLs with which the client's packets arrived at the destination, and how many.
    :param answered: the same for replies, at the source.
    """

    visited: dict[Connection, set[tuple[str, str]]] = field(default_factory=dict)
    returned: dict[Connection, set[tuple[str, str]]] = field(default_factory=dict)
    arrived: dict[tuple[int, int], int] = field(default_factory=dict)
    """(destination port, TTL) -> packets."""
    answered: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Minute:
    """One line of the report.

    :param event: what happened in this minute.
    :param finished: connections that were opened, asked, answered and closed.
    :param failed: connections that were not.
    :param split: connections of which two packets in one direction visited two pairs of a group.
    :param two_ways: connections of symmetric chains whose directions visited two pairs.
    :param bypassed: packets that arrived without having passed each function.
    :param cpu: processor time of all ovs-vswitchd for a connection, in µs.
    """

    event: str
    finished: int
    failed: int
    split: int
    two_ways: int
    bypassed: int
    cpu: float

    def to_json(self) -> dict[str, Any]:
        """The minute for the results file."""
        return asdict(self)


def judge(seen: Seen, hops: int, symmetric: frozenset[int]) -> tuple[int, int, int]:
    """Count connections and packets that did not go as they should.

    :param hops: the number of functions that each packet has to pass.
    :param symmetric: destination ports whose replies pass the functions, too.
    :returns: ``split``, ``two_ways`` and ``bypassed`` of ``Minute``.
    """
    split = sum(map(_is_split, (*seen.visited.values(), *seen.returned.values())))
    two_ways = sum(
        1
        for connection, there in seen.visited.items()
        if (back := seen.returned.get(connection)) and connection[1] in symmetric and there != back
    )
    chained = {key: n for key, n in seen.answered.items() if key[0] in symmetric}
    bypassed = sum(_bypassing(arrived, hops) for arrived in (seen.arrived, chained))
    return split, two_ways, bypassed


def _is_split(visits: set[tuple[str, str]]) -> bool:
    return len({hop for hop, _ in visits}) < len(visits)


def _bypassing(arrived: Mapping[tuple[int, int], int], hops: int) -> int:
    return sum(count for (_, ttl), count in arrived.items() if ttl != FRESH_TTL - hops)


def totals(minutes: Sequence[Minute]) -> Minute:
    """All minutes as one; the processor time is that of the median minute."""
    ordered = sorted(minute.cpu for minute in minutes)
    return Minute(
        event="all",
        finished=sum(minute.finished for minute in minutes),
        failed=sum(minute.failed for minute in minutes),
        split=sum(minute.split for minute in minutes),
        two_ways=sum(minute.two_ways for minute in minutes),
        bypassed=sum(minute.bypassed for minute in minutes),
        cpu=ordered[len(ordered) // 2],
    )
