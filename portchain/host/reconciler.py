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
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from operator import or_

from oslo_log import log

from portchain.core.model import HostReport
from portchain.dataplane import pipeline, resume, transition
from portchain.dataplane.arbitration import FlowArbiter, Outcome
from portchain.dataplane.diff import Batch, keys_of, without
from portchain.dataplane.dump import Dump, VerifiedDump
from portchain.dataplane.flow import EntryKey, SwitchEntry
from portchain.dataplane.gates import needs_of
from portchain.dataplane.host_switch import FlowLimits, HostNeeds, LocalSwitch
from portchain.dataplane.packed_flows import compare, digest
from portchain.dataplane.plan import ChainPlan, Probe
from portchain.dataplane.transition import ABSENT, ChainTransition, Phase, TransitionTimeouts
from portchain.dataplane.work_units import work_units
from portchain.host.garbage import without_garbage_collection
from portchain.host.health.checks import Check, checks_of_functions, checks_of_peers
from portchain.host.needs import NeedsOfChains
from portchain.host.priority_lock import PriorityLock
from portchain.host.rejected_flows import find_rejected
from portchain.host.switch import Switch
from portchain.rpc.contract import PlanUpdate

LOG = log.getLogger(__name__)

_MAX_REMOVED_CHAINS = 10_000
"""Number of removed chains whose revisions are kept, to recognise late messages about them."""

_SLICE_SECONDS = 0.1
"""How long a slice of work computes flows. Applying them takes about as long."""

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
    ) -> None:
        self._switch = switch
        self._host = host
        self._report = report
        self._timeouts = timeouts
        self._clock = clock
        self._limits = limits or FlowLimits()
        self._lock = PriorityLock()
        self._comparing = threading.Lock()
        self._ports_lock = threading.Lock()  # of the two tables below: never held for long
        self._chains: dict[str, ChainTransition] = {}
        self._in_transition: set[str] = set()  # chains with a deadline
        self._awaiting_switch: set[str] = set()  # chains with a time that begins with their flows
        self._removed_revisions: OrderedDict[str, int] = OrderedDict()
        # Tuples, because a set takes four times as much memory, and most have few members.
        self._chains_of_port: dict[str, tuple[str, ...]] = {}
        self._ports_of_chain: dict[str, tuple[str, ...]] = {}
        self._needs = NeedsOfChains()
        self._set_checks = set_checks
        # Of chains with functions to check here, or on other hosts.
        self._probes: dict[str, tuple[Probe, ...]] = {}
        self._watched: dict[str, tuple[str, ...]] = {}
        self._checked: tuple[object, ...] = ()  # what the present checks follow from
        self._arbiter = FlowArbiter()
        self._reported: dict[str, HostReport] = {}
        self._found: LocalSwitch | None = None  # as the switch has returned it
        self._local: LocalSwitch | None = None  # the same with limits
        # Chains whose flows are those of their present state and the present ports. Lacks chains
        # that failed.
        self._computed: set[str] = set()
        self._incomplete: set[str] = set()  # chains that lack something on this host
        # Before the first answer of the server, some plans are missing: their flows must stay.
        self._has_all_plans = False
        self._has_resumed = False  # whether it has looked for flows of the agent before a restart
        self._in_sync = False  # whether the switch is known to hold what the arbiter's ledger says
        # While a comparison reads the switch: the keys that have changed since. None: all may have.
        self._changed_since: set[EntryKey] | None = None
        # The last dump that was as it should be, and what each key that has changed since had then.
        self._verified: VerifiedDump | None = None
        self._since_verified: dict[EntryKey, SwitchEntry | None] = {}

    @property
    def known_revisions(self) -> dict[str, int]:
        """Chain id -> revision of the plan that this host has."""
        with self._lock:
            plans = (state.plan for state in self._chains.values())
            return {plan.id: plan.revision for plan in plans if plan is not None}

    def plans_of(self, chain_id: str) -> list[ChainPlan]:
        """Return the plans that this host has of a chain, those that drain included."""
        with self._lock:
            return list(self._chains.get(chain_id, ABSENT).plans)

    @property
    def seconds_until_due(self) -> float | None:
        """Seconds until ``advance_transitions`` has something to do; None without transitions."""
        with self._lock:
            deadlines = [self._chains[chain_id].next_deadline for chain_id in self._in_transition]
            first = min((deadline for deadline in deadlines if deadline is not None), default=None)
            return None if first is None else max(0.0, first - self._clock())

    @property
    def has_incomplete_chains(self) -> bool:
        """Whether a chain lacks something that may appear without an event, e.g. a tunnel."""
        with self._lock:
            return bool(self._incomplete)

    @property
    def is_in_sync(self) -> bool:
        """Whether the switch holds what the plans require, as far as known.

        True before the first ``synchronise``: until then nothing is required.
        """
        with self._lock:
            return self._in_sync or not self._has_all_plans

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
            self._send_reports(update.unreadable)

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
            self._has_all_plans = True
        changed = self.reconcile()
        with self._lock:
            self._send_reports(update.unreadable)
        return changed

    def advance_transitions(self) -> None:
        """Continue the transitions whose deadline has passed.

        :raises Exception: as ``update``.
        """
        with self._lock:
            now = self._clock()
            due = {
                chain_id
                for chain_id in self._in_transition
                if (deadline := self._chains[chain_id].next_deadline) is not None
                and deadline <= now
            }
            for chain_id in due:
                state = transition.advance(self._chains[chain_id], now, self._timeouts)
                self._set_transition(chain_id, state)
        self._program_in_slices(due)

    def ports_changed(self, port_ids: Iterable[str]) -> None:
        """Compute the flows of the chains that use these ports again.

        This is urgent, because Neutron's agent waits for it: it waits for the current slice of
        other work only, and for nothing if no chain uses the ports.

        :raises Exception: as ``update``.
        """
        with self._ports_lock:
            chains = {
                chain for port_id in port_ids for chain in self._chains_of_port.get(port_id, ())
            }
        if chains:
            with self._lock.urgently():
                if self._in_sync:
                    # A port that was there already concerns nobody: Neutron's agent tells of all
                    # ports when it starts.
                    self._read_ports()
                    chains -= self._computed
                if chains:
                    self._program([tuple(chains)])

    def retry_incomplete(self) -> None:
        """Compute the flows of the chains that lack something again.

        :raises Exception: as ``update``.
        """
        with self._lock:
            incomplete = set(self._incomplete)
        self._program_in_slices(incomplete)

    def reconcile(self) -> bool:
        """Compute all flows again, compare them with the switch, and repair the difference.

        Does nothing before the first ``synchronise``.

        :returns: whether the switch had to be changed.
        :raises Exception: the switch does not answer, or rejected a change.
        """
        with self._lock.for_a_slice():
            if not self._has_all_plans:
                return False
            if not self._in_sync:
                return self._reconcile_at_once()
            self._read_ports()
            changed_chains = self._chains_to_compute()
        changed = self._program_in_slices(changed_chains)
        if not changed_chains:
            with self._lock.for_a_slice():  # flows that belong to no chain follow from ports, too
                changed = self._program([()])
        with self._comparing:
            return self._compare() or changed

    def _chains_to_compute(self) -> set[str]:
        """Return the chains whose flows may be other ones than when they were computed last.

        Those of a chain that failed may be: the switch may accept now what it rejected.
        """
        return (self._arbiter.chain_ids | self._chains.keys()) - self._computed

    def _reconcile_at_once(self) -> bool:
        """Do all of ``reconcile`` without a pause: what the switch holds is unknown."""
        with without_garbage_collection():
            return self._compute_and_compare_all()

    def _compute_and_compare_all(self) -> bool:
        # A comparison that goes on meanwhile has read the switch before.
        self._in_sync, self._verified, self._changed_since = False, None, None
        local, dump = self._read_ports(), self._switch.dump_entries()
        found = resume.FoundFlows(dump, is_start=not self._has_resumed)
        if not self._has_resumed:
            self._set_transitions(resume.resume(self._chains, found, local))
        arbiter = self._arbiter
        path_ids = frozenset() if arbiter.chain_ids else found.path_ids
        outcomes = arbiter.recompute_all(self._chains, local, path_ids)
        differences = compare(dump, found.digests, arbiter.ledger.digests)
        if not self._has_resumed and (closed := self._close_unrealised(outcomes, differences[1])):
            outcomes |= arbiter.recompute(self._chains, closed, local)
            arbiter.ledger.pop_changes()
            differences = compare(dump, found.digests, arbiter.ledger.digests)
        self._has_resumed = True
        batches = arbiter.ledger.repair(*differences)
        self._apply(batches, outcomes, local)
        if not batches:
            self._verify(dump)
        return bool(batches)

    def _close_unrealised(
        self, outcomes: Mapping[str, Outcome], surplus: Iterable[SwitchEntry]
    ) -> list[str]:
        """Close the chains that have flows in the switch and whose plan is not realised."""
        unsupported = [one for one, outcome in outcomes.items() if outcome.is_unsupported]
        closed = resume.resume_unknown(self._chains, surplus)
        closed |= resume.resume_unsupported(self._chains, unsupported, surplus)
        self._set_transitions(closed)
        return list(closed)

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
            if not self._in_sync:
                return self._reconcile_at_once()
            if changed is None:
                return False  # everything has been compared meanwhile
            # Without ``is_right``, what has changed meanwhile may be in the dump, or not.
            self._verified = verified if is_right or not changed else None
            batches = without(self._arbiter.ledger.repair(missing, surplus), changed)
            if batches:
                self._in_sync = False
                self._apply(batches, {}, self._read_ports())
            return bool(batches)

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
            if self._has_all_plans:
                self._switch.provide(self._needs.all)
            found = self._switch.read_ports()
        except Exception:
            self._in_sync = False  # chains that were to be computed wait for the next attempt
            raise
        if found is self._found and self._local is not None:
            return self._local
        local = replace(found, limits=self._limits)
        if local != self._local:
            if self._local is not None:
                self._note_replugged(local.replugged_since(self._local))
                self._computed -= self._chains_affected(local.changes_since(self._local))
            self._local = local
        self._found = found  # last: if anything above raises, the next attempt does it again
        return self._local

    def _chains_affected(self, changes: HostNeeds | None) -> set[str]:
        """Return the chains whose flows depend on changes of the switch.

        :param changes: ports and tunnels; None for anything.
        """
        if changes is None:
            return set(self._computed)
        with self._ports_lock:
            of_port = self._chains_of_port
            chains = {chain for port in changes.ports for chain in of_port.get(port, ())}
        return chains | self._needs.chains_with(changes.peers)

    def _note_replugged(self, port_ids: Collection[str]) -> None:
        """Note that ports were plugged in or unplugged; their chains change at their events."""
        for chain_id in self._in_transition | self._awaiting_switch:
            state = transition.note_replugged(self._chains[chain_id], port_ids)
            if state != self._chains[chain_id]:
                self._set_transition(chain_id, state)

    def _accept_update(
        self, update: PlanUpdate, sent_revisions: Mapping[str, int] | None = None
    ) -> list[str]:
        """Store what an update says; return the ids of the chains that it changes."""
        plans = (plan for plan in update.chains if not self._is_outdated(plan, sent_revisions))
        changed = [plan.id for plan in plans if self._accept_plan(plan, update.prepare)]
        changed += [chain_id for chain_id, _ in filter(self._remove_chain, update.removed)]
        changed += [chain_id for chain_id, _ in filter(self._switch_chain, update.switch)]
        return changed

    def _is_outdated(self, plan: ChainPlan, sent_revisions: Mapping[str, int] | None) -> bool:
        """Return whether this host knows something newer than a plan.

        :param sent_revisions: the revisions that the plan is an answer to; None for a notification.
        """
        current = self._chains.get(plan.id, ABSENT).plan
        if sent_revisions is None:
            if current is not None:
                return current.revision > plan.revision
            return self._removed_revisions.get(plan.id, -1) >= plan.revision
        # Two plans can have one revision: what came after the request is the later one.
        known = self._removed_revisions.get(plan.id, -1) if current is None else current.revision
        is_same = sent_revisions.get(plan.id) == (None if current is None else known)
        return known >= plan.revision and not is_same

    def _accept_plan(self, plan: ChainPlan, prepare: Collection[str]) -> bool:
        """Store a plan; return whether it is new."""
        current = self._chains.get(plan.id, ABSENT)
        if current.plan == plan:
            return False
        if current == ABSENT:
            current = self._take_over_unknown(plan)
        # Before the first sync it is unknown which plan the flows in the switch belong to, so
        # there is nothing to prepare from: the chain goes straight to the new plan.
        in_two_phases = self._has_all_plans and plan.id in prepare
        state = transition.accept(
            current,
            plan,
            self._host,
            prepare=in_two_phases,
            time=self._clock(),
            timeouts=self._timeouts,
        )
        self._set_transition(plan.id, state)
        self._removed_revisions.pop(plan.id, None)
        return True

    def _take_over_unknown(self, plan: ChainPlan) -> ChainTransition:
        """Return the state in which a restart of the agent left a chain that had no plan then.

        Functions may still hold packets that they got before the restart. The new plan must not
        apply to them.
        """
        unknown = resume.unknown_chain(plan.path_id)
        state = self._chains.get(unknown, ABSENT)
        if state != ABSENT:
            self._set_transition(unknown, ABSENT)
            # Both chains must change at once, for the flows that drop those packets to stay.
            self._in_sync = False
        return state

    def _remove_chain(self, removed: tuple[str, int]) -> bool:
        """Withdraw from a chain; return whether this host had a plan of it.

        :param removed: id and revision.
        """
        chain_id, revision = removed
        current = self._chains.get(chain_id, ABSENT)
        if current.plan is not None and current.plan.revision > revision:
            return False
        known = self._removed_revisions.pop(chain_id, revision)
        self._removed_revisions[chain_id] = max(revision, known)
        while len(self._removed_revisions) > _MAX_REMOVED_CHAINS:
            self._removed_revisions.popitem(last=False)
        self._reported.pop(chain_id, None)
        if current.plan is None:
            return False
        state = transition.withdraw(current, self._clock(), self._timeouts)
        self._set_transition(chain_id, state)
        return True

    def _switch_chain(self, switch: tuple[str, int]) -> bool:
        """Switch to the plan that this host is prepared for; return whether that changes anything.

        :param switch: id, and the revision that all hosts are prepared for.
        """
        chain_id, revision = switch
        current = self._chains.get(chain_id, ABSENT)
        if current.plan is None or current.plan.revision != revision:
            return False
        state = transition.switch(current, self._clock(), self._timeouts)
        self._set_transition(chain_id, state)
        return state != current

    def _set_transitions(self, states: Mapping[str, ChainTransition]) -> None:
        for chain_id, state in states.items():
            self._set_transition(chain_id, state)

    def _set_transition(self, chain_id: str, state: ChainTransition) -> None:
        self._in_transition.discard(chain_id)
        self._awaiting_switch.discard(chain_id)
        self._computed.discard(chain_id)
        self._probes.pop(chain_id, None)
        self._watched.pop(chain_id, None)
        if state.plan is not None and state.plan.probes:
            self._probes[chain_id] = state.plan.probes
        if state.plan is not None and state.plan.watched:
            self._watched[chain_id] = state.plan.watched
        if state == ABSENT:
            self._chains.pop(chain_id, None)
            self._set_ports(chain_id, frozenset())
            self._needs.set(chain_id, HostNeeds())
            return
        self._chains[chain_id] = state
        if state.next_deadline is not None:
            self._in_transition.add(chain_id)
        if state.awaits_switch:
            self._awaiting_switch.add(chain_id)
        self._note_needs(chain_id)

    def _note_needs(self, chain_id: str) -> None:
        """Note what a chain needs of the switch, for all plans that have flows there."""
        # A chain whose latest plan failed is steered by the last plan that was applied.
        applied = self._arbiter.applied_plan(chain_id)
        plans = [*self._chains[chain_id].plans, *([applied] if applied else [])]
        needs = reduce(or_, (needs_of(plan, self._host) for plan in plans), HostNeeds())
        self._needs.set(chain_id, needs)
        self._set_ports(chain_id, needs.ports.union(*(plan.ports for plan in plans)))

    def _note_applied(self, chain_id: str, *, failed: bool) -> None:
        """Start the times of a transition that begin when the switch holds its flows.

        :param failed: whether the switch holds the flows of an earlier plan instead.
        """
        state = self._chains.get(chain_id, ABSENT)
        if failed and state.is_closed:
            self._set_transition(chain_id, transition.reclose(state))
        elif not failed and chain_id in self._awaiting_switch:
            now = self._clock()
            self._set_transition(chain_id, transition.applied(state, now, self._timeouts))

    def _set_ports(self, chain_id: str, port_ids: frozenset[str]) -> None:
        """Note which ports a chain uses; none if it has gone."""
        with self._ports_lock:
            known = self._ports_of_chain.pop(chain_id, ())
            if port_ids:
                self._ports_of_chain[chain_id] = tuple(port_ids)
            for port_id in set(known) - port_ids:
                rest = tuple(one for one in self._chains_of_port.pop(port_id) if one != chain_id)
                if rest:
                    self._chains_of_port[port_id] = rest
            for port_id in port_ids.difference(known):
                self._chains_of_port[port_id] = (*self._chains_of_port.get(port_id, ()), chain_id)

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
                changed |= self._program(units, _SLICE_SECONDS)
        return changed

    def _program(self, units: list[tuple[str, ...]], seconds: float = math.inf) -> bool:
        """Compute the flows of some chains again and apply the difference.

        :param units: chains that change together; those that are done are removed.
        :param seconds: start no unit but the first later than this.
        :returns: whether the switch had to be changed.
        """
        if not self._in_sync:
            units.clear()
            return self._has_all_plans and self._reconcile_at_once()
        self._in_sync = False  # stays so if anything below raises
        local = self._read_ports()
        outcomes: dict[str, Outcome] = {}
        end = self._clock() + seconds
        while units and (not outcomes or self._clock() < end):
            outcomes |= self._arbiter.recompute(self._chains, units.pop(0), local)
        for key, old in self._arbiter.ledger.changes.items():
            self._since_verified.setdefault(key, old)
        batches = self._arbiter.ledger.pop_changes()
        self._apply(batches, outcomes, local)
        return bool(batches)

    def _apply(
        self, batches: list[Batch], outcomes: dict[str, Outcome], local: LocalSwitch
    ) -> None:
        try:
            self._apply_batches(batches)
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
            self._note_applied(chain_id, failed=bool(outcome.error))
            if chain_id in self._chains:
                self._note_needs(chain_id)  # no longer those of the plan applied before
                if not outcome.error:
                    self._computed.add(chain_id)
        self._report_outcomes(outcomes)
        self._update_checks(local)

    def _update_checks(self, local: LocalSwitch) -> None:
        """Say what to check, now that the switch has the flows for answers."""
        probes, watched = self._probes.values(), self._watched.values()
        now = (local.ports, local.tunnels, *probes, *watched) if watched or probes else ()
        if now != self._checked:
            self._checked = now
            self._set_checks(checks_of_functions(probes, local), checks_of_peers(watched, local))

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
        self._apply_batches(ledger.repair(*self._differences(self._switch.dump_entries())))
        return outcomes

    def _apply_batches(self, batches: list[Batch]) -> None:
        for batch in batches:
            if self._changed_since is not None:
                self._changed_since.update(keys_of(batch))
            self._switch.apply(batch)
        self._switch.limit_tables(pipeline.FLOW_LIMITS if self._chains else {})

    def _report_outcomes(self, outcomes: Mapping[str, Outcome]) -> None:
        self._incomplete -= outcomes.keys()
        self._incomplete |= {chain_id for chain_id, outcome in outcomes.items() if outcome.missing}
        reports = []
        for chain_id, outcome in outcomes.items():
            _log_failures(chain_id, outcome)
            current = self._chains.get(chain_id, ABSENT)
            if current.plan is not None:
                missing = "; ".join(outcome.missing)
                # A change of pairs is done when new connections go by the new ones.
                is_prepared = current.phase is not Phase.SWITCHED
                reports.append(
                    HostReport(
                        *(chain_id, current.plan.revision, outcome.error, missing),
                        prepared=is_prepared,
                        warning=outcome.warning,
                    )
                )
        self._send_reports(reports)

    def _send_reports(self, reports: Iterable[HostReport]) -> None:
        changed = [report for report in reports if self._reported.get(report.chain_id) != report]
        self._reported.update((report.chain_id, report) for report in changed)
        if changed:
            self._report(changed)


def _log_failures(chain_id: str, outcome: Outcome) -> None:
    for failure in outcome.failures:
        LOG.error(
            "The latest plan of chain %s is not programmed: %s. Its previous plan stays in place, "
            "and traffic that would bypass the chain is dropped",
            chain_id,
            failure,
            exc_info=None if outcome.is_expected else failure,
        )
