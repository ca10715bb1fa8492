"""Keeps a host's switch at what its plans say.

Level-triggered: whatever happens only says "look again". The reconciler holds the plans, asks the compiler for the rules, and
applies the difference to what it knows to be in the switch; now and then, and whenever it cannot be sure, it reads the
switch and compares with that instead. A rule that is right is never touched.
"""

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from oslo_log import log

from portchain.core.model import HostReport
from portchain.dataplane import pipeline, transition
from portchain.dataplane.arbitration import FlowArbiter, Outcome, path_ids_in
from portchain.dataplane.diff import Batch, diff
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ABSENT, ChainTransition, Phase, TransitionTimeouts
from portchain.host.rejected_flows import find_rejected
from portchain.host.switch import Switch
from portchain.rpc.contract import PlanUpdate

LOG = log.getLogger(__name__)

_TOMBSTONES = 10_000
_REFUSALS = 4
"""Rounds to find out: a chain's rules, those of its last plan, those that hold it back, those for what is leaving."""


class Reconciler:
    """The plans of one host and the rules made of them. Thread-safe.

    :param report: called with what became of chains, each time that changes; must not block.
    :param patience: how long changes wait.
    :param clock: seconds, never going back.
    """

    def __init__(
        self,
        switch: Switch,
        host: str,
        report: Callable[[list[HostReport]], None],
        patience: TransitionTimeouts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switch = switch
        self._host = host
        self._report = report
        self._patience = patience
        self._clock = clock
        self._lock = threading.RLock()
        self._chains: dict[str, ChainTransition] = {}
        self._under_way: set[str] = set()  # chains whose change is not at its end
        self._removed: OrderedDict[str, int] = OrderedDict()
        self._chains_of_port: defaultdict[str, set[str]] = defaultdict(set)
        self._ports_of_chain: dict[str, frozenset[str]] = {}
        self._arbiter = FlowArbiter()
        self._reported: dict[str, HostReport] = {}
        self._waiting: set[str] = set()  # chains that lack something on this host
        self._complete = False  # whether the plans are all of this host's: before that, what is missing must not be removed
        self._in_sync = False  # whether the switch holds what the claims say

    @property
    def known_revisions(self) -> dict[str, int]:
        """Chain id -> revision of the plan held."""
        with self._lock:
            plans = (now.plan for now in self._chains.values())
            return {plan.id: plan.revision for plan in plans if plan is not None}

    @property
    def seconds_until_due(self) -> float | None:
        """Until ``advance`` has something to do; None if nothing is under way."""
        with self._lock:
            times = [self._chains[chain_id].next_deadline for chain_id in self._under_way]
            due = min((moment for moment in times if moment is not None), default=None)
            return None if due is None else max(0.0, due - self._clock())

    @property
    def has_incomplete_chains(self) -> bool:
        """Whether a chain lacks something that may come without an event, e.g. a tunnel."""
        with self._lock:
            return bool(self._waiting)

    @property
    def is_in_sync(self) -> bool:
        """Whether the switch holds what the plans say, as far as known; true before the first ``synchronise``."""
        with self._lock:
            return self._in_sync or not self._complete

    def update(self, update: PlanUpdate) -> None:
        """Take new plans and carry them out; before the first ``synchronise``, only remember them.

        Repeated, late and reordered updates do no harm.

        :raises Exception: the switch could not be brought to the plans; ``reconcile`` makes up for it.
        """
        with self._lock:
            if changed := self._take(update):
                self._bring_about(changed)
            self._send(update.unreadable)

    def synchronise(self, update: PlanUpdate, asked_with: Mapping[str, int] | None = None) -> bool:
        """Take the server's answer to "what do I not know?", and compare everything with the switch.

        The answer is right about all but what has changed since it was asked for.

        :param asked_with: what was ``known`` then; what is known now if it is left out.
        :returns: whether anything had to be changed.
        :raises Exception: as ``reconcile``.
        """
        with self._lock:
            self._take(update, self.known_revisions if asked_with is None else asked_with)
            self._complete = True
            changed = self.reconcile()
            self._send(update.unreadable)
            return changed

    def advance_transitions(self) -> None:
        """Go on with changes that have waited long enough.

        :raises Exception: as ``update``.
        """
        with self._lock:
            now = self._clock()
            due = {
                chain_id
                for chain_id in self._under_way
                if (moment := self._chains[chain_id].next_deadline) is not None and moment <= now
            }
            for chain_id in due:
                then = transition.advance(self._chains[chain_id], now, self._patience)
                self._steer(chain_id, then)
            if due:
                self._bring_about(due)

    def ports_changed(self, port_ids: Iterable[str]) -> None:
        """Look again at the chains that use these ports.

        :raises Exception: as ``update``.
        """
        with self._lock:
            chains = {
                chain for port_id in port_ids for chain in self._chains_of_port.get(port_id, ())
            }
            if chains:
                self._bring_about(chains)

    def retry_incomplete(self) -> None:
        """Look again at the chains that lack something.

        :raises Exception: as ``update``.
        """
        with self._lock:
            if self._waiting:
                self._bring_about(set(self._waiting))

    def reconcile(self) -> bool:
        """Compare all plans with what the switch really holds, and repair. Does nothing before the first ``synchronise``.

        :returns: whether anything had to be changed.
        :raises Exception: the switch does not answer or refused.
        """
        with self._lock:
            if not self._complete:
                return False
            self._in_sync = False
            local, actual = self._switch.read_ports(), self._switch.dump_entries()
            claims = self._arbiter
            found = frozenset() if claims.chain_ids else path_ids_in(actual)
            outcomes = claims.recompute(
                self._chains, claims.chain_ids | set(self._chains), local, found
            )
            claims.ledger.pop_changes()
            batches = diff(claims.ledger.entries, actual)
            self._carry_out(batches, outcomes, local)
            return bool(batches)

    def _take(self, update: PlanUpdate, asked_with: Mapping[str, int] | None = None) -> list[str]:
        """Note what an update says; returns the chains that it changes."""
        news = (plan for plan in update.chains if not self._is_late(plan, asked_with))
        changed = [plan.id for plan in news if self._accept(plan, update.prepare)]
        changed += [chain_id for chain_id, _ in filter(self._forget, update.removed)]
        changed += [chain_id for chain_id, _ in filter(self._go_on, update.switch)]
        return changed

    def _is_late(self, plan: ChainPlan, asked_with: Mapping[str, int] | None) -> bool:
        """Whether something newer is known than a plan from a message or, with ``asked_with``, from the server's answer."""
        held = self._chains.get(plan.id, ABSENT).plan
        late = self._removed.get(plan.id, -1) >= plan.revision if held is None else held.revision > plan.revision  # fmt: skip
        if asked_with is None or not late:
            return late
        return asked_with.get(plan.id) != (None if held is None else held.revision)

    def _accept(self, plan: ChainPlan, prepare: Collection[str]) -> bool:
        now = self._chains.get(plan.id, ABSENT)
        if now.plan == plan:
            return False
        # What the switch holds of a chain from before this agent started is not known: it goes to the end at once.
        steps = self._complete and plan.id in prepare
        moment, patience = self._clock(), self._patience
        self._steer(
            plan.id,
            transition.accept(now, plan, self._host, prepare=steps, time=moment, timeouts=patience),
        )
        self._removed.pop(plan.id, None)
        return True

    def _forget(self, removed: tuple[str, int]) -> bool:
        chain_id, revision = removed
        now = self._chains.get(chain_id, ABSENT)
        if now.plan is not None and now.plan.revision > revision:
            return False
        self._removed[chain_id] = max(revision, self._removed.pop(chain_id, revision))
        while len(self._removed) > _TOMBSTONES:
            self._removed.popitem(last=False)
        self._reported.pop(chain_id, None)
        if now.plan is None:
            return False
        self._steer(chain_id, transition.withdraw(now, self._clock(), self._patience))
        return True

    def _go_on(self, switch: tuple[str, int]) -> bool:
        """Switch over to a plan, if it is the one that this host is prepared for."""
        chain_id, revision = switch
        now = self._chains.get(chain_id, ABSENT)
        if now.plan is None or now.plan.revision != revision:
            return False
        then = transition.switch(now, self._clock(), self._patience)
        self._steer(chain_id, then)
        return then != now

    def _steer(self, chain_id: str, then: ChainTransition) -> None:
        for port_id in self._ports_of_chain.pop(chain_id, ()):
            self._chains_of_port[port_id].discard(chain_id)
            if not self._chains_of_port[port_id]:
                del self._chains_of_port[port_id]
        self._under_way.discard(chain_id)
        if then == ABSENT:
            self._chains.pop(chain_id, None)
            return
        self._chains[chain_id] = then
        if then.next_deadline is not None:
            self._under_way.add(chain_id)
        # A chain that fails goes on by a plan of before, also when that has nothing under way any more.
        ports = self._arbiter.applied_ports(chain_id).union(*(plan.ports for plan in then.plans))
        self._ports_of_chain[chain_id] = ports
        for port_id in ports:
            self._chains_of_port[port_id].add(chain_id)

    def _bring_about(self, chain_ids: Iterable[str]) -> None:
        if not self._in_sync:
            self.reconcile()
            return
        self._in_sync = False  # until all of it has worked
        local = self._switch.read_ports()
        outcomes = self._arbiter.recompute(self._chains, chain_ids, local)
        self._carry_out(self._arbiter.ledger.pop_changes(), outcomes, local)

    def _carry_out(
        self, batches: list[Batch], outcomes: dict[str, Outcome], local: LocalSwitch
    ) -> None:
        try:
            self._apply(batches)
        except Exception as exc:
            LOG.warning("The switch is brought to its rules chain by chain: %s", exc)
            outcomes |= self._carry_out_what_is_taken(local)
        self._arbiter.mark_applied()
        self._in_sync = True
        self._report_on(outcomes)

    def _carry_out_what_is_taken(self, local: LocalSwitch) -> dict[str, Outcome]:
        """Do without the rules that the switch refuses: they must not hold up other chains."""
        outcomes: dict[str, Outcome] = {}
        ledger = self._arbiter.ledger
        for _ in range(_REFUSALS):
            refused = find_rejected(ledger, self._switch)
            outcomes |= self._arbiter.replace_rejected(self._chains, refused, local)
            ledger.pop_changes()
            if not refused:
                break
        self._apply(diff(ledger.entries, self._switch.dump_entries()))
        return outcomes

    def _apply(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._switch.apply(batch)
        self._switch.limit_tables(pipeline.FLOW_LIMITS if self._chains else {})

    def _report_on(self, outcomes: Mapping[str, Outcome]) -> None:
        self._waiting -= outcomes.keys()
        self._waiting |= {chain_id for chain_id, outcome in outcomes.items() if outcome.missing}
        reports = []
        for chain_id, outcome in outcomes.items():
            _log(chain_id, outcome)
            now = self._chains.get(chain_id, ABSENT)
            if now.plan is not None:
                missing, prepared = "; ".join(outcome.missing), now.phase is not Phase.SWITCHED
                reports.append(
                    HostReport(chain_id, now.plan.revision, outcome.error, missing, prepared)
                )
        self._send(reports)

    def _send(self, reports: Iterable[HostReport]) -> None:
        news = [report for report in reports if self._reported.get(report.chain_id) != report]
        self._reported.update((report.chain_id, report) for report in news)
        if news:
            self._report(news)


def _log(chain_id: str, outcome: Outcome) -> None:
    for failure in outcome.failures:
        LOG.error(
            "Chain %s is not carried out: %s",
            chain_id,
            failure,
            exc_info=None if outcome.is_expected else failure,
        )
