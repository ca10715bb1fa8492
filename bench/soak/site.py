"""Two chains through the same functions, whose first group changes."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from bench.api import Api
from bench.scene import Function, Site
from bench.soak.watch import Watch

READY = 120.0
ONE_WAY, BOTH_WAYS = 31000, 31002
"""First of the two destination ports of each chain. The second one is for open connections."""
HOPS = 2
PAIRS, SPARE = 3, 1

Change = tuple[str, Callable[[], None]]


class SoakSite(Site):
    """A group of three pairs, on three hosts, and a group of one; a fourth pair comes and goes."""

    def __init__(self, lab: Lab, api: Api) -> None:
        super().__init__(lab, api)
        hosts = lab.hosts
        self.functions: list[Function] = [
            self.function(f"f{number}", hosts[number % len(hosts)])
            for number in range(PAIRS + SPARE)
        ]
        self.last = self.function("last", hosts[1 % len(hosts)])
        self._pairs = [self.pair(one)["id"] for one in self.functions]
        self._members = list(self._pairs[:PAIRS])
        self._group = self.group(self._members)["id"]
        lab.vms.wait_active(lab.vms.all())
        groups = [self._group, self.group([self.pair(self.last)["id"]])["id"]]
        self._chains = [
            self.chain(groups, [self._classifier(port, symmetric)], symmetric)["id"]
            for port, symmetric in ((ONE_WAY, False), (BOTH_WAYS, True))
        ]
        self.wait_active()

    def _classifier(self, port: int, symmetric: bool) -> str:
        return str(self.classifier(port, "tcp", port + 1, symmetric)["id"])

    def wait_active(self) -> None:
        """Wait until both chains are ACTIVE."""

        def is_active() -> bool:
            shown = {one["id"]: one["status"] for one in self.api.list("port_chain")}
            return all(shown[chain] == "ACTIVE" for chain in self._chains)

        wait_for(is_active, READY, "the chains to become ACTIVE")

    def watch(self) -> Watch:
        """Watch all functions and both ends."""
        watch = Watch(port + more for port in (ONE_WAY, BOTH_WAYS) for more in (0, 1))
        for hop, functions in (("first", self.functions), ("last", [self.last])):
            for one in functions:
                watch.add(one.vm, 0, hop)
                watch.add(one.vm, 1, hop, replies=True)
        watch.add(self.destination, 0)
        watch.add(self.source, 0, replies=True)
        return watch

    def changes(self) -> Iterator[Change]:
        """Changes of the group without an end.

        A pair is drained before it leaves. So no connection loses its pair.
        """
        spare = self._pairs[PAIRS]
        for number in count():
            leaving = self._pairs[number % PAIRS]
            yield "a pair gets three times the weight", partial(self._weigh, leaving, 3)
            yield "a pair comes", partial(self._join, spare)
            yield "a pair is drained", partial(self._weigh, leaving, 0)
            yield "the drained pair leaves", partial(self._leave, leaving)
            yield "the pair comes back", partial(self._join, leaving)
            yield "the spare pair is drained", partial(self._weigh, spare, 0)
            yield "the spare pair leaves", partial(self._leave, spare)

    def _weigh(self, pair: str, weight: int) -> None:
        self.api.update("port_pair", pair, service_function_parameters={"weight": weight})

    def _join(self, pair: str) -> None:
        self._weigh(pair, 1)
        self._members.append(pair)
        self._set_members()

    def _leave(self, pair: str) -> None:
        self._members.remove(pair)
        self._set_members()

    def _set_members(self) -> None:
        self.api.update("port_pair_group", self._group, port_pairs=self._members)
