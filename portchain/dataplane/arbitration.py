"""Decides which chains a host realises, and with which flows.

Two chains can need the same match with different actions. Only one of them gets it: the one with
higher precedence (docs/decisions/0035). A chain that yields, that this agent does not support, or
whose flows the switch rejects has *failed*. Its existing steering is kept: it continues by the
latest plan that the switch has taken. A bypass guard drops what would bypass it.

The module decides and returns failures. It neither talks to the switch nor logs.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from portchain.dataplane import datapath, pipeline, transition_flows
from portchain.dataplane.compile import (
    TooManyFlowsError,
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_frame_guard,
)
from portchain.dataplane.decisions import Decisions
from portchain.dataplane.flow import Flow, SwitchEntry
from portchain.dataplane.host_switch import FlowLimits, LocalSwitch
from portchain.dataplane.ledger import FlowConflictError, FlowLedger, by_key
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ABSENT, ChainTransition
from portchain.dataplane.transition_flows import TransitionFlows

# Owners in the ledger. A chain's id owns the flows of its plan; with a suffix it owns flows that
# yield: conflicting ones are left out one by one.
FRAME_GUARD = "frame-guard"
"""Owner, in the ledger, of the flows that a host needs once. They yield to nothing."""
_GUARD = "/guard"  # a chain's bypass guard; yields to the plans of all chains
_DRAINING = "/draining"  # flows for packets in flight; yield to plans and guards

# Kinds of a chain's flows that the switch can reject: one of the suffixes above, or one of these.
_LATEST = ""  # the flows of the latest plan
_FALLBACK = "/fallback"  # the flows of the latest plan that the switch has taken

_MOST_GUARDS = 500
"""Of a chain that exceeds a limit, at most this many flows drop exactly what would bypass it."""

Precedence = tuple[int, int, int, str]
"""Of two chains, the one whose value is lower has higher precedence. The last part is its id."""
Precedences = dict[str, Precedence]
"""Chain id -> precedence, as far as known. It stays as it was when it was needed first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a computation for one chain.

    :param error: why its latest plan is not realised; empty if it is.
    :param missing: what the host lacks to realise all of it, see ``Compiled``.
    :param failures: the exceptions raised while its flows were computed, for the log.
    :param warning: what the host carries slowly or not at all, see ``datapath``.
    """

    error: str = ""
    missing: tuple[str, ...] = ()
    failures: tuple[Exception, ...] = ()
    warning: str = ""

    @property
    def is_expected(self) -> bool:
        """Whether all failures are such as a plan can cause. Any other is a bug in this code."""
        return all(
            isinstance(one, FlowConflictError | UnsupportedPlanError) for one in self.failures
        )

    @property
    def is_unsupported(self) -> bool:
        """Whether the host cannot realise the plan, or not within its limits."""
        return any(isinstance(one, UnsupportedPlanError) for one in self.failures)


class FlowArbiter:
    """Computes the desired content of a host's switch from the states of its chains.

    Keeps its decisions between calls, so that a change of one chain costs the work for this chain
    and for those that conflict with it. ``Decisions`` describes what it keeps.

    :ivar ledger: the desired content of the switch.
    """

    def __init__(self) -> None:
        self._decisions = Decisions()
        self.ledger = FlowLedger()

    @property
    def chain_ids(self) -> set[str]:
        """Ids of the chains that have flows."""
        return {_chain_of(owner) for owner in self.ledger.owners} - {FRAME_GUARD}

    def counted_flows(self, chain_id: str) -> list[Flow]:
        """Return the flows of a chain that count packets, those that yield to others included."""
        owners = (chain_id, chain_id + _GUARD, chain_id + _DRAINING)
        return [flow for owner in owners for flow in self.ledger.counted_flows(owner)]

    def applied_plan(self, chain_id: str) -> ChainPlan | None:
        """Return the latest plan of a chain that the switch has taken."""
        return self._decisions.applied.get(chain_id)

    def recompute(
        self,
        chains: Mapping[str, ChainTransition],
        changed: Iterable[str],
        local: LocalSwitch,
        active_at_start: Collection[int] = (),
        precedences: Precedences | None = None,
    ) -> dict[str, Outcome]:
        """Recompute the flows of some chains, and of those that conflict with them.

        :param chains: the states of all chains of this host.
        :param changed: ids of the chains to recompute; an id that ``chains`` lacks is removed.
        :param active_at_start: numbers of the chains that had flows in the switch when this agent
            started.
        :param precedences: of computations that belong together. With the same object, their
            order makes no difference to the result.
        :returns: the outcome for each chain that was recomputed.
        """
        changed = list(changed)
        for chain_id in changed:
            self._decisions.forget_rejections(chain_id)
        return self._pass(chains, local, active_at_start, precedences).run(changed)

    def in_order(
        self,
        chains: Mapping[str, ChainTransition],
        chain_ids: Iterable[str],
        local: LocalSwitch,
        active_at_start: Collection[int],
        precedences: Precedences,
    ) -> list[str]:
        """Return ids of chains in the order of their precedence; parameters as of ``recompute``."""
        return self._pass(chains, local, active_at_start, precedences).in_order(chain_ids)

    def entries_of(self, chain_id: str) -> list[SwitchEntry]:
        """Return all entries that are desired for a chain, and those that a host needs once."""
        owners = (FRAME_GUARD, chain_id, chain_id + _GUARD, chain_id + _DRAINING)
        return [entry for owner in owners for entry in self.ledger.entries_of(owner)]

    def replace_rejected(
        self, chains: Mapping[str, ChainTransition], rejected: Mapping[str, str], local: LocalSwitch
    ) -> dict[str, Outcome]:
        """Find other flows for owners whose flows the switch rejects.

        The rejection counts until ``recompute`` is called for the chain.

        :param chains: as for ``recompute``.
        :param rejected: owner, as in the ledger -> error message of the switch.
        :returns: as ``recompute``.
        """
        for owner, message in rejected.items():
            chain_id = _chain_of(owner)
            own = _LATEST if self._decisions.is_active(chain_id) else _FALLBACK
            kind = own if owner == chain_id else owner.removeprefix(chain_id)
            self._decisions.note_rejection(chain_id, kind, message)
        return self._pass(chains, local).run(map(_chain_of, rejected))

    def _pass(
        self,
        chains: Mapping[str, ChainTransition],
        local: LocalSwitch,
        active_at_start: Collection[int] = (),
        precedences: Precedences | None = None,
    ) -> "_Pass":
        return _Pass(
            *(self._decisions, self.ledger, chains, local),
            active_at_start=active_at_start,
            precedences={} if precedences is None else precedences,
        )

    def mark_applied(self) -> None:
        """Note that the switch holds the desired content."""
        self._decisions.mark_applied()


class _Pass:
    """One computation: works through a queue of chains, those of higher precedence first."""

    def __init__(
        self,
        decisions: Decisions,
        ledger: FlowLedger,
        chains: Mapping[str, ChainTransition],
        local: LocalSwitch,
        *,
        active_at_start: Collection[int],
        precedences: Precedences,
    ) -> None:
        self._decisions, self._ledger = decisions, ledger
        self._chains, self._local, self._active_at_start = chains, local, active_at_start
        self._precedences = precedences
        self._queue: list[Precedence] = []
        self._queued: set[str] = set()
        # The flows that yield, set after all others.
        self._guards: dict[str, frozenset[Flow]] = {}
        self._draining: dict[str, frozenset[Flow]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def run(self, changed: Iterable[str]) -> dict[str, Outcome]:
        """Compute the flows of some chains and all that depends on them; returns the outcomes."""
        for chain_id in changed:
            self._enqueue(chain_id)
        self._set_frame_guard()
        while self._queue:
            *_, chain_id = heappop(self._queue)
            self._queued.discard(chain_id)
            # A chain that this one blocked may not be blocked any more.
            for blocked in self._decisions.chains_blocked_by(chain_id):
                self._enqueue(blocked)
            self._decisions.unblock(chain_id)
            self._realise(chain_id, self._state(chain_id))
        failed = self.in_order(one for one, found in self._outcomes.items() if found.failures)
        for chain_id in failed:
            self._fall_back(chain_id)
        self._guards |= {chain_id: self._bypass_guard(chain_id) for chain_id in failed}
        for chain_id, flows in self._guards.items():
            self._set_yielding(chain_id, _GUARD, flows)
        for chain_id, flows in self._draining.items():
            self._set_yielding(chain_id, _DRAINING, flows)
        return self._outcomes

    def in_order(self, chain_ids: Iterable[str]) -> list[str]:
        """Return ids of chains in the order of their precedence."""
        return sorted(chain_ids, key=self._precedence)

    def _set_frame_guard(self) -> None:
        """Set the flows that the host needs once, unless they are there and nothing has changed."""
        is_set = self._ledger.has_owner(FRAME_GUARD)
        if not (self._chains or (self._local.has_br_chain and self._local.ports)):
            self._ledger.set(FRAME_GUARD, ())
        elif not is_set or self._decisions.guarded is not self._local:
            self._ledger.set(FRAME_GUARD, compile_frame_guard(self._local))
        self._decisions.guarded = self._local

    def _state(self, chain_id: str) -> ChainTransition:
        return self._chains.get(chain_id, ABSENT)

    def _enqueue(self, chain_id: str) -> None:
        if chain_id not in self._queued:
            self._queued.add(chain_id)
            heappush(self._queue, self._precedence(chain_id))

    def _precedence(self, chain_id: str) -> Precedence:
        """Order chains: by activity, then by age.

        First come chains that send by their latest plan, then chains that send by an earlier plan
        or did so before this agent started, then all others. Age is the order of creation. Chains
        of a server that does not send it are ordered by number.
        """
        if chain_id not in self._precedences:
            plan = self._state(chain_id).plan
            number = plan.path_id & ~pipeline.ODD_GENERATION if plan else 0
            revision = self._decisions.sending_revision(chain_id)
            activity = 2 if revision is None and number not in self._active_at_start else 1
            if plan is None or revision == plan.revision:
                activity = 0
            serial = plan.serial if plan else 0
            self._precedences[chain_id] = (activity, serial, number, chain_id)
        return self._precedences[chain_id]

    def _realise(self, chain_id: str, state: ChainTransition) -> None:
        """Put the flows of a chain's state into the ledger, or note why that fails."""
        try:
            if (message := self._decisions.rejection(chain_id, _LATEST)) is not None:
                raise UnsupportedPlanError(f"the switch rejects a flow of the chain: {message}")
            compiled = transition_flows.compile_transition(state, self._local)
            pipeline.check(compiled.all_flows)
            entries = by_key(chain_id, compiled.entries).values()
            self._check_limits(chain_id, state, len(entries))
            for rival, entry, _ in self._ledger.conflicts(chain_id, entries):
                if self._yields_to(chain_id, rival):
                    self._decisions.block(chain_id, by=rival)
                    raise FlowConflictError(chain_id, rival, entry)
        except Exception as exc:  # one chain's failure, even a bug, must not stop the others
            self._fail(chain_id, state, exc)
            return
        self._displace_others(chain_id, entries)
        self._ledger.set(chain_id, entries)
        self._decisions.note_size(chain_id, _project_of(state), len(entries))
        self._decisions.activate(chain_id, state)
        self._guards[chain_id] = compiled.bypass_guard
        # Rapid changes must not multiply what a chain takes: they cost packets in flight instead.
        most = self._local.limits.chain
        fits = not most or len(entries) + len(compiled.draining) <= most
        self._draining[chain_id] = compiled.draining if fits else frozenset()
        warning = datapath.shortfall(entries, self._local.lacks)
        self._outcomes[chain_id] = Outcome(missing=compiled.missing, warning=warning)

    def _check_limits(self, chain_id: str, state: ChainTransition, count: int) -> None:
        """Check that a chain takes no more of the host than the operator allows.

        :param count: of its entries.
        :raises TooManyFlowsError: it would. A chain that fails is tried again when it changes, and
            at the next comparison.
        """
        limits, project = self._local.limits, _project_of(state)
        if limits.chain and count > limits.chain:
            raise TooManyFlowsError(
                f"the chain needs {count} flows on a host; the limit max_chain_flows there is "
                f"{limits.chain}. Use fewer or simpler classifiers, fewer groups, or fewer "
                "functions and sources on one host"
            )
        total = count + self._decisions.size_of_others(chain_id, project)
        if count and project and limits.project and total > limits.project:
            raise TooManyFlowsError(
                f"with this chain, the project's chains need {total} flows on a host; the limit "
                f"max_project_flows there is {limits.project}. Use fewer or simpler chains on one "
                "host"
            )

    def _fail(self, chain_id: str, state: ChainTransition, exc: Exception) -> None:
        reason = exc.reason if isinstance(exc, FlowConflictError) else str(exc) or repr(exc)
        self._decisions.deactivate(chain_id)
        self._ledger.set(chain_id, ())
        self._draining[chain_id] = self._compile_fallback(state, None).draining
        self._outcomes[chain_id] = Outcome(reason, failures=(exc,))

    def _compile_fallback(
        self, state: ChainTransition, applied: ChainPlan | None
    ) -> TransitionFlows:
        """Compile what a failed chain continues with; nothing if that fails, too."""
        try:
            compiled = transition_flows.compile_fallback(state, applied, self._local)
            pipeline.check(compiled.all_flows)
            by_key("fallback", compiled.entries)
        except Exception:  # the user gets the failure of the latest plan
            return TransitionFlows()
        return compiled

    def _yields_to(self, chain_id: str, owner: str) -> bool:
        if owner == FRAME_GUARD:
            return True
        is_active = self._decisions.is_active(owner)
        return is_active and self._precedence(owner) < self._precedence(chain_id)

    def _displace_others(self, chain_id: str, entries: Iterable[SwitchEntry]) -> None:
        """Remove from the ledger what conflicts with entries of a chain of higher precedence."""
        for owner, _, rival_key in list(self._ledger.conflicts(chain_id, entries)):
            if _yield_level(owner) > 0:
                self._ledger.release(owner, rival_key)
                if owner.endswith(_GUARD):
                    self._decisions.block(_chain_of(owner), by=chain_id)
                continue
            self._ledger.set(owner, ())
            self._enqueue(owner)  # even if it had failed: this pass may not have an outcome for it

    def _fall_back(self, chain_id: str) -> None:
        """Let a failed chain continue by the latest applied plan, unless that conflicts."""
        state, applied = self._state(chain_id), self._decisions.applied.get(chain_id)
        entries: frozenset[SwitchEntry] = frozenset()
        if self._decisions.rejection(chain_id, _FALLBACK) is None:
            entries = self._compile_fallback(state, applied).entries
        conflicts = self._ledger.conflicts(chain_id, entries)
        if rivals := {each.owner for each in conflicts if _yield_level(each.owner) == 0}:
            entries = frozenset()
        for rival in rivals:
            self._decisions.block(chain_id, by=rival)
        self._displace_others(chain_id, entries)
        self._ledger.set(chain_id, entries)
        self._decisions.note_size(chain_id, _project_of(state), len(entries))

    def _bypass_guard(self, chain_id: str) -> frozenset[Flow]:
        """Compile the flows that drop what would bypass a failed chain."""
        plan, local = self._state(chain_id).plan, self._local
        if any(isinstance(one, TooManyFlowsError) for one in self._outcomes[chain_id].failures):
            local = replace(local, limits=FlowLimits(chain=_MOST_GUARDS))
        try:
            flows = compile_bypass_guard(plan, local).flows if plan else frozenset()
            by_key(chain_id, flows)
        except Exception as exc:
            outcome = self._outcomes[chain_id]
            self._outcomes[chain_id] = replace(outcome, failures=(*outcome.failures, exc))
            return frozenset()
        return flows

    def _set_yielding(self, chain_id: str, kind: str, flows: Iterable[Flow]) -> None:
        """Set flows that yield to others: leave out those that conflict.

        :param kind: ``_GUARD`` or ``_DRAINING``.
        """
        owner = chain_id + kind
        is_rejected = self._decisions.rejection(chain_id, kind) is not None
        wanted = by_key(owner, () if is_rejected else flows)
        for rival, entry, rival_key in list(self._ledger.conflicts(owner, wanted.values())):
            if _yield_level(rival) > _yield_level(owner):
                self._ledger.release(rival, rival_key)
                continue
            wanted.pop(entry.key, None)
            if kind == _GUARD and rival not in (chain_id, FRAME_GUARD):
                self._decisions.block(chain_id, by=rival)
        self._ledger.set(owner, wanted.values())


def _project_of(state: ChainTransition) -> str:
    """Return what identifies a chain's project; empty if it is unknown."""
    return state.plan.owner if state.plan is not None else ""


def _chain_of(owner: str) -> str:
    return owner.partition("/")[0]


def _yield_level(owner: str) -> int:
    """Return 0 for flows of plans; more for flows that yield, to those of all lower levels."""
    return (owner.endswith(_GUARD) and 1) or (owner.endswith(_DRAINING) and 2) or 0
