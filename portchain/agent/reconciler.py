"""Keeps a host's switch at what its plans say.

Level-triggered: whatever happens only says "look again". The reconciler holds the plans, asks the compiler for the rules, and
applies the difference to what it knows to be in the switch; now and then, and whenever it cannot be sure, it reads the
switch and compares with that instead. A rule that is right is never touched.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from oslo_log import log

from portchain.dataplane import pipeline
from portchain.dataplane.compile import (
    Compiled,
    UnsupportedPlanError,
    compile_chain,
    compile_guards,
    compile_held,
)
from portchain.dataplane.diff import Batch, FlowConflictError, FlowLedger, diff
from portchain.dataplane.flow import Entry
from portchain.dataplane.local import LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.model import HostReport
from portchain.rpc.contract import PlanUpdate

LOG = log.getLogger(__name__)

_GUARDS = "guards"
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
    """

    def __init__(self, switch: Switch, report: Callable[[list[HostReport]], None]) -> None:
        self._switch = switch
        self._report = report
        self._lock = threading.RLock()
        self._plans: dict[str, ChainPlan] = {}
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
            return {plan.id: plan.revision for plan in self._plans.values()}

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
            changed = [plan.id for plan in update.chains if self._accept(plan)]
            changed += [
                chain_id
                for chain_id, revision in update.removed
                if self._forget(chain_id, revision)
            ]
            if changed:
                self._bring_about(changed)
            self._send(update.refused)

    def synchronise(self, update: PlanUpdate) -> bool:
        """Take the server's answer to "what do I not know?", and compare everything with the switch.

        :returns: whether anything had to be changed.
        :raises Exception: as ``reconcile``.
        """
        with self._lock:
            for plan in update.chains:
                self._accept(plan)
            for chain_id, revision in update.removed:
                self._forget(chain_id, revision)
            self._complete = True
            changed = self.reconcile()
            self._send(update.refused)
            return changed

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
            gone = self._ledger.owners - self._plans.keys() - {_GUARDS}
            reports = self._compile([*self._plans, *gone], local)[1]
            batches = diff(self._ledger.flows, self._switch.dump())
            self._apply(batches)
            self._send(reports)
            return bool(batches)

    def _accept(self, plan: ChainPlan) -> bool:
        known = self._plans.get(plan.id)
        if known is not None and (known.revision > plan.revision or known == plan):
            return False
        if self._removed.get(plan.id, -1) >= plan.revision:
            return False
        self._index(known, plan)
        self._plans[plan.id] = plan
        self._removed.pop(plan.id, None)
        return True

    def _forget(self, chain_id: str, revision: int) -> bool:
        known = self._plans.get(chain_id)
        if known is not None and known.revision > revision:
            return False
        self._removed[chain_id] = max(revision, self._removed.pop(chain_id, revision))
        while len(self._removed) > _TOMBSTONES:
            self._removed.popitem(last=False)
        self._index(known, None)
        self._reported.pop(chain_id, None)
        return self._plans.pop(chain_id, None) is not None

    def _index(self, old: ChainPlan | None, new: ChainPlan | None) -> None:
        if old is not None:
            for port_id in old.ports:
                self._chains_of_port[port_id].discard(old.id)
                if not self._chains_of_port[port_id]:
                    del self._chains_of_port[port_id]
        if new is not None:
            for port_id in new.ports:
                self._chains_of_port[port_id].add(new.id)

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
            plan = self._plans.get(chain_id)
            self._waiting.discard(chain_id)
            self._failed.discard(chain_id)
            if plan is None:
                wanted[chain_id] = ()
                continue
            try:
                compiled = compile_chain(plan, local)
                pipeline.check(compiled.flows)
            except Exception as exc:  # whatever is wrong with one chain must not stop the others
                if not isinstance(exc, UnsupportedPlanError):
                    LOG.exception("Chain %s cannot be compiled", plan.id)
                reports.append(HostReport(plan.id, plan.revision, error=str(exc) or repr(exc)))
                self._hold_back(plan, local, wanted)
                continue
            if compiled.missing:
                self._waiting.add(chain_id)
            wanted[chain_id] = compiled.entries
            reports.append(_report_of(plan, compiled))
        wanted[_GUARDS] = compile_guards(local) if self._plans else ()
        return self._replace(wanted, reports, local)

    def _hold_back(
        self, plan: ChainPlan, local: LocalSwitch, wanted: dict[str, Iterable[Entry]]
    ) -> None:
        """Keep the traffic of a chain that failed from going around: by the rules it has, or by ones that drop it."""
        self._failed.add(plan.id)
        wanted.pop(plan.id, None)
        if plan.id in self._ledger.owners:
            return
        try:
            wanted[plan.id] = compile_held(plan, local).flows
        except Exception:
            LOG.exception("The traffic of chain %s cannot be held back", plan.id)

    def _replace(
        self, wanted: dict[str, Iterable[Entry]], reports: list[HostReport], local: LocalSwitch
    ) -> tuple[list[Batch], list[HostReport]]:
        while True:
            try:
                return self._ledger.replace(wanted), reports
            except FlowConflictError as conflict:
                # Whoever came later does without its new rules and says so; the others are not held up by it.
                LOG.error("Chain not carried out: %s", conflict)
                if conflict.owner in self._plans and conflict.owner not in self._failed:
                    self._hold_back(self._plans[conflict.owner], local, wanted)
                else:
                    del wanted[conflict.owner]
                reports = [
                    replace(report, error=str(conflict))
                    if report.chain_id == conflict.owner
                    else report
                    for report in reports
                ]

    def _apply(self, batches: list[Batch]) -> None:
        try:
            for batch in batches:
                self._switch.apply(batch)
            self._switch.bound(pipeline.LIMITS if self._plans else {})
        except Exception:
            self._in_sync = False
            raise
        self._in_sync = True

    def _send(self, reports: Iterable[HostReport]) -> None:
        news = [report for report in reports if self._reported.get(report.chain_id) != report]
        self._reported.update((report.chain_id, report) for report in news)
        if news:
            self._report(news)


def _report_of(plan: ChainPlan, compiled: Compiled) -> HostReport:
    return HostReport(plan.id, plan.revision, missing="; ".join(compiled.missing))
