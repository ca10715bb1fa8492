"""Which chains a host carries out, and by which rules each; where two want one place, who of them gets it.

Every chain comes with the rules of its latest plan, the senior first (docs/decisions/0035). One that cannot be carried out,
because of a senior or by itself, goes on by the last plan that could be, and what would go around it is held back.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from portchain.dataplane import pipeline, transition
from portchain.dataplane.compile import (
    UnsupportedPlanError,
    compile_bypass_guard,
    compile_frame_guard,
)
from portchain.dataplane.flow import Flow, SwitchEntry
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.ledger import FlowConflictError, FlowLedger, by_key
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ABSENT, ChainTransition, Phase, Standing

_GUARDS = "guards"
# Behind a chain's id: owners of its rules that give way to those of any chain, key by key.
_HELD = "/held"  # hold back what would go around a chain
_LEAVING = "/leaving"  # for packets in flight; they give way to the former, too
_LAST = "/last"  # not an owner: the chain's own rules, when they are those of the last plan that could be carried out

_NUMBER = 0xFFFF  # the part of a step that is the chain's number

Rank = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a chain.

    :param error: why its latest plan is not carried out. ``missing``: what the host lacks to carry all of it.
    :param failures: what was raised while its flows were computed, for the log.
    """

    error: str = ""
    missing: tuple[str, ...] = ()
    failures: tuple[Exception, ...] = ()

    @property
    def is_expected(self) -> bool:
        """Whether every failure is one of those that a plan can have; others are faults of the code."""
        return all(
            isinstance(one, FlowConflictError | UnsupportedPlanError) for one in self.failures
        )


class FlowArbiter:
    """The rules of a host's chains.

    :ivar ledger: what the switch is to hold.
    """

    def __init__(self) -> None:
        self.ledger = FlowLedger()
        # Chains whose latest plan has its rules -> the revision by which they send; None if they do not send yet.
        self._standing: dict[str, int | None] = {}
        self._carried: dict[str, ChainPlan] = {}  # the last plans that the switch took
        self._to_confirm: dict[str, ChainPlan] = {}
        self._rivals: defaultdict[str, set[str]] = defaultdict(
            set
        )  # chain -> who has what it wants
        self._losers: defaultdict[str, set[str]] = defaultdict(set)  # the reverse
        self._refused: dict[str, dict[str, str]] = {}  # chain -> which of its rules -> why

    @property
    def chain_ids(self) -> set[str]:
        """The chains that have rules."""
        return {_chain_of(owner) for owner in self.ledger.owners} - {_GUARDS}

    def applied_ports(self, chain_id: str) -> frozenset[str]:
        """The Neutron ports of the last plan of a chain that could be carried out."""
        plan = self._carried.get(chain_id)
        return plan.ports if plan else frozenset()

    def recompute(
        self,
        chains: Mapping[str, ChainTransition],
        changed: Iterable[str],
        local: LocalSwitch,
        found: Collection[int] = (),
    ) -> dict[str, Outcome]:
        """Compute the rules of some chains anew, and of those that depend on them.

        :param chains: all that the host knows of.
        :param changed: ids of chains; also of such as are gone.
        :param found: numbers of chains that had rules in the switch when this agent started.
        :returns: what became of each chain that was looked at.
        """
        changed = list(changed)
        for chain_id in changed:
            self._refused.pop(chain_id, None)
        return _Pass(self, chains, local, found).take(changed)

    def replace_rejected(
        self, chains: Mapping[str, ChainTransition], refused: Mapping[str, str], local: LocalSwitch
    ) -> dict[str, Outcome]:
        """Do without the flows that the switch rejects, until ``recompute`` is called for their chains.

        :param chains: as for ``recompute``.
        :param refused: owner, as in the ledger -> what the switch says.
        :returns: as ``recompute``.
        """
        for owner, text in refused.items():
            chain_id = _chain_of(owner)
            own = "" if chain_id in self._standing else _LAST
            rules = own if owner == chain_id else owner[len(chain_id) :]
            self._refused.setdefault(chain_id, {})[rules] = text
        return _Pass(self, chains, local, ()).take(map(_chain_of, refused))

    def mark_applied(self) -> None:
        """The switch holds what it is to hold."""
        self._carried |= self._to_confirm
        self._to_confirm.clear()

    # What follows is for _Pass.

    def _refusal(self, chain_id: str, rules: str) -> str | None:
        return self._refused.get(chain_id, {}).get(rules)

    def _wait_for(self, chain_id: str, rival: str) -> None:
        self._rivals[chain_id].add(rival)
        self._losers[rival].add(chain_id)

    def _wait_no_more(self, chain_id: str) -> None:
        for rival in self._rivals.pop(chain_id, ()):
            self._losers[rival].discard(chain_id)
            if not self._losers[rival]:
                del self._losers[rival]

    def _stand(self, chain_id: str, now: ChainTransition) -> None:
        plan = now.plan
        if plan is None:
            self._fall(chain_id)
            self._carried.pop(chain_id, None)
        elif now.phase is Phase.SWITCHED:
            self._standing[chain_id], self._to_confirm[chain_id] = plan.revision, plan
        else:
            self._standing.setdefault(chain_id, None)

    def _fall(self, chain_id: str) -> None:
        self._standing.pop(chain_id, None)
        self._to_confirm.pop(chain_id, None)


class _Pass:
    """One time that rules are dealt out."""

    def __init__(
        self,
        claims: FlowArbiter,
        chains: Mapping[str, ChainTransition],
        local: LocalSwitch,
        found: Collection[int],
    ) -> None:
        self._arbiter, self._ledger = claims, claims.ledger
        self._chains, self._local, self._found = chains, local, found
        self._ranks: dict[str, Rank] = {}
        self._queue: list[tuple[Rank, str]] = []
        self._queued: set[str] = set()
        self._failed: set[str] = set()
        self._held: dict[str, frozenset[Flow]] = {}
        self._leaving: dict[str, frozenset[Flow]] = {}
        self._outcomes: dict[str, Outcome] = {}

    def take(self, changed: Iterable[str]) -> dict[str, Outcome]:
        for chain_id in changed:
            self._look_at(chain_id)
        self._ledger.set(_GUARDS, compile_frame_guard(self._local) if self._chains else ())
        while self._queue:
            _, chain_id = heappop(self._queue)
            self._queued.discard(chain_id)
            # Who had to give way to this chain may not have to any more.
            for loser in self._arbiter._losers.get(chain_id, set()).copy():
                self._look_at(loser)
            self._arbiter._wait_no_more(chain_id)
            self._carry_out(chain_id, self._chains.get(chain_id, ABSENT))
        failed = sorted(self._failed, key=self._rank)
        for chain_id in failed:
            self._ledger.set(chain_id, ())
        for chain_id in failed:
            self._go_on_by_the_last(chain_id)
        self._held |= {chain_id: self._what_to_hold_back(chain_id) for chain_id in failed}
        for chain_id, flows in self._held.items():
            self._place_below(chain_id + _HELD, flows)
        for chain_id, flows in self._leaving.items():
            self._place_below(chain_id + _LEAVING, flows)
        return self._outcomes

    def _look_at(self, chain_id: str) -> None:
        if chain_id not in self._queued:
            self._queued.add(chain_id)
            heappush(self._queue, (self._rank(chain_id), chain_id))

    def _rank(self, chain_id: str) -> Rank:
        """The senior has the lower one: who carries packets, then who does so by another plan, then others; then by number."""
        if chain_id not in self._ranks:
            plan = self._chains.get(chain_id, ABSENT).plan
            number = plan.path_id & ~pipeline.ODD_GENERATION if plan else 0
            by = self._arbiter._standing.get(chain_id)
            age = 2 if by is None and number not in self._found else 1
            if plan is None or by == plan.revision:
                age = 0
            self._ranks[chain_id] = (age, number, chain_id)
        return self._ranks[chain_id]

    def _carry_out(self, chain_id: str, now: ChainTransition) -> None:
        try:
            if (why := self._arbiter._refusal(chain_id, "")) is not None:
                raise UnsupportedPlanError(f"the switch refuses a rule of the chain: {why}")
            standing = transition.compile_transition(now, self._local)
            pipeline.check(standing.flows | standing.held | standing.leaving)
            entries = by_key(chain_id, standing.entries).values()
            for rival, entry in self._ledger.conflicts(chain_id, entries):
                if self._is_senior(rival, chain_id):
                    self._arbiter._wait_for(chain_id, rival)
                    raise FlowConflictError(chain_id, rival, entry)
        except Exception as exc:  # whatever is wrong with one chain must not stop the others
            self._fail(chain_id, now, exc)
            return
        self._make_room(chain_id, entries)
        self._ledger.set(chain_id, entries)
        self._failed.discard(chain_id)
        self._arbiter._stand(chain_id, now)
        self._held[chain_id], self._leaving[chain_id] = standing.held, standing.leaving
        self._outcomes[chain_id] = Outcome(missing=standing.missing)

    def _fail(self, chain_id: str, now: ChainTransition, exc: Exception) -> None:
        reason = exc.reason if isinstance(exc, FlowConflictError) else str(exc) or repr(exc)
        self._arbiter._fall(chain_id)
        self._failed.add(chain_id)
        self._ledger.set(chain_id, ())
        self._leaving[chain_id] = self._try(chain_id, now, None).leaving
        self._outcomes[chain_id] = Outcome(reason, failures=(exc,))

    def _try(self, chain_id: str, now: ChainTransition, last: ChainPlan | None) -> Standing:
        """What of a chain that failed can be compiled still."""
        try:
            standing = transition.compile_fallback(now, last, self._local)
            pipeline.check(standing.flows | standing.leaving)
            by_key(chain_id, standing.entries)
        except Exception:  # the failure that is reported is the one of the latest plan
            return Standing()
        return standing

    def _is_senior(self, rival: str, chain_id: str) -> bool:
        if rival == _GUARDS:
            return True
        return rival in self._arbiter._standing and self._rank(rival) < self._rank(chain_id)

    def _make_room(self, chain_id: str, entries: Iterable[SwitchEntry]) -> None:
        """Take from others what a chain of a higher rank wants."""
        for rival, entry in list(self._ledger.conflicts(chain_id, entries)):
            if _strength(rival) > 0:
                self._ledger.release(rival, entry.key)
                if rival.endswith(_HELD):
                    self._arbiter._wait_for(_chain_of(rival), chain_id)
                continue
            self._ledger.set(rival, ())
            if rival in self._arbiter._standing:
                self._look_at(rival)
            else:
                self._failed.add(rival)

    def _go_on_by_the_last(self, chain_id: str) -> None:
        """Carry a chain that failed by its last plan, where nobody else has what it wants."""
        last = self._arbiter._carried.get(chain_id)
        if last is None or self._arbiter._refusal(chain_id, _LAST) is not None:
            return
        now = self._chains.get(chain_id, ABSENT)
        entries = self._try(chain_id, now, last).entries
        rivals = {one for one, _ in self._ledger.conflicts(chain_id, entries) if not _strength(one)}
        for rival in rivals:
            self._arbiter._wait_for(chain_id, rival)
        if not rivals:
            self._make_room(chain_id, entries)
            self._ledger.set(chain_id, entries)

    def _what_to_hold_back(self, chain_id: str) -> frozenset[Flow]:
        """What keeps the traffic of a chain that failed from going around."""
        plan = self._chains.get(chain_id, ABSENT).plan
        try:
            held = compile_bypass_guard(plan, self._local).flows if plan else frozenset()
            by_key(chain_id, held)
        except Exception as exc:
            known = self._outcomes[chain_id]
            self._outcomes[chain_id] = replace(known, failures=(*known.failures, exc))
            return frozenset()
        return held

    def _place_below(self, owner: str, flows: Iterable[Flow]) -> None:
        """Set rules that give way where others have any."""
        chain_id = _chain_of(owner)
        refusal = self._arbiter._refusal(chain_id, owner[len(chain_id) :])
        wanted = by_key(owner, flows if refusal is None else ())
        for rival, entry in list(self._ledger.conflicts(owner, wanted.values())):
            if _strength(rival) > _strength(owner):
                self._ledger.release(rival, entry.key)
                continue
            wanted.pop(entry.key, None)
            if owner.endswith(_HELD) and rival not in (chain_id, _GUARDS):
                self._arbiter._wait_for(chain_id, rival)
        self._ledger.set(owner, wanted.values())


def path_ids_in(entries: Iterable[SwitchEntry]) -> frozenset[int]:
    """The numbers of the chains that are carried by what a switch holds: their rules ask where in a chain a packet is."""
    words = (word for each in entries if isinstance(each, Flow) for word in each.key.match)
    steps = (
        word.partition("=")[2]
        for word in words
        if word.startswith(f"{pipeline.REG_PATH_POSITION}=")
    )
    return frozenset(int(value, 0) & _NUMBER for value in steps)


def _chain_of(owner: str) -> str:
    return owner.partition("/")[0]


def _strength(owner: str) -> int:
    """0 for rules that carry a chain; more for such as give way."""
    return (owner.endswith(_HELD) and 1) or (owner.endswith(_LEAVING) and 2) or 0
