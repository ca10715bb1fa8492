"""What hosts must have counted of a chain, by what captures saw. All of this is pure.

docs/operate/observe.md says what hosts count, and when they forget it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from portchain_lab.observe.packet_paths import Observation

from tests.lab.life.model import DESTINATION, SOURCE, WAYS, Cloud, Wish

FORWARD, REVERSE = "forward", "reverse"
CLASSIFIED, IN, OUT, DROPPED = "classified", "in", "out", "dropped"
NO_FUNCTION = "no_function"
Figure = tuple[str, str, str]
"""Direction, what is counted, and of what: the id of a classifier or pair, or why it dropped."""
Figures = Counter[Figure]
"""How many packets."""


def shown_figures(stats: dict[str, Any]) -> Figures:
    """Return what the API shows of a chain. Those that count nothing yet are there, too."""
    found: Figures = Counter()
    for path in stats["paths"]:
        way = path["direction"]
        for one in path["flow_classifiers"]:
            found[way, CLASSIFIED, one["id"]] = one["packets"]
        for pair in (pair for hop in path["hops"] for pair in hop["port_pairs"]):
            found[way, IN, pair["id"]] = pair["packets_in"]
            found[way, OUT, pair["id"]] = pair["packets_out"]
        for one in path["dropped"]:
            found[way, DROPPED, one["reason"]] = one["packets"]
    return found


def seen_figures(
    observed: Iterable[Observation], wish: Wish, cloud: Cloud, pair_ids: dict[str, str]
) -> Iterator[tuple[str, Figure]]:
    """Yield what hosts must count of the packets that captures saw, each with its host.

    :param observed: at the ports of all machines.
    :param pair_ids: function -> id of its port pair.
    """
    for one in observed:
        if (way := _way(one, wish)) is None:
            continue
        port = one.five_tuple.destination_port
        if way == FORWARD and port in cloud.not_sent:
            continue
        for host, what, of in _counted(one, way, cloud, pair_ids, wish.classifier["id"]):
            yield host, (way, what, of)
            if what in (CLASSIFIED, OUT) and of in _last(way, wish, cloud, pair_ids):
                yield host, (way, DROPPED, NO_FUNCTION)


def _way(one: Observation, wish: Wish) -> str | None:
    """Return in which direction of a chain a packet goes; None if it is not one of the chain."""
    ends = one.five_tuple
    if ends.protocol != "tcp":
        return None
    if wish.takes(ends.destination_port):
        return FORWARD
    return REVERSE if wish.symmetric and wish.takes(ends.source_port) else None


def _counted(
    one: Observation, way: str, cloud: Cloud, pair_ids: dict[str, str], classifier: str
) -> Iterator[tuple[str, str, str]]:
    """Yield host, kind and subject of what a packet at a port counts for."""
    sender = SOURCE if way == FORWARD else DESTINATION
    if one.port == sender and one.outgoing:
        yield cloud.hosts[sender], CLASSIFIED, classifier
    for name, ports in WAYS.items():
        ingress, egress = ports if way == FORWARD else ports[::-1]
        if one.port == ingress and not one.outgoing:
            yield cloud.hosts[name], IN, pair_ids[name]
        elif one.port == egress and one.outgoing:
            yield cloud.hosts[name], OUT, pair_ids[name]


def _last(way: str, wish: Wish, cloud: Cloud, pair_ids: dict[str, str]) -> set[str]:
    """Return what counts the packets that the next group then drops: a classifier, or pairs."""
    groups = wish.groups if way == FORWARD else wish.groups[::-1]
    empty = cloud.first_empty(groups)
    if empty is None:
        return set()
    before = cloud.usable(groups[empty - 1]) if empty else ()
    return {pair_ids[name] for name in before} if empty else {wish.classifier["id"]}


class ChainCounts:
    """What hosts must have counted of one chain.

    A host that loses its part in the chain is asked no more, and forgets what it has counted some
    seconds later. If it gets a part again, it has either forgotten by then or not.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._possible: dict[str, list[Figures]] = {host: [Counter()] for host in hosts}
        self._left: dict[str, list[Figures]] = {}

    def set_hosts(self, hosts: Iterable[str]) -> None:
        """Note which hosts have a part in the chain now."""
        hosts = set(hosts)
        for host in self._possible.keys() - hosts:
            self._left[host] = self._possible.pop(host)
        for host in hosts - self._possible.keys():
            known = [figures for figures in self._left.pop(host, []) if figures]
            self._possible[host] = [Counter(), *known]

    def add(self, host: str, figure: Figure) -> None:
        for figures in self._possible[host]:
            figures[figure] += 1

    def allowed(self, shown: Figures) -> list[Figures]:
        """Return the sums that hosts may show, of what the API shows.

        :param shown: the figures that it shows, whatever their values. Drops are shown if there
            are any.
        """
        return _distinct(total for _, total in self._sums(shown))

    def accept(self, shown: Figures) -> bool:
        """Note what hosts have shown; return whether it is one of the sums that they may show."""
        right = [parts for parts, total in self._sums(shown) if total == shown]
        if right:
            self._possible = {
                host: _distinct(parts[number] for parts in right)
                for number, host in enumerate(self._possible)
            }
        return bool(right)

    def _sums(self, shown: Figures) -> Iterator[tuple[tuple[Figures, ...], Figures]]:
        for parts in product(*self._possible.values()):
            total: Figures = Counter()
            for figures in parts:
                total.update({f: n for f, n in figures.items() if f in shown or f[1] == DROPPED})
            yield parts, total


def _distinct(found: Iterable[Figures]) -> list[Figures]:
    kept: list[Figures] = []
    for one in found:
        if one not in kept:
            kept.append(one)
    return kept
