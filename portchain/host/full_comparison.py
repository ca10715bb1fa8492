"""A comparison of all chains with a switch of which the agent does not know what it holds.

That is so after a start and after a failure. All chains are computed again, some at a time and in
any order, so that a port that Neutron's agent is about to wire waits for its own chains only.
What the switch lacks of these is added at once. All else changes when all chains are computed:
only then is it known which flows nobody wants (docs/decisions/0067).
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping

from portchain.dataplane import resume
from portchain.dataplane.arbitration import FlowArbiter, Outcome, Precedences
from portchain.dataplane.diff import Batch, order
from portchain.dataplane.flow import SwitchEntry
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.resume import FoundFlows
from portchain.dataplane.transition import ChainTransition


class FullComparison:
    """The progress of the comparison. The caller computes chains until none is left.

    Precedence is fixed at the beginning: the order in which chains are computed makes no
    difference to the result.

    :param chains: the states of all chains of this host, as they are at any time.
    :param entries: our entries in the switch; anything that can be iterated again.
    :param is_start: whether the agent has just started: chains resume from the flows found.
    :ivar found: these entries, and what has been added since.
    :ivar outcomes: of all chains computed so far.
    """

    def __init__(
        self,
        arbiter: FlowArbiter,
        chains: Mapping[str, ChainTransition],
        local: LocalSwitch,
        entries: Iterable[SwitchEntry],
        *,
        is_start: bool,
    ) -> None:
        self.entries, self.is_start = entries, is_start
        self.found = FoundFlows(entries, is_start=is_start)
        self.outcomes: dict[str, Outcome] = {}
        self._arbiter, self._chains = arbiter, chains
        self._active_at_start = frozenset() if arbiter.chain_ids else self.found.path_ids
        self._precedences: Precedences = {}
        self._resumed: set[str] = set()
        self._computed: set[str] = set()
        self._queue: deque[str] = deque()
        self._fill_queue(local)

    def next_chain(self, local: LocalSwitch) -> str | None:
        """Return a chain to compute, that of highest precedence first; None if all are."""
        for _ in range(2):
            while self._queue:
                if (chain_id := self._queue.popleft()) not in self._computed:
                    return chain_id
            self._fill_queue(local)  # with chains whose state has changed since, or that are new
        return None

    def _fill_queue(self, local: LocalSwitch) -> None:
        left = (self._arbiter.chain_ids | self._chains.keys()) - self._computed
        known = self._active_at_start, self._precedences
        self._queue.extend(self._arbiter.in_order(self._chains, left, local, *known))

    def resumed_states(
        self, chain_ids: Iterable[str], local: LocalSwitch
    ) -> dict[str, ChainTransition]:
        """Return the states that chains must be in before they are computed, see ``resume``."""
        if not self.is_start:
            return {}
        new = [one for one in chain_ids if one in self._chains and one not in self._resumed]
        self._resumed.update(new)
        return resume.resume({one: self._chains[one] for one in new}, self.found, local)

    def forget(self, chain_ids: Iterable[str]) -> None:
        """Have chains computed again: their state or their ports have changed."""
        self._computed.difference_update(chain_ids)

    def compute(self, chain_ids: Iterable[str], local: LocalSwitch) -> None:
        """Compute the flows of those chains that have not been computed yet."""
        new = [one for one in chain_ids if one not in self._computed]
        self.outcomes |= self._arbiter.recompute(
            self._chains, new, local, self._active_at_start, self._precedences
        )
        self._computed.update(new)
        self._arbiter.ledger.forget_changes()
        self._arbiter.ledger.pack()

    def additions(self, chain_ids: Iterable[str]) -> list[Batch]:
        """Return what the switch lacks of some computed chains."""
        wanted = {entry.key: entry for one in chain_ids for entry in self._arbiter.entries_of(one)}
        return order([entry for entry in wanted.values() if entry not in self.found], ())

    def note_applied(self, batch: Batch) -> None:
        """Note that the switch has taken additions."""
        entries: tuple[SwitchEntry, ...] = (*batch.put, *batch.suppress_flooding)
        self.found.added |= {entry.key: entry for entry in entries}

    def differences(self) -> tuple[set[int], list[SwitchEntry]]:
        """Compare the switch with what all chains need, see ``packed_flows.compare``."""
        return self.found.differences(self._arbiter.ledger.digests)

    def unrealised_states(self, surplus: Collection[SwitchEntry]) -> dict[str, ChainTransition]:
        """Return the states of chains that have flows in the switch, and no plan that is realised.

        :param surplus: our entries in the switch that no chain wants.
        """
        if not self.is_start:
            return {}
        unsupported = [one for one, outcome in self.outcomes.items() if outcome.is_unsupported]
        unknown = resume.resume_unknown(self._chains, surplus)
        return unknown | resume.resume_unsupported(self._chains, unsupported, surplus)
