"""Which pairs a flow visits, and the wires between them: pure functions over a chain.

Every flow falls into one of ``BUCKETS`` by a few bits of its header. A bucket's lane is the pair
it visits in each group. Ports of functions that hand frames to each other in some lane share a wire,
a switch of their own. A switch without MAC addresses to go by floods; what may go from which port to
which is said by the wire's ACLs. OVN lets neighbour discovery pass every ACL, so a wire that one can
reach again through functions would carry such a frame in circles: the wires have to form trees. Groups that
cannot be balanced for that have one pair at work, and the others stand by.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace

from portchain.core.model import PortChain, PortPair, PortPairGroup

IN, OUT = "in", "out"
"""The two ends of a chain without functions."""
BUCKETS = 16
"""Four bits: a group has at most so many pairs, and weights are kept to the nearest sixteenth."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The pairs that flows of some buckets visit, one of each group."""

    pairs: tuple[PortPair, ...]
    buckets: frozenset[int]

    @property
    def entry(self) -> str:
        """The port at which requests get to the first function."""
        return self.pairs[0].ingress if self.pairs else IN

    @property
    def exit(self) -> str:
        """The port at which they leave the last one."""
        return self.pairs[-1].egress if self.pairs else OUT


@dataclass(frozen=True, slots=True)
class Wire:
    """Function ports that hand frames to each other.

    :param egresses: ports of the group before, by which frames come in; none before the first group.
    :param ingresses: ports of the group after; none behind the last group. Where there are neither, it leads past all groups.
    """

    egresses: tuple[str, ...]
    ingresses: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name that stays while ports are added to the wire behind those that are there."""
        return (*self.egresses, *self.ingresses, IN)[0]

    @property
    def entry(self) -> str:
        """The lane's entry by which requests come to this wire from their network; empty if they do not."""
        return "" if self.egresses else (*self.ingresses, IN)[0]

    @property
    def exit(self) -> str:
        """The lane's exit by which they go back to their network; empty if they do not."""
        return "" if self.ingresses else (*self.egresses, OUT)[0]


def deal(
    chain: PortChain, usable: Collection[str] = (), at_work: Collection[str] = ()
) -> tuple[Lane, ...]:
    """Deal the buckets to lanes; none if some group has no available pair.

    :param usable: ids of pairs that can take traffic.
    :param at_work: ids of pairs that do so now. Where one pair of a group is to be at work, it is one of these as long as it
        can, then the first that can.
    """
    whole = list(chain.port_pair_groups)
    lanes = _lanes(whole)
    if not goes_in_circles(lanes):
        return lanes
    inner = range(1, len(whole) - 1)
    groups = [
        _one_at_work(group, usable, at_work) if number in inner else group
        for number, group in enumerate(whole)
    ]
    lanes = _lanes(groups)
    for number in inner:
        balanced = _lanes([*groups[:number], whole[number], *groups[number + 1 :]])
        if not goes_in_circles(balanced):
            groups[number], lanes = whole[number], balanced
    return lanes


def narrowed(chain: PortChain, usable: Collection[str]) -> PortChain:
    """Leave out pairs that cannot take traffic, where otherwise none would get through although every group has one that can.

    :returns: the chain as it is if some lane is whole, or some group has nobody.
    """
    usable = frozenset(usable)
    lanes = deal(chain, usable)
    if any(usable.issuperset(pair.id for pair in lane.pairs) for lane in lanes):
        return chain
    groups = tuple(
        replace(group, port_pairs=tuple(pair for pair in group.port_pairs if pair.id in usable))
        for group in chain.port_pair_groups
    )
    possible = all(group.port_pairs for group in groups)
    return replace(chain, port_pair_groups=groups) if possible else chain


def standing_by(chain: PortChain, lanes: Sequence[Lane]) -> list[PortPairGroup]:
    """The groups of which some pairs with a weight are in no lane."""
    at_work = {pair.id for lane in lanes for pair in lane.pairs}
    return [
        group
        for group in chain.port_pair_groups
        if lanes and any(pair.weight and pair.id not in at_work for pair in group.port_pairs)
    ]


def _one_at_work(
    group: PortPairGroup, usable: Collection[str], at_work: Collection[str]
) -> PortPairGroup:
    takers = [pair for pair in group.port_pairs if pair.weight > 0]
    best = max(takers, key=lambda pair: (pair.id in usable, pair.id in at_work))
    return replace(group, port_pairs=(best,))


def _lanes(groups: Sequence[PortPairGroup]) -> tuple[Lane, ...]:
    columns = [_shares(group) for group in groups]
    if not all(columns):
        return ()
    lanes: dict[tuple[PortPair, ...], set[int]] = {}
    for bucket in range(BUCKETS):
        lanes.setdefault(tuple(column[bucket] for column in columns), set()).add(bucket)
    return tuple(Lane(pairs, frozenset(buckets)) for pairs, buckets in lanes.items())


def _shares(group: PortPairGroup) -> list[PortPair]:
    """The pair of each bucket: runs of buckets, as long as the weights say, none of them empty."""
    takers = [pair for pair in group.port_pairs if pair.weight > 0]
    if not takers or len(takers) > BUCKETS:
        return []
    total = sum(pair.weight for pair in takers)
    lengths = [max(1, BUCKETS * pair.weight // total) for pair in takers]
    while sum(lengths) != BUCKETS:
        step = 1 if sum(lengths) < BUCKETS else -1
        # The one that is furthest from its due.
        lengths[
            max(
                (index for index, length in enumerate(lengths) if length + step > 0),
                key=lambda index: step * (BUCKETS * takers[index].weight / total - lengths[index]),
            )
        ] += step
    return [pair for pair, length in zip(takers, lengths, strict=True) for _ in range(length)]


def alive(lanes: Sequence[Lane], usable: frozenset[str]) -> tuple[Lane, ...]:
    """Give the buckets of lanes with a pair that is not usable to the others.

    The wires stay: what comes back soon does not have its ports moved for it.

    :param usable: ids of pairs that can take traffic.
    :returns: the lanes as they are if none is left.
    """
    left = [lane for lane in lanes if all(pair.id in usable for pair in lane.pairs)]
    if not left or len(left) == len(lanes):
        return tuple(lanes)
    orphans = sorted(set(range(BUCKETS)) - {bucket for lane in left for bucket in lane.buckets})
    return tuple(
        Lane(lane.pairs, lane.buckets | set(orphans[index :: len(left)]))
        for index, lane in enumerate(left)
    )


def wires(lanes: Sequence[Lane]) -> tuple[Wire, ...]:
    """The wires of a chain, in the direction of its requests."""
    hops = len(lanes[0].pairs) if lanes else 0
    if lanes and not hops:
        return (Wire((), ()),)
    found = []
    for number in range(hops + 1):
        sets = _Sets()
        for lane in lanes:
            before = [lane.pairs[number - 1].egress] if number > 0 else []
            after = [lane.pairs[number].ingress] if number < hops else []
            sets.join((before + after)[0], (before + after)[-1])
        egresses, ingresses = (
            dict.fromkeys(getattr(lane.pairs[at], side) for lane in lanes) if 0 <= at < hops else {}
            for at, side in ((number - 1, "egress"), (number, "ingress"))
        )
        for ports in sets.all():
            found.append(
                Wire(
                    tuple(port for port in egresses if port in ports),
                    tuple(port for port in ingresses if port in ports),
                )
            )
    return tuple(found)


def goes_in_circles(lanes: Sequence[Lane]) -> bool:
    """Whether a frame that every wire floods could come back to a wire it was on."""
    of_port = {port: wire for wire in wires(lanes) for port in wire.egresses + wire.ingresses}
    sets = _Sets()
    pairs = {pair.id: pair for lane in lanes for pair in lane.pairs}
    return not all(
        sets.join(of_port[pair.ingress], of_port[pair.egress]) for pair in pairs.values()
    )


class _Sets:
    """Disjoint sets that grow together."""

    def __init__(self) -> None:
        self._of: dict[Hashable, list[Hashable]] = {}

    def join(self, one: Hashable, other: Hashable) -> bool:
        """Make two things' sets one; whether they were two."""
        mine = self._of.setdefault(one, [one])
        if one == other:
            return False
        theirs = self._of.setdefault(other, [other])
        if mine is theirs:
            return False
        mine += theirs
        self._of.update(dict.fromkeys(theirs, mine))
        return True

    def all(self) -> list[frozenset[Hashable]]:
        """Each set once, in the order in which their first members came."""
        return list(dict.fromkeys(frozenset(members) for members in self._of.values()))
