"""Keeps the flows of a host's switch equal to what the host's plans require.

The reconciler is level-triggered: an event only means "compare again". It holds the plans, has the
flows computed from them, and applies the difference to the flows that it believes to be in the
switch. When it cannot be sure of those, it reads them from the switch first. A correct flow is
never touched.

Work on many chains is divided into slices, so that a port that Neutron's agent is about to wire
never waits for other ports' chains (docs/decisions/0052).
"""

import math
import threading
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_

from oslo_log import log

from portchain.core.counters import Count, Counter, CounterKind
from portchain.core.model import HostReport, PairHealth
from portchain.dataplane import pipeline
from portchain.dataplane.arbitration import FlowArbiter, Outcome
from portchain.dataplane.compile import target_number
from portchain.dataplane.counting import Learned
from portchain.dataplane.diff import Batch, keys_of, without
from portchain.dataplane.dump import Dump, VerifiedDump
from portchain.dataplane.failed_functions import pairs_put_back
from portchain.dataplane.flow import EntryKey, Flow, FlowKey, SwitchEntry
from portchain.dataplane.gates import needs_of
from portchain.dataplane.host_switch import FlowLimits, HostNeeds, LocalSwitch
from portchain.dataplane.packed_flows import compare, digest
from portchain.dataplane.pipeline import path_label
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.transition import ABSENT, ChainTransition, TransitionTimeouts
from portchain.dataplane.work_units import work_units
from portchain.host.chain_index import ChainIndex
from portchain.host.chain_states import ChainStates
from portchain.host.counter_store import CounterStore
from portchain.host.failed_functions import FailedFunctions
from portchain.host.flow_counters import FlowCounters
from portchain.host.full_comparison import FullComparison
from portchain.host.garbage import without_garbage_collection
from portchain.host.health.checks import Check, ChecksOfChains
from portchain.host.needs import NeedsOfChains
from portchain.host.priority_lock import PriorityLock
from portchain.host.rejected_flows import find_rejected
from portchain.host.state_reports import StateReports
from portchain.host.switch import Switch
from portchain.rpc.contract import PlanUpdate

LOG = log.getLogger(__name__)

_SLICE_SECONDS = 0.1
"""How long a slice of work computes flows. Applying them takes about as long."""

_SLICE_CHAINS = 100
"""How many chains are computed in one slice at most, if nothing of them is applied yet."""

_MAX_REJECTIONS = 4
"""A chain has four sets of flows that the switch may reject in turn: those of its latest plan,
of its previous plan, of its bypass guard, and for packets in flight."""


class Reconciler:
    """The plans of one host, and the flows computed from them. Thread-safe.

    :param host: the host's name in Neutron.
    :param report: called with the new state of chains whenever it changes; must not block.
    :param timeouts: how long transitions wait.
    :param clock: returns seconds of a monotonic clock.
    :param limits: what chains may take of the host.
    :param set_checks: called with the functions and the hosts to check whenever they change; must
        not block.
    :param counters: keeps what flows have counted; by default as long as the process runs.
    :ivar plans_known: set as soon as the server has answered: ports wait for chains from then on.
    """

    def __init__(
        self,
        switch: Switch,
        host: str,
        report: Callable[[list[HostReport]], None],
        timeouts: TransitionTimeouts,
        clock: Callable[[], float] = time.monotonic,
        *,
        limits: FlowLimits | None = None,
        set_checks: Callable[[list[Check], list[Check]], None] = lambda *_: None,
        counters: FlowCounters | None = None,
    ) -> None:
        self._switch = switch
        self._host = host
        self._clock = clock
        self._limits = limits or FlowLimits()
        self.repaired_flows = 0
        """How many flows were missing in the switch, or were others, and have been repaired."""
        self._counters = counters or FlowCounters(switch, CounterStore(":memory:"))
        self._lock = PriorityLock()
        self._comparing = threading.Lock()
        self._states = ChainStates(host, timeouts, clock, self._note_change)
        self._chains = self._states.by_id
        self._chains_of_ports = ChainIndex()
        self._needs = NeedsOfChains()
        self._set_checks = set_checks
        self._checks = ChecksOfChains()
        self._arbiter = FlowArbiter()
        self._reports = StateReports(report)
        self._found: LocalSwitch | None = None  # as the switch has returned it
        self._local: LocalSwitch | None = None  # the same with limits, and with failed functions
        self._failed = FailedFunctions(clock)
        # Chains whose flows are those of their present state and the present ports. Lacks chains
        # that failed.
        self._computed: set[str] = set()
        # Before the first answer of the server, some plans are missing: their flows must stay.
        self.plans_known = threading.Event()
        self._has_resumed = False  # whether it has looked for flows of the agent before a restart
        self._in_sync = False  # whether the switch is known to hold what the arbiter's ledger says
        self._full_comparison: FullComparison | None = None  # if one has begun
        # Of each chain in a service graph, the chains that must change with it (``work_units``).
        self._chains_of_graph: dict[str, tuple[str, ...]] = {}
        # While a comparison reads the switch: the keys that have changed since. None: all may have.
        self._changed_since: set[EntryKey] | None = None
        # The last dump that was as it should be, and what each key that has changed since had then.
        self._verified: VerifiedDump | None = None
        self._since_verified: dict[EntryKey, SwitchEntry | None] = {}

    @property
    def known_revisions(self) -> dict[str, int]:
        """Chain id -> revision of the plan that this host has."""
        with self._lock:
            return {plan.id: plan.revision for plan in self._states.latest_plans}

    @property
    def plans(self) -> list[ChainPlan]:
        """The plans of all chains, those that drain included."""
        with self._lock:
            return [plan for state in self._chains.values() for plan in state.plans]

    @property
    def failed_pairs(self) -> frozenset[str]:
        """The pairs that this host leaves out until the server has planned again."""
        with self._lock:
            return self._failed.pairs

    @property
    def latest_plans(self) -> list[ChainPlan]:
        """The latest plan of each chain that this host has a part in."""
        with self._lock:
            return self._states.latest_plans

    def plans_of(self, chain_id: str) -> list[ChainPlan]:
        """Return the plans that this host has of a chain, those that drain included."""
        with self._lock:
            return list(self._states.get(chain_id).plans)

    def counts_of(self, chain_ids: Collection[str] | None = None) -> dict[Counter, Count]:
        """Ask the switch, and return what chains have counted here since they came to this host.

        :param chain_ids: chains that the host has no part in are left out; None for all.
        :raises Exception: as ``FlowCounters.totals``.
        """
        with self._lock:
            known = [plan.id for plan in self._states.latest_plans]
        asked = set(known if chain_ids is None else chain_ids)
        wanted = [one for one in known if one in asked]
        return self._counters.totals(wanted, self._counted_flows, self._learning)

    def hop_numbers(self) -> dict[tuple[str, bool, str], int]:
        """Return the present place of each pair: chain, reverse and pair -> number of the hop."""
        with self._lock:
            plans = self._states.latest_plans
        return {
            (plan.id, path.reverse, target.pair_id): number
            for plan in plans
            for path in plan.paths
            for number, hop in enumerate(path.hops, 1)
            for target in hop.targets
        }

    def _learning(self, chain_id: str) -> dict[Learned, Counter]:
        """Return what the learned flows of a chain count for."""
        with self._lock:
            plan = self._states.get(chain_id).plan
        if plan is None:
            return {}
        return {
            (path_label(plan.path_id, path.reverse), target_number(target.pair_id)): Counter(
                chain_id, path.reverse, CounterKind.LEARNED, target.pair_id
            )
            for path in plan.paths
            for hop in path.hops
            for target in hop.targets
        }

    def _counted_flows(self, chain_id: str) -> list[Flow]:
        with self._lock:
            return self._arbiter.counted_flows(chain_id)

    @property
    def seconds_until_due(self) -> float | None:
        """Seconds until ``advance_transitions`` has something to do; None without transitions."""
        with self._lock:
            deadlines = [*self._states.deadlines, *self._failed.deadlines]
            first = min((deadline for deadline in deadlines if deadline is not None), default=None)
            return None if first is None else max(0.0, first - self._clock())

    @property
    def has_incomplete_chains(self) -> bool:
        """Whether a chain lacks something that may appear without an event, e.g. a tunnel."""
        with self._lock:
            return bool(self._reports.incomplete)

    @property
    def is_in_sync(self) -> bool:
        """Whether the switch holds what the plans require, as far as known.

        True before the first ``synchronise``: until then nothing is required.
        """
        with self._lock:
            return self._in_sync or not self.plans_known.is_set()

    def update(self, update: PlanUpdate) -> None:
        """Accept new plans and program their flows.

        Before the first ``synchronise``, plans are accepted and nothing is programmed. Repeated,
        late and reordered updates are harmless.

        :raises Exception: the switch could not be programmed; call ``reconcile`` later.
        """
        with self._lock:
            changed = self._accept_update(update)
        self._program_in_slices(changed)
        with self._lock:
            self._reports.send(update.unreadable)

    def synchronise(
        self, update: PlanUpdate, sent_revisions: Mapping[str, int] | None = None
    ) -> bool:
        """Accept the server's answer to a sync request, and compare everything with the switch.

        The answer is authoritative, except for chains that changed after the request.

        :param sent_revisions: ``known_revisions`` as sent with the request; by default those of
            now.
        :returns: whether the switch had to be changed.
        :raises Exception: as ``reconcile``.
        """
        with self._lock:
            self._accept_update(
                update, self.known_revisions if sent_revisions is None else sent_revisions
            )
            self.plans_known.set()
        changed = self.reconcile()
        with self._lock:
            self._reports.send(update.unreadable)
        return changed

    def note_health(self, host: str, health: Iterable[PairHealth]) -> None:
        """Leave functions out of the path that have failed, until the server has planned again.

        :param host: where the functions are; what is said of others is ignored.
        :raises Exception: as ``update``.
        """
        with self._lock:
            changed = self._accept_health(host, {one.pair_id: one.is_up for one in health})
        self._program_in_slices(changed)

    def advance_transitions(self) -> None:
        """Continue the transitions whose deadline has passed.

        :raises Exception: as ``update``.
        """
        with self._lock:
            due = self._states.advance()
            due |= self._take_back(self._failed.overdue)
        self._program_in_slices(due)

    def ports_changed(self, port_ids: Iterable[str]) -> None:
        """Compute the flows of the chains that use these ports again.

        This is urgent, because Neutron's agent waits for it: it waits for the current slice of
        other work only, and for nothing if no chain uses the ports. After a start, it waits until
        the switch has been read, too.

        :raises Exception: as ``update``.
        """
        chains = self._chains_of_ports.chains_with(port_ids)
        if chains and self.plans_known.is_set():
            with self._lock.urgently():
                self._program_urgently(chains)

    def _program_urgently(self, chains: set[str]) -> None:
        """Program some chains before all others, with those that follow them in a service graph."""
        comparison = (
            None if self._in_sync else self._full_comparison or self._begin_full_comparison()
        )
        chains |= {other for one in chains for other in self._chains_of_graph.get(one, ())}
        local = self._read_ports()
        if comparison is None:
            # A port that was there already concerns nobody: Neutron's agent tells of all ports
            # when it starts.
            chains -= self._computed
            if chains:
                self._program([tuple(chains)])
            return
        # What a chain may have depends on those with which it may conflict: they share a port.
        sharing = self._chains_of_ports.sharing(chains, local.ports.keys())
        self._compute_for(comparison, chains | sharing, local)
        batches = comparison.additions(chains)
        if batches:
            self._apply_counted(batches, ())

    def retry_incomplete(self) -> None:
        """Compute the flows of the chains that lack something again.

        :raises Exception: as ``update``.
        """
        with self._lock:
            incomplete = set(self._reports.incomplete)
        self._program_in_slices(incomplete)

    def reconcile(self) -> bool:
        """Compute all flows again, compare them with the switch, and repair the difference.

        Does nothing before the first ``synchronise``.

        :returns: whether the switch had to be changed.
        :raises Exception: the switch does not answer, or rejected a change.
        """
        if not self.plans_known.is_set():
            return False
        with self._lock.for_a_slice():
            if is_in_sync := self._in_sync:
                self._read_ports()
        if not is_in_sync:
            return self._compare_all()
        changed = self._program_changed()
        with self._comparing:
            return self._compare() or changed

    def _program_changed(self) -> bool:
        """Compute the chains that may have changed; return whether the switch was changed."""
        with self._lock.for_a_slice():
            changed_chains = self._chains_to_compute()
            if not changed_chains and self._in_sync:
                return self._program([()])  # flows that belong to no chain follow from ports, too
        return self._program_in_slices(changed_chains)

    def _chains_to_compute(self) -> set[str]:
        """Return the chains whose flows may be other ones than when they were computed last.

        Those of a chain that failed may be: the switch may accept now what it rejected.
        """
        return (self._arbiter.chain_ids | self._chains.keys()) - self._computed

    def _compare_all(self) -> bool:
        """Do all of ``reconcile`` when it is unknown what the switch holds.

        :returns: whether the switch had to be changed.
        """
        with without_garbage_collection():
            while True:
                with self._lock.for_a_slice():
                    if self._in_sync:
                        break
                    changed = self._compare_some()
                    if changed is not None:
                        return changed
            return self._program_changed()

    def _compare_some(self) -> bool | None:
        """Do one slice of ``_compare_all``; return its result, or None if it is not complete."""
        try:
            comparison = self._full_comparison or self._begin_full_comparison()
            local, end = self._read_ports(), self._clock() + _SLICE_SECONDS
            for _ in range(_SLICE_CHAINS):
                if (chain_id := comparison.next_chain(local)) is None:
                    return self._complete(comparison, local)
                self._compute_for(comparison, (chain_id,), local)
                if self._clock() >= end:
                    break
            return None
        except Exception:
            self._in_sync, self._full_comparison = False, None
            raise

    def _begin_full_comparison(self) -> FullComparison:
        """Read the switch."""
        # A comparison that goes on meanwhile has read the switch before.
        self._in_sync, self._verified, self._changed_since = False, None, None
        self._computed.clear()
        local, dump = self._read_ports(), self._switch.dump_entries()
        units = work_units(self._chains, self._chains)
        self._chains_of_graph = {one: unit for unit in units for one in unit if len(unit) > 1}
        is_start = not self._has_resumed
        comparison = FullComparison(self._arbiter, self._chains, local, dump, is_start=is_start)
        self._full_comparison = comparison
        return comparison

    def _compute_for(
        self, comparison: FullComparison, chain_ids: Collection[str], local: LocalSwitch
    ) -> None:
        self._set_states(comparison.resumed_states(chain_ids, local))
        comparison.compute(chain_ids, local)

    def _complete(self, comparison: FullComparison, local: LocalSwitch) -> bool:
        """Repair the switch when all chains are computed; return whether that changes anything."""
        missing, surplus = comparison.differences()
        if states := comparison.unrealised_states(surplus):
            self._set_states(states)
            comparison.compute(states, local)
            missing, surplus = comparison.differences()
        is_start, self._has_resumed = not self._has_resumed, True
        self._full_comparison = None
        batches = self._arbiter.ledger.repair(missing, surplus)
        self._repair(batches, surplus, comparison.outcomes, local, is_start=is_start)
        self._counters.keep_only(self._chains)
        if not batches and not comparison.found.added:
            self._verify(comparison.entries)
        return bool(batches or comparison.found.added)

    def _compare(self) -> bool:
        """Compare the switch with what it should hold, and repair the difference.

        Most of this needs no lock: other work may change the switch meanwhile. What has changed is
        compared the next time.
        """
        with self._lock:
            self._changed_since = set()
            present = self._arbiter.ledger.entries_for(self._since_verified)
            changes = {key: (old, present[key]) for key, old in self._since_verified.items()}
            verified, self._since_verified = self._verified, {}
        try:
            dump = self._switch.dump_entries()
            is_right = (
                isinstance(dump, Dump)
                and verified is not None
                and verified.differs_by(dump, changes)
            )
            missing, surplus = (set(), []) if is_right else self._differences(dump)
            verified = None
            if isinstance(dump, Dump) and not missing and not surplus:
                verified = VerifiedDump(dump)
        except Exception:
            with self._lock:
                self._in_sync = False
            raise
        with self._lock.for_a_slice():
            changed, self._changed_since = self._changed_since, None
            if self._in_sync:
                if changed is None:
                    return False  # everything has been compared meanwhile
                # Without ``is_right``, what has changed meanwhile may be in the dump, or not.
                self._verified = verified if is_right or not changed else None
                batches = without(self._arbiter.ledger.repair(missing, surplus), changed)
                if batches:
                    self._in_sync = False
                    self._repair(batches, surplus, {}, self._read_ports())
                return bool(batches)
        return self._compare_all()

    def _differences(self, dump: Iterable[SwitchEntry]) -> tuple[set[int], list[SwitchEntry]]:
        """Compare all entries that the switch has with those that it should have."""
        with self._lock:
            desired = self._arbiter.ledger.digests
        return compare(dump, array("q", map(digest, dump)), desired)

    def _verify(self, dump: Iterable[SwitchEntry]) -> None:
        """Note that a dump is what the switch should hold, and that nothing has changed since."""
        self._since_verified = {}
        self._verified = VerifiedDump(dump) if isinstance(dump, Dump) else None

    def _read_ports(self) -> LocalSwitch:
        """Return the ports of the switch; the same object while nothing has changed."""
        try:
            if self.plans_known.is_set():
                self._switch.provide(self._needs.all)
            found = self._switch.read_ports()
        except Exception:
            self._in_sync = False  # chains that were to be computed wait for the next attempt
            raise
        failed = self._failed.pairs
        known = self._local
        if found is self._found and known is not None and known.failed == failed:
            return known
        local = replace(found, limits=self._limits, failed=failed)
        if local != self._local:
            if self._local is not None:
                if self._states.changing:
                    self._states.note_replugged(local.replugged_since(self._local))
                affected = self._chains_affected(local.changes_since(self._local))
                self._forget_computed(affected)
            self._local = local
        self._found = found  # last: if anything above raises, the next attempt does it again
        return self._local

    def _chains_affected(self, changes: HostNeeds | None) -> set[str]:
        """Return the chains whose flows depend on changes of the switch.

        :param changes: ports and tunnels; None for anything.
        """
        if changes is None:
            return set(self._chains)
        chains = self._chains_of_ports.chains_with(changes.ports)
        return chains | self._needs.chains_with(changes.peers)

    def _accept_update(
        self, update: PlanUpdate, sent_revisions: Mapping[str, int] | None = None
    ) -> list[str]:
        """Store what an update says; return the ids of the chains that it changes."""
        update = replace(
            update, chains=self._states.without_outdated(update.chains, sent_revisions)
        )
        back = {pair for plan in update.chains for pair in self._pairs_put_back(plan)}
        changed, takes_over = self._states.accept(update, in_two_phases=self.plans_known.is_set())
        removed = (chain_id for chain_id, _ in update.removed)
        self._reports.forget(one for one in removed if self._states.get(one).plan is None)
        if takes_over:
            self._in_sync = False
        return [*changed, *self._take_back(back)] if back else changed

    def _pairs_put_back(self, plan: ChainPlan) -> Collection[str]:
        """Return the pairs that have failed, and to which the server sends packets again."""
        failed = self._failed.pairs
        return pairs_put_back(self._states.get(plan.id).plan, plan) & failed if failed else ()

    def _accept_health(self, host: str, is_up: Mapping[str, bool]) -> set[str]:
        """Note which functions of a host have failed; return the chains that this changes.

        :param is_up: pair id -> whether its function answers.
        """
        news, chains = self._failed.note(host, is_up, self._chains)
        if news:
            LOG.info("Host %s says that functions have failed: %s", host, ", ".join(sorted(news)))
        self._forget_computed(chains)
        return chains

    def _take_back(self, pair_ids: Collection[str]) -> set[str]:
        """Let functions count as working again; return the chains that this changes."""
        chains = self._failed.take_back(pair_ids, self._chains)
        self._forget_computed(chains)
        return chains

    def _forget_computed(self, chain_ids: set[str]) -> None:
        """Note that the flows of chains are others now."""
        self._computed -= chain_ids
        if self._full_comparison is not None:
            self._full_comparison.forget(chain_ids)

    def _set_states(self, states: Mapping[str, ChainTransition]) -> None:
        for chain_id, state in states.items():
            self._states.put(chain_id, state)

    def _note_change(self, chain_id: str) -> None:
        """Note that a chain has another state now."""
        state = self._states.get(chain_id)
        self._checks.set(chain_id, state.plan)
        self._failed.set_plans(chain_id, state.plans)
        self._forget_computed({chain_id})
        if state == ABSENT:
            self._chains_of_ports.put(chain_id, frozenset())
            self._needs.set(chain_id, HostNeeds())
        else:
            self._note_needs(chain_id)

    def _note_needs(self, chain_id: str) -> None:
        """Note what a chain needs of the switch, for all plans that have flows there."""
        # A chain whose latest plan failed is steered by the last plan that was applied.
        applied = self._arbiter.applied_plan(chain_id)
        plans = [*self._chains[chain_id].plans, *([applied] if applied else [])]
        needs = reduce(or_, (needs_of(plan, self._host) for plan in plans), HostNeeds())
        self._needs.set(chain_id, needs)
        self._chains_of_ports.put(chain_id, needs.ports.union(*(plan.ports for plan in plans)))

    def _program_in_slices(self, chain_ids: Collection[str]) -> bool:
        """Compute the flows of some chains again and apply the difference, slice by slice.

        Between two slices, urgent work can go on.

        :returns: whether the switch had to be changed.
        """
        with self._lock:
            units = work_units(self._chains, chain_ids)
        changed = False
        while units:
            with self._lock.for_a_slice():
                if self._in_sync:
                    changed |= self._program(units, _SLICE_SECONDS)
                    continue
            units.clear()
            changed |= self.plans_known.is_set() and self._compare_all()
        return changed

    def _program(self, units: list[tuple[str, ...]], seconds: float = math.inf) -> bool:
        """Compute the flows of some chains again and apply the difference: the switch is in sync.

        :param units: chains that change together; those that are done are removed.
        :param seconds: start no unit but the first later than this.
        :returns: whether the switch had to be changed.
        """
        self._in_sync = False  # stays so if anything below raises
        local = self._read_ports()
        outcomes: dict[str, Outcome] = {}
        end = self._clock() + seconds
        while units and (not outcomes or self._clock() < end):
            outcomes |= self._arbiter.recompute(self._chains, units.pop(0), local)
        before = self._arbiter.ledger.changes
        for key, old in before.items():
            self._since_verified.setdefault(key, old)
        batches = self._arbiter.ledger.pop_changes()
        deleted = (before[key] for batch in batches for key in batch.remove)
        self._apply(batches, outcomes, local, [entry for entry in deleted if entry is not None])
        return bool(batches)

    def _repair(
        self,
        batches: list[Batch],
        surplus: Iterable[SwitchEntry],
        outcomes: dict[str, Outcome],
        local: LocalSwitch,
        *,
        is_start: bool = False,
    ) -> None:
        """Apply what makes the switch right again.

        :param surplus: what the switch has, and should not have.
        :param is_start: whether the agent has just started: changes of plans meanwhile are no
            repairs.
        """
        batches = self._recount(batches, surplus)
        deleted = [key for batch in batches for key in batch.remove]
        if not is_start:
            self.repaired_flows += len(deleted) + sum(len(batch.put) for batch in batches)
        self._apply(batches, outcomes, local, deleted)

    def _recount(self, batches: list[Batch], surplus: Iterable[SwitchEntry]) -> list[Batch]:
        """Note which flows were missing in the switch, and have no flow go on with others' counts.

        The switch gives a flow that replaces another one with the same key the count of that one.
        So a flow that counts for another counter, or for none any more, is deleted and added again.

        :param batches: what repairs the switch.
        :param surplus: what the switch has, and should not have.
        """
        present = {entry.key for entry in surplus}
        put = [flow for batch in batches for flow in batch.put]
        self._counters.lose([f.key for f in put if f.counter and f.key not in present])
        anew = set(self._counters.recounted([flow for flow in put if flow.key in present]))
        if not anew:
            return batches
        return [
            replace(batch, remove=(*batch.remove, *(f.key for f in batch.put if f.key in anew)))
            for batch in batches
        ]

    def _apply(
        self,
        batches: list[Batch],
        outcomes: dict[str, Outcome],
        local: LocalSwitch,
        deleted: Sequence[SwitchEntry | FlowKey],
    ) -> None:
        """Apply changes, and report the outcomes.

        :param deleted: the flows that the changes delete, or their keys.
        """
        try:
            self._apply_counted(batches, deleted)
        except Exception as exc:
            LOG.warning(
                "The switch of host %s rejected flows (%s). Looking for the chains that they "
                "belong to, and programming all others",
                self._host,
                exc,
            )
            outcomes |= self._apply_without_rejected(local)
        self._arbiter.mark_applied()
        self._arbiter.ledger.pack()
        self._in_sync = True
        for chain_id, outcome in outcomes.items():
            self._computed.discard(chain_id)
            self._states.note_applied(chain_id, failed=bool(outcome.error))
            if chain_id in self._chains:
                self._note_needs(chain_id)  # no longer those of the plan applied before
                if not outcome.error:
                    self._computed.add(chain_id)
        self._counters.forget([one for one in outcomes if one not in self._chains])
        self._reports.send_outcomes(outcomes, self._chains)
        # Now that the switch has the flows for answers.
        if (checks := self._checks.take_changed(local)) is not None:
            self._set_checks(*checks)

    def _apply_counted(
        self, batches: list[Batch], deleted: Sequence[SwitchEntry | FlowKey]
    ) -> None:
        """Apply changes; keep what flows have counted that they delete, which are given."""
        counts = self._counters.read_before([one for one in deleted if self._is_kept(one)])
        self._apply_batches(batches)
        self._counters.retire(counts)
        self._counters.begin([flow for batch in batches for flow in batch.put])

    def _is_kept(self, deleted: SwitchEntry | FlowKey) -> bool:
        """Tell whether the counts of a deleted flow are needed: not if its chain has gone."""
        counter = deleted.counter if isinstance(deleted, Flow) else None
        return counter is None or counter.chain_id in self._chains

    def _apply_without_rejected(self, local: LocalSwitch) -> dict[str, Outcome]:
        """Program all flows but the rejected ones, so that these do not block other chains."""
        outcomes: dict[str, Outcome] = {}
        self._changed_since = self._verified = None
        ledger = self._arbiter.ledger
        for _ in range(_MAX_REJECTIONS):
            rejected = find_rejected(ledger, self._switch)
            outcomes |= self._arbiter.replace_rejected(self._chains, rejected, local)
            ledger.pop_changes()
            if not rejected:
                break
        batches = ledger.repair(*self._differences(self._switch.dump_entries()))
        self._apply_counted(batches, [key for batch in batches for key in batch.remove])
        # Looking for the rejected ones has added all others.
        self._counters.begin([entry for entry in ledger.entries if isinstance(entry, Flow)])
        return outcomes

    def _apply_batches(self, batches: list[Batch]) -> None:
        for batch in batches:
            if self._changed_since is not None:
                self._changed_since.update(keys_of(batch))
            self._switch.apply(batch)
            if self._full_comparison is not None:
                self._full_comparison.note_applied(batch)
        self._switch.limit_tables(pipeline.FLOW_LIMITS if self._chains else {})
