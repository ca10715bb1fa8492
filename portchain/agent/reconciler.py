"""Keeps a host's switch at what its plans say.

Level-triggered: whatever happens only says "look again". The reconciler holds the plans, asks the compiler for the rules, and
applies the difference to what it knows to be in the switch; now and then, and whenever it cannot be sure, it reads the
switch and compares with that instead. A rule that is right is never touched.
"""

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from oslo_log import log

from portchain.dataplane import change, pipeline
from portchain.dataplane.change import NOTHING, Patience, Phase, Steering, compile_steering
from portchain.dataplane.compile import UnsupportedPlanError, compile_guards, compile_held
from portchain.dataplane.diff import Batch, FlowConflictError, FlowLedger, diff
from portchain.dataplane.flow import Entry
from portchain.dataplane.local import LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.model import HostReport
from portchain.rpc.contract import PlanUpdate

LOG = log.getLogger(__name__)

_GUARDS = "guards"
_LEAVING = "/leaving"  # after a chain's id: owner of its rules for packets in flight, which give way to any other
_TOMBSTONES = 10_000


class Switch(Protocol):
    """What the reconciler needs of a switch; see ``portchain.agent.switch.OpenVSwitch``."""

    def inspect(self) -> LocalSwitch: ...

    def dump(self) -> list[Entry]: ...

    def bound(self, limits: Mapping[int, int]) -> None: ...

    def apply(self, batch: Batch) -> None: ...


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
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._switch = switch
        self._host = host
        self._report = report
        self._patience = patience
        self._clock = clock
        self._lock = threading.RLock()
        self._chains: dict[str, Steering] = {}
        self._under_way: set[str] = set()  # chains whose change is not at its end
        self._removed: OrderedDict[str, int] = OrderedDict()
        self._chains_of_port: defaultdict[str, set[str]] = defaultdict(set)
        self._ledger = FlowLedger()
        self._reported: dict[str, HostReport] = {}
        self._waiting: set[str] = set()  # chains that lack something on this host
        self._failed: set[str] = (
            set()
        )  # chains that this host cannot carry; tried again with every change
        self._complete = False  # whether the plans are all of this host's: before that, what is missing must not be removed
        self._in_sync = False  # whether the ledger is what the switch holds

    @property
    def known(self) -> dict[str, int]:
        """Chain id -> revision of the plan held."""
        with self._lock:
            plans = (now.plan for now in self._chains.values())
            return {plan.id: plan.revision for plan in plans if plan is not None}

    @property
    def seconds_left(self) -> float | None:
        """Until ``advance`` has something to do; None if nothing is under way."""
        with self._lock:
            times = [self._chains[chain_id].next_due for chain_id in self._under_way]
            due = min((moment for moment in times if moment is not None), default=None)
            return None if due is None else max(0.0, due - self._clock())

    @property
    def is_waiting(self) -> bool:
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
            self._send(update.refused)

    def synchronise(self, update: PlanUpdate) -> bool:
        """Take the server's answer to "what do I not know?", and compare everything with the switch.

        :returns: whether anything had to be changed.
        :raises Exception: as ``reconcile``.
        """
        with self._lock:
            self._take(update)
            self._complete = True
            changed = self.reconcile()
            self._send(update.refused)
            return changed

    def advance(self) -> None:
        """Go on with changes that have waited long enough.

        :raises Exception: as ``update``.
        """
        with self._lock:
            now = self._clock()
            due = {
                chain_id
                for chain_id in self._under_way
                if (moment := self._chains[chain_id].next_due) is not None and moment <= now
            }
            for chain_id in due:
                then = change.advance(self._chains[chain_id], now, self._patience)
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

    def look_for_missing(self) -> None:
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
            local = self._switch.inspect()
            gone = {owner.removesuffix(_LEAVING) for owner in self._ledger.owners} - {_GUARDS}
            reports = self._compile(dict.fromkeys((*self._chains, *gone)), local)[1]
            batches = diff(self._ledger.flows, self._switch.dump())
            self._apply(batches)
            self._send(reports)
            return bool(batches)

    def _take(self, update: PlanUpdate) -> list[str]:
        """Note what an update says; returns the chains that it changes."""
        changed = [plan.id for plan in update.chains if self._accept(plan, update.prepare)]
        changed += [chain_id for chain_id, _ in filter(self._forget, update.removed)]
        changed += [chain_id for chain_id, _ in filter(self._go_on, update.switch)]
        return changed

    def _accept(self, plan: ChainPlan, prepare: Collection[str]) -> bool:
        now = self._chains.get(plan.id, NOTHING)
        if now.plan is not None and (now.plan.revision > plan.revision or now.plan == plan):
            return False
        if self._removed.get(plan.id, -1) >= plan.revision:
            return False
        # What the switch holds of a chain from before this agent started is not known: it goes to the end at once.
        steps = self._complete and plan.id in prepare
        moment, patience = self._clock(), self._patience
        self._steer(
            plan.id,
            change.accept(now, plan, self._host, prepare=steps, time=moment, patience=patience),
        )
        self._removed.pop(plan.id, None)
        return True

    def _forget(self, removed: tuple[str, int]) -> bool:
        chain_id, revision = removed
        now = self._chains.get(chain_id, NOTHING)
        if now.plan is not None and now.plan.revision > revision:
            return False
        self._removed[chain_id] = max(revision, self._removed.pop(chain_id, revision))
        while len(self._removed) > _TOMBSTONES:
            self._removed.popitem(last=False)
        self._reported.pop(chain_id, None)
        if now.plan is None:
            return False
        self._steer(chain_id, change.withdraw(now, self._clock(), self._patience))
        return True

    def _go_on(self, switch: tuple[str, int]) -> bool:
        """Switch over to a plan, if it is the one that this host is prepared for."""
        chain_id, revision = switch
        now = self._chains.get(chain_id, NOTHING)
        if now.plan is None or now.plan.revision != revision:
            return False
        then = change.switch(now, self._clock(), self._patience)
        self._steer(chain_id, then)
        return then != now

    def _steer(self, chain_id: str, then: Steering) -> None:
        for port_id in _ports(self._chains.get(chain_id, NOTHING)):
            self._chains_of_port[port_id].discard(chain_id)
            if not self._chains_of_port[port_id]:
                del self._chains_of_port[port_id]
        self._chains[chain_id] = then
        if then == NOTHING:
            del self._chains[chain_id]
        self._under_way.discard(chain_id)
        if then.next_due is not None:
            self._under_way.add(chain_id)
        for port_id in _ports(then):
            self._chains_of_port[port_id].add(chain_id)

    def _bring_about(self, chain_ids: Iterable[str]) -> None:
        if not self._in_sync:
            self.reconcile()
            return
        self._in_sync = False  # until all of it has worked
        local = self._switch.inspect()
        batches, reports = self._compile(dict.fromkeys([*chain_ids, *self._failed]), local)
        self._apply(batches)
        self._send(reports)

    def _compile(
        self, chain_ids: Iterable[str], local: LocalSwitch
    ) -> tuple[list[Batch], list[HostReport]]:
        """Put the rules of these chains into the ledger."""
        wanted: dict[str, Iterable[Entry]] = {}
        reports = []
        for chain_id in chain_ids:
            now = self._chains.get(chain_id, NOTHING)
            self._waiting.discard(chain_id)
            self._failed.discard(chain_id)
            try:
                standing = compile_steering(now, local)
                pipeline.check(standing.flows | standing.leaving)
            except Exception as exc:  # whatever is wrong with one chain must not stop the others
                if not isinstance(exc, UnsupportedPlanError):
                    LOG.exception("Chain %s cannot be compiled", chain_id)
                reports += _reports_of(chain_id, now, error=str(exc) or repr(exc))
                self._hold_back(chain_id, local, wanted)
                continue
            if standing.missing:
                self._waiting.add(chain_id)
            wanted[chain_id], wanted[chain_id + _LEAVING] = standing.entries, standing.leaving
            reports += _reports_of(chain_id, now, missing="; ".join(standing.missing))
        wanted[_GUARDS] = compile_guards(local) if self._chains else ()
        return self._replace(wanted, reports, local)

    def _hold_back(
        self, chain_id: str, local: LocalSwitch, wanted: dict[str, Iterable[Entry]]
    ) -> None:
        """Keep the traffic of a chain that failed from going around: by the rules it has, or by ones that drop it."""
        self._failed.add(chain_id)
        wanted.pop(chain_id, None)
        plan = self._chains[chain_id].plan
        if chain_id in self._ledger.owners or plan is None:
            return
        try:
            wanted[chain_id] = compile_held(plan, local).flows
        except Exception:
            LOG.exception("The traffic of chain %s cannot be held back", chain_id)

    def _replace(
        self, wanted: dict[str, Iterable[Entry]], reports: list[HostReport], local: LocalSwitch
    ) -> tuple[list[Batch], list[HostReport]]:
        while True:
            try:
                return self._ledger.replace(wanted), reports
            except FlowConflictError as conflict:
                in_flight = [o for o in (conflict.owner, conflict.rival) if o.endswith(_LEAVING)]
                if in_flight:
                    wanted[in_flight[0]] = ()
                    continue
                # Whoever came later does without its new rules and says so; the others are not held up by it.
                LOG.error("Chain not carried out: %s", conflict)
                if conflict.owner in self._chains and conflict.owner not in self._failed:
                    self._hold_back(conflict.owner, local, wanted)
                else:
                    del wanted[conflict.owner]
                reports = [
                    replace(report, error=conflict.reason)
                    if report.chain_id == conflict.owner
                    else report
                    for report in reports
                ]

    def _apply(self, batches: list[Batch]) -> None:
        try:
            for batch in batches:
                self._switch.apply(batch)
            self._switch.bound(pipeline.LIMITS if self._chains else {})
        except Exception:
            self._in_sync = False
            raise
        self._in_sync = True

    def _send(self, reports: Iterable[HostReport]) -> None:
        news = [report for report in reports if self._reported.get(report.chain_id) != report]
        self._reported.update((report.chain_id, report) for report in news)
        if news:
            self._report(news)


def _ports(now: Steering) -> set[str]:
    """The Neutron ports that a chain's rules name."""
    return {port_id for plan in now.plans for port_id in plan.ports}


def _reports_of(chain_id: str, now: Steering, **what: str) -> list[HostReport]:
    if now.plan is None:
        return []
    prepared = now.phase is not Phase.SWITCHED
    return [HostReport(chain_id, now.plan.revision, prepared=prepared, **what)]
