"""What a host knows of its chains: their plans, and how far each change of them has come."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from portchain.dataplane import resume, transition
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ABSENT, ChainTransition, TransitionTimeouts
from portchain.rpc.contract import PlanUpdate

_MAX_REMOVED_CHAINS = 10_000
"""Number of removed chains whose revisions are kept, to recognise late messages about them."""


class Accepted(NamedTuple):
    """What an update changed.

    :param chain_ids: the chains with another state now.
    :param takes_over: whether a chain goes on from flows that a restart of the agent left. Both
        the chain and what is left must change at once, for the flows that drop packets to stay.
    """

    chain_ids: list[str]
    takes_over: bool


class ChainStates:
    """The plans of one host's chains, and the state of each chain's changes. Not thread-safe.

    Messages may be repeated, late and in another order: what is known to be older than what the
    host has is ignored (docs/decisions/0018).

    :param host: the host's name in Neutron.
    :param timeouts: how long transitions wait.
    :param clock: returns seconds of a monotonic clock.
    :param note_change: called with the id of a chain after its state has been set.
    :ivar by_id: chain id -> state. Lacks chains that are absent.
    :ivar awaiting_switch: chains with a time that begins when the switch has their flows.
    """

    def __init__(
        self,
        host: str,
        timeouts: TransitionTimeouts,
        clock: Callable[[], float],
        note_change: Callable[[str], None],
    ) -> None:
        self._host, self._timeouts, self._clock = host, timeouts, clock
        self._note_change = note_change
        self.by_id: dict[str, ChainTransition] = {}
        self.awaiting_switch: set[str] = set()
        self._with_deadline: set[str] = set()
        self._removed_revisions: OrderedDict[str, int] = OrderedDict()

    def get(self, chain_id: str) -> ChainTransition:
        """Return the state of a chain; ``ABSENT`` if the host knows nothing of it."""
        return self.by_id.get(chain_id, ABSENT)

    @property
    def latest_plans(self) -> list[ChainPlan]:
        """The latest plan of each chain that this host has a part in."""
        plans = (state.plan for state in self.by_id.values())
        return [plan for plan in plans if plan is not None]

    @property
    def deadlines(self) -> list[float | None]:
        """When transitions go on by themselves."""
        return [self.by_id[chain_id].next_deadline for chain_id in self._with_deadline]

    @property
    def changing(self) -> set[str]:
        """The chains whose transition waits for a time, or for the switch."""
        return self._with_deadline | self.awaiting_switch

    def without_outdated(
        self, plans: Iterable[ChainPlan], sent_revisions: Mapping[str, int] | None = None
    ) -> tuple[ChainPlan, ...]:
        """Return the plans but for those of which this host knows something newer.

        :param sent_revisions: the revisions that the plans answer to; None for a notification.
        """
        return tuple(plan for plan in plans if not self._is_outdated(plan, sent_revisions))

    def accept(self, update: PlanUpdate, *, in_two_phases: bool) -> Accepted:
        """Store what an update says.

        :param update: its plans are those of ``without_outdated``.
        :param in_two_phases: whether chains may be prepared. Before the first answer of the server
            it is unknown which plan the flows in the switch belong to, so there is nothing to
            prepare from: chains go straight to the new plan.
        """
        prepare = update.prepare if in_two_phases else ()
        plans = [plan for plan in update.chains if self.get(plan.id).plan != plan]
        takes_over = [self._accept_plan(plan, prepare=plan.id in prepare) for plan in plans]
        changed = [plan.id for plan in plans]
        changed += [chain_id for chain_id, _ in filter(self._remove, update.removed)]
        changed += [chain_id for chain_id, _ in filter(self._switch, update.switch)]
        return Accepted(changed, any(takes_over))

    def advance(self) -> set[str]:
        """Continue the transitions whose deadline has passed; return their chains."""
        now = self._clock()
        due = {
            chain_id
            for chain_id in self._with_deadline
            if (deadline := self.by_id[chain_id].next_deadline) is not None and deadline <= now
        }
        for chain_id in due:
            self.put(chain_id, transition.advance(self.by_id[chain_id], now, self._timeouts))
        return due

    def note_replugged(self, port_ids: Collection[str]) -> None:
        """Note which ports were plugged in or unplugged; their chains change at their events."""
        for chain_id in self.changing:
            state = transition.note_replugged(self.by_id[chain_id], port_ids)
            if state != self.by_id[chain_id]:
                self.put(chain_id, state)

    def note_applied(self, chain_id: str, *, failed: bool) -> None:
        """Start the times of a transition that begin when the switch holds its flows.

        :param failed: whether the switch holds the flows of an earlier plan instead.
        """
        state = self.get(chain_id)
        if failed and state.is_closed:
            self.put(chain_id, transition.reclose(state))
        elif not failed and chain_id in self.awaiting_switch:
            self.put(chain_id, transition.applied(state, self._clock(), self._timeouts))

    def put(self, chain_id: str, state: ChainTransition) -> None:
        """Give a chain a state."""
        self._with_deadline.discard(chain_id)
        self.awaiting_switch.discard(chain_id)
        if state == ABSENT:
            self.by_id.pop(chain_id, None)
        else:
            self.by_id[chain_id] = state
            if state.next_deadline is not None:
                self._with_deadline.add(chain_id)
            if state.awaits_switch:
                self.awaiting_switch.add(chain_id)
        self._note_change(chain_id)

    def _is_outdated(self, plan: ChainPlan, sent_revisions: Mapping[str, int] | None) -> bool:
        current = self.get(plan.id).plan
        if sent_revisions is None:
            if current is not None:
                return current.revision > plan.revision
            return self._removed_revisions.get(plan.id, -1) >= plan.revision
        # Two plans can have one revision: what came after the request is the later one.
        known = self._removed_revisions.get(plan.id, -1) if current is None else current.revision
        is_same = sent_revisions.get(plan.id) == (None if current is None else known)
        return known >= plan.revision and not is_same

    def _accept_plan(self, plan: ChainPlan, *, prepare: bool) -> bool:
        """Store a plan; return whether it takes over what a restart of the agent left."""
        current = self.get(plan.id)
        # Functions may still hold packets that they got before the restart. The new plan must not
        # apply to them.
        unknown = resume.unknown_chain(plan.path_id)
        takes_over = current == ABSENT and unknown in self.by_id
        if takes_over:
            current = self.by_id[unknown]
            self.put(unknown, ABSENT)
        now = self._clock()
        state = transition.accept(
            current, plan, self._host, prepare=prepare, time=now, timeouts=self._timeouts
        )
        self.put(plan.id, state)
        self._removed_revisions.pop(plan.id, None)
        return takes_over

    def _remove(self, removed: tuple[str, int]) -> bool:
        """Withdraw from a chain; return whether this host had a plan of it.

        :param removed: id and revision.
        """
        chain_id, revision = removed
        current = self.get(chain_id)
        if current.plan is not None and current.plan.revision > revision:
            return False
        known = self._removed_revisions.pop(chain_id, revision)
        self._removed_revisions[chain_id] = max(revision, known)
        while len(self._removed_revisions) > _MAX_REMOVED_CHAINS:
            self._removed_revisions.popitem(last=False)
        if current.plan is None:
            return False
        self.put(chain_id, transition.withdraw(current, self._clock(), self._timeouts))
        return True

    def _switch(self, switch: tuple[str, int]) -> bool:
        """Switch to the plan that this host is prepared for; return whether that changes anything.

        :param switch: id, and the revision that all hosts are prepared for.
        """
        chain_id, revision = switch
        current = self.get(chain_id)
        if current.plan is None or current.plan.revision != revision:
            return False
        state = transition.switch(current, self._clock(), self._timeouts)
        self.put(chain_id, state)
        return state != current
