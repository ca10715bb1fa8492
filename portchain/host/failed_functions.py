"""What hosts say of functions that have failed since the server planned (docs/decisions/0072)."""

from collections.abc import Callable, Collection, Iterable, Mapping

from portchain.dataplane.failed_functions import functions_among, pairs_reacted_to
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ChainTransition
from portchain.host.chain_index import ChainIndex

_FAILED_SECONDS = 120.0
"""How long a host sends nothing to a function because of what its host has said. It is said again
until the server has planned. A host that misses that the function is back uses it again then."""

_BACK_SECONDS = 5.0
"""How long a host waits for the server to put a function back, which knows what was at others
meanwhile. Plans of before may be on their way."""


class FailedFunctions:
    """The functions that a host leaves out until the server has planned again.

    The caller holds a lock.

    :param clock: returns seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[str, float]] = {}  # pair -> its host, and until when
        self._chains_of_pairs = ChainIndex()  # chains that react to the failure of a pair

    @property
    def pairs(self) -> frozenset[str]:
        """The ids of their pairs."""
        return frozenset(self._failed)

    @property
    def deadlines(self) -> list[float]:
        """When they count as working again, if the server does not say so before."""
        return [until for _, until in self._failed.values()]

    @property
    def overdue(self) -> set[str]:
        """The pairs whose time is over."""
        now = self._clock()
        return {pair for pair, (_, until) in self._failed.items() if until <= now}

    def set_plans(self, chain_id: str, plans: Iterable[ChainPlan]) -> None:
        """Note which plans this host has of a chain; none if it has gone."""
        pairs = frozenset[str]().union(*map(pairs_reacted_to, plans))
        self._chains_of_pairs.put(chain_id, pairs)

    def note(
        self, host: str, is_up: Mapping[str, bool], chains: Mapping[str, ChainTransition]
    ) -> tuple[set[str], set[str]]:
        """Note what a host says of its functions.

        :param is_up: pair id -> whether its function answers.
        :param chains: what this host has of each chain.
        :returns: the pairs that have failed since, and the chains that this changes.
        """
        now = self._clock()
        down = {pair for pair, answers in is_up.items() if not answers}
        changed: set[str] = set()
        failed: set[str] = set()
        for chain_id in self._chains_of_pairs.chains_with(down):
            state = chains[chain_id]
            plans = (plan for plan in (state.plan, state.previous) if plan is not None)
            pairs = {pair for plan in plans for pair in functions_among(plan, down, host)}
            failed |= pairs
            if pairs - self._failed.keys():
                changed.add(chain_id)
        news = failed - self._failed.keys()
        self._failed |= dict.fromkeys(failed, (host, now + _FAILED_SECONDS))
        for pair, (where, until) in self._failed.items():
            if where == host and is_up.get(pair, False):
                self._failed[pair] = host, min(until, now + _BACK_SECONDS)
        return news, changed

    def take_back(
        self, pair_ids: Collection[str], chains: Mapping[str, ChainTransition]
    ) -> set[str]:
        """Let functions count as working again; return the chains that this changes.

        :param chains: as for ``note``.
        """
        changed: set[str] = set()
        for pair_id in pair_ids:
            host, _ = self._failed.pop(pair_id)
            changed |= {
                chain_id
                for chain_id in self._chains_of_pairs.chains_with((pair_id,))
                if any(functions_among(plan, (pair_id,), host) for plan in chains[chain_id].plans)
            }
        return changed
