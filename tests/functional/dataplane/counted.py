"""What hosts must have counted of packets, by where the packets were seen."""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable

from portchain.core.counters import Count, Counter, CounterKind, DropReason
from tests.functional.dataplane.world import Header, World
from tests.plans import ident

Counts = dict[tuple[str, Counter], Count]
"""Host and counter -> packets and bytes."""


class Oracle:
    """Knows what the hosts of a world must have counted. It looks at no flow."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._expected: Counts = defaultdict(Count)

    def note(
        self, chain: str, header: Header, trail: tuple[str, ...], ends: tuple[str, str], side: str
    ) -> None:
        """Note a packet that has entered a chain.

        :param chain: the chain's name; ``fc-<name>`` is its flow classifier.
        :param trail: the ports that the packet visited. If the last one is a function's, or there
            is none, the next hop has dropped the packet.
        :param ends: the port that sent the packet, and the one that it is for.
        :param side: of functions at which they get the packet: ``in``, or ``out`` of replies.
        """
        entrance = self._world.homes[ends[0]]
        self._count(entrance, chain, CounterKind.CLASSIFIED, f"fc-{chain}", header, side)
        last = self.note_visits(chain, header, trail, ends, side) or entrance
        if trail[-1:] != (ends[1],):
            self._count(last, chain, CounterKind.DROPPED, DropReason.NO_FUNCTION, header, side)

    def note_visits(
        self, chain: str, header: Header, trail: tuple[str, ...], ends: tuple[str, str], side: str
    ) -> str:
        """Note the functions that a packet has visited; parameters as of ``note``.

        :returns: the host of the last one; empty if there was none.
        """
        host = ""
        for port in trail[:-1] if trail[-1:] == (ends[1],) else trail:
            host, pair = self._world.homes[port], port.removesuffix(f"-{side}")
            for kind in (CounterKind.IN, CounterKind.OUT):  # all functions forward
                self._count(host, chain, kind, pair, header, side)
        return host

    def _count(
        self, host: str, chain: str, kind: CounterKind, subject: str, header: Header, side: str
    ) -> None:
        what = str(subject) if kind is CounterKind.DROPPED else ident(subject)
        key = host, Counter(ident(chain), side == "out", str(kind), what)
        size = len(header.packet(0, *["00:00:00:00:00:01"] * 2))
        self._expected[key] = self._expected[key].plus(Count(1, size))

    def forget_left(self) -> None:
        """Note that hosts forget chains that they have no part in any more."""
        hosts = {chain_id: plan.hosts for chain_id, plan in self._world.plans.items()}
        for host, counter in list(self._expected):
            if host not in hosts.get(counter.chain_id, ()):
                del self._expected[host, counter]

    def accept_entries(self, chains: Iterable[str]) -> None:
        """Accept what hosts say of packets of which nothing is known but the visits to functions.

        :param chains: the name of the chain of each packet that was sent: the packet has entered
            the chain, or has been dropped before.
        :raises AssertionError: a packet has done neither, or both.
        """
        entered: Tally[str] = Tally()
        for key, count in self._read().items():
            _, counter = key
            if counter.kind in {CounterKind.CLASSIFIED, CounterKind.DROPPED}:
                if counter.subject != DropReason.NO_FUNCTION:
                    entered[counter.chain_id] += count.packets - self._expected[key].packets
                self._expected[key] = count
        assert +entered == Tally(map(ident, chains))

    def check(self) -> None:
        """Compare with what the hosts have counted.

        :raises AssertionError: a host has counted other packets.
        """
        counted = self._read()
        wrong = {
            key: (counted.get(key), self._expected.get(key))
            for key in counted.keys() | self._expected.keys()
            if counted.get(key, Count()) != self._expected.get(key, Count())
        }
        assert not wrong, f"host and counter -> counted, and expected: {wrong}"

    def _read(self) -> Counts:
        """Return what hosts have counted, once their switches have counted all packets."""
        self._world.vswitch.appctl("revalidator/purge")
        return {
            (host, counter): count
            for host, agent in self._world.agents.items()
            for counter, count in agent.reconciler.counts_of().items()
            if counter.kind != CounterKind.LEARNED  # not of packets
        }
