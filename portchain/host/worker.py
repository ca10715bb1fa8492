"""Runs the reconciler of one host in a thread, and the conversation with the server in another."""

import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from neutron_lib import context as n_context
from oslo_config import cfg
from oslo_log import log

from portchain.conf import GROUP
from portchain.core.counters import Count, Counter
from portchain.core.model import HostReport, PairHealth
from portchain.dataplane.datapath import MPLS
from portchain.dataplane.host_switch import FlowLimits
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.counter_store import open_store
from portchain.host.flow_counters import FlowCounters
from portchain.host.health.checks import health_of_pair
from portchain.host.health.monitor import HealthMonitor
from portchain.host.outbox import Outbox
from portchain.host.pacing import interval_seconds, retry_seconds
from portchain.host.reconciler import Reconciler
from portchain.host.switch import Switch
from portchain.rpc import contract
from portchain.rpc.agent import HostClient
from portchain.rpc.fields import ContractError
from portchain.rpc.server import ServerClient
from portchain.rpc.state_codec import AgentState

LOG = log.getLogger(__name__)

_RETRY_SECONDS = 2

_T = TypeVar("_T")


class HostWorker:
    """Programs the switch of one host from the plans that the server sends.

    One thread calls the server, so that a message broker that is down does not delay the switch.
    The other thread works on the switch, so that callers of the methods below return at once.

    :param host: the host's name in Neutron.
    """

    def __init__(self, host: str, switch: Switch) -> None:
        options = cfg.CONF[GROUP]
        timeouts = TransitionTimeouts(options.switch_timeout, options.drain_time)
        self.host = host
        self._switch = switch
        limits = FlowLimits(options.max_chain_flows, options.max_project_flows)
        self._server = ServerClient()
        self.health = HealthMonitor(
            host, switch, self._server, HostClient(), lambda found: self.receive_health(host, found)
        )
        self.reconciler = Reconciler(
            *(switch, host, self._queue_reports, timeouts),
            limits=limits,
            counters=FlowCounters(switch, open_store(host)),
            set_checks=self.health.set_checks,
        )
        self.synchronised = threading.Event()
        """Set once the switch holds the flows of the server's first answer."""
        self.sync_seconds = 0.0
        """How long it took to compare plans and switch after the last answer of the server."""
        self._tasks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._reconcile_queued = threading.Event()
        self._changed_ports: set[str] = set()
        self._changed_ports_lock = threading.Lock()
        self._queued_soon: set[Callable[[], object]] = set()
        self._queued_soon_lock = threading.Lock()
        self._reports = Outbox[HostReport]()
        self._has_reports = threading.Event()
        self._last_failure = ""
        self._compared_at: float | None = None  # monotonic, of the last complete comparison
        self._next_sync = _Timer(options.sync_interval)

    def start(self) -> None:
        """Start both threads."""
        for name, target in (("switch", self._run_tasks), ("server", self._call_server)):
            threading.Thread(target=target, name=f"{self.host}-{name}", daemon=True).start()

    # Any thread calls these methods. They return at once.

    def receive_update(self, message: Any) -> None:
        """Program the plans that the server sent."""
        self._tasks.put(lambda: self._apply_update(message))

    def receive_health(self, host: str, health: Sequence[PairHealth]) -> None:
        """Leave functions out of the path that have failed, or let them count as working.

        :param host: where they are.
        """
        self._tasks.put(lambda: self.reconciler.note_health(host, health))

    def port_changed(self, port_id: str) -> None:
        """Compute the flows of the chains that use a port again.

        A port that is plugged in changes several rows of the database. Ports until the computation
        begins count once.
        """
        with self._changed_ports_lock:
            is_queued = bool(self._changed_ports)
            self._changed_ports.add(port_id)
        if not is_queued:
            self._tasks.put(self._compute_changed_ports)

    def run_soon(self, task: Callable[[], object]) -> None:
        """Do something else with the switch. If it fails, all flows are compared with it.

        Calls with the same task count once until it begins: a switch that loses its flows reports
        each of them.
        """
        with self._queued_soon_lock:
            is_queued = task in self._queued_soon
            self._queued_soon.add(task)
        if not is_queued:
            self._tasks.put(lambda: self._run_queued(task))

    def ask(self, question: Callable[[], _T], seconds: float) -> _T:
        """Have the thread that works on the switch answer something; unlike the others, this waits.

        :param seconds: how long to wait.
        :raises TimeoutError: the thread is busy.
        :raises Exception: of the question.
        """
        answer: Future[_T] = Future()

        def run() -> None:
            try:
                answer.set_result(question())
            except Exception as exc:
                answer.set_exception(exc)

        self._tasks.put(run)
        return answer.result(seconds)

    def request_reconcile(self) -> None:
        """Compare all flows with the switch. Requests until the comparison begins count as one."""
        if not self._reconcile_queued.is_set():
            self._reconcile_queued.set()
            self._tasks.put(self._reconcile)

    def counts_of(self, chain_ids: Collection[str] | None = None) -> dict[Counter, Count]:
        """As ``Reconciler.counts_of``. Unlike the methods above, this waits for the switch."""
        return self.reconciler.counts_of(chain_ids)

    def state(self, with_plans: bool) -> AgentState:
        """Return how this worker is, for ``portchain-doctor``."""
        compared = self._compared_at
        return AgentState(
            minor_version=contract.MINOR_VERSION,
            is_in_sync=self.reconciler.is_in_sync,
            compared_seconds=None if compared is None else int(time.monotonic() - compared),
            failure=self._last_failure,
            revisions=self.reconciler.known_revisions,
            health=tuple(map(health_of_pair, self.health.functions.findings)),
            plans=tuple(self.reconciler.latest_plans) if with_plans else (),
            left_out=self.reconciler.failed_pairs,
        )

    @property
    def queue_lengths(self) -> dict[str, int]:
        """Name of a queue -> how many things wait in it."""
        return {"tasks": self._tasks.qsize(), "reports": len(self._reports)}

    def _queue_reports(self, reports: list[HostReport]) -> None:
        self._reports.put({report.chain_id: report for report in reports})
        self._has_reports.set()

    # The thread that works on the switch.

    def _run_tasks(self) -> None:
        """Run the tasks. After one that fails, compare everything with the switch soon."""
        while True:
            try:
                self._next_task()()
            except Exception as exc:
                self._log_failure(repr(exc))
            else:
                self._last_failure = "" if self.reconciler.is_in_sync else self._last_failure

    def _log_failure(self, failure: str) -> None:
        """Log the current exception, once for equal ones in a row: hosts may be down for days."""
        if failure != self._last_failure:
            LOG.exception(
                "Could not program the flows of host %s; comparing all flows with its switch every "
                "%s s until that succeeds",
                self.host,
                _RETRY_SECONDS,
            )
        self._last_failure = failure

    def _next_task(self) -> Callable[[], object]:
        """Return the next queued task, or what else is due by then."""
        reconciler = self.reconciler
        failed, incomplete = not reconciler.is_in_sync, reconciler.has_incomplete_chains
        times = [reconciler.seconds_until_due, _RETRY_SECONDS if failed or incomplete else None]
        timeout = min((seconds for seconds in times if seconds is not None), default=None)
        try:
            return self._tasks.get(timeout=timeout)
        except queue.Empty:
            if reconciler.seconds_until_due == 0:
                return reconciler.advance_transitions
            return reconciler.reconcile if failed else reconciler.retry_incomplete

    def _apply_update(self, message: Any) -> None:
        """Apply an update. One that does not follow the contract is logged and ignored.

        It is read only now, because it may refer to what the updates before it have brought.
        """
        try:
            update = contract.decode_update(message, self.reconciler.plans_of)
        except ContractError as exc:
            LOG.error(
                "Ignoring an update of host %s that does not follow the wire contract: %s. The "
                "next sync asks for the plans again. If this repeats, check that server and host "
                "have releases that work together",
                self.host,
                exc,
            )
            return
        if update.incomplete:
            self._ask_for_changes()
        self.reconciler.update(update)

    def _compute_changed_ports(self) -> None:
        with self._changed_ports_lock:
            port_ids, self._changed_ports = self._changed_ports, set()
        self.reconciler.ports_changed(port_ids)

    def _run_queued(self, task: Callable[[], object]) -> None:
        with self._queued_soon_lock:
            self._queued_soon.remove(task)
        task()

    def _reconcile(self) -> None:
        self._reconcile_queued.clear()
        changed = self.reconciler.reconcile()
        self._compared_at = time.monotonic()
        if changed:
            self._log_repair()

    def _apply_sync(self, update: contract.PlanUpdate, sent_revisions: dict[str, int]) -> None:
        begun = time.monotonic()
        changed = self.reconciler.synchronise(update, sent_revisions)
        self._compared_at = time.monotonic()
        self.sync_seconds = self._compared_at - begun
        if changed:
            self._log_repair()
        elif not self.synchronised.is_set():
            LOG.info("The switch of host %s already holds the flows of its plans", self.host)
        self.synchronised.set()

    def _log_repair(self) -> None:
        LOG.info("The switch of host %s was changed to hold the flows of its plans", self.host)

    def _ask_for_changes(self) -> None:
        """Ask the server soon, not only after the interval."""
        self._next_sync.expire()
        self._has_reports.set()

    # The thread that calls the server.

    def _call_server(self) -> None:
        """Send reports as they come, and ask every ``sync_interval`` whether a message was lost."""
        next_sync = self._next_sync
        failures = 0
        while True:
            # A report that the server refuses must not stop the sync, so each is tried by itself.
            answered = self._attempt(self._send_reports)
            if next_sync.is_due:
                # From now on: what asks for a sync meanwhile wants another one.
                next_sync.restart()
                if not self._attempt(self._synchronise):
                    answered = False
                    next_sync.expire()
            failures = 0 if answered else failures + 1
            if failures:
                self._wait_to_retry(failures)
            elif not next_sync.is_due:
                self._has_reports.wait(next_sync.seconds_left)
            self._has_reports.clear()

    @staticmethod
    def _wait_to_retry(failures: int) -> None:
        """Wait, also if there are new reports meanwhile: the server would not take them either."""
        seconds = retry_seconds(failures, random.random())  # noqa: S311
        LOG.warning("Calling the Neutron server again in %.1f s", seconds)
        time.sleep(seconds)

    @staticmethod
    def _attempt(call: Callable[[], None]) -> bool:
        """Call the server; return whether it answered."""
        try:
            call()
        except Exception as exc:
            LOG.warning("The Neutron server did not answer: %s", exc)
            return False
        return True

    def _synchronise(self) -> None:
        known = self.reconciler.known_revisions
        # Packets have two labels, frames only one.
        version = contract.version_of_host(accepts_packets=MPLS not in self._switch.lacks)
        update = self._server.sync(
            n_context.get_admin_context_without_session(),
            self.host,
            contract.HostKnowledge(known, version),
        )
        self._tasks.put(lambda: self._apply_sync(update, known))
        self.health.report_all()

    def _send_reports(self) -> None:
        context = n_context.get_admin_context_without_session()
        self._reports.send(lambda reports: self._server.report(context, self.host, reports))


class _Timer:
    """Due at once the first time, and after an interval or less from each ``restart``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        return self.seconds_left <= 0

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._due_at - time.monotonic())

    def restart(self) -> None:
        chance = random.random()  # noqa: S311
        self._due_at = time.monotonic() + interval_seconds(self._seconds, chance)

    def expire(self) -> None:
        """Make it due now."""
        self._due_at = time.monotonic()
