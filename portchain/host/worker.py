"""What keeps one host's chains going: its plans, its two threads, and what it has to say to the server."""

import queue
import threading
import time
from collections.abc import Callable

from neutron_lib import context as n_context
from oslo_config import cfg
from oslo_log import log

from portchain.conf import GROUP
from portchain.core.model import HostReport
from portchain.dataplane.transition import TransitionTimeouts
from portchain.host.reconciler import Reconciler
from portchain.host.switch import Switch
from portchain.rpc import contract
from portchain.rpc.server import ServerClient

LOG = log.getLogger(__name__)

_RETRY_SECONDS = 2


class HostWorker:
    """Carries out the plans of one host.

    One thread talks to the server, so that a broker that is away does not delay the switch; the other works on the switch, so
    that whoever brings news is not held up.

    :param host: its name in Neutron.
    """

    def __init__(self, host: str, switch: Switch) -> None:
        options = cfg.CONF[GROUP]
        patience = TransitionTimeouts(options.switch_timeout, options.drain_time)
        self.host = host
        self.reconciler = Reconciler(switch, host, self._queue_reports, patience)
        self.informed = threading.Event()
        """Set when the server's first answer is in the switch."""
        self._server = ServerClient()
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._comparing = threading.Event()
        self._reports: dict[str, HostReport] = {}
        self._reports_lock = threading.Lock()
        self._talk = threading.Event()
        self._failure = ""

    def start(self) -> None:
        """Start both threads."""
        for target in (self._work_on_switch, self._talk_to_server):
            name = f"{self.host}{target.__name__}"
            threading.Thread(target=target, name=name, daemon=True).start()

    # Whoever brings news calls these; they return at once.

    def receive(self, update: contract.PlanUpdate) -> None:
        """Take what the server sends."""
        self._work.put(lambda: self.reconciler.update(update))

    def port_changed(self, port_id: str) -> None:
        """Look again at the chains of a port."""
        self._work.put(lambda: self.reconciler.ports_changed([port_id]))

    def compare(self) -> None:
        """Compare everything with the switch, once however often this is called until then."""
        if not self._comparing.is_set():
            self._comparing.set()
            self._work.put(self._compare)

    def _compare(self) -> None:
        self._comparing.clear()
        if self.reconciler.reconcile():
            LOG.info("The switch of host %s was brought to the plans of its chains", self.host)

    def _queue_reports(self, reports: list[HostReport]) -> None:
        with self._reports_lock:
            self._reports.update((report.chain_id, report) for report in reports)
        self._talk.set()

    # The threads.

    def _work_on_switch(self) -> None:
        """Do one thing after the other; when one fails, go on and compare everything with the switch soon."""
        while True:
            try:
                self._next_work()()
            except Exception as exc:
                self._note_failure(repr(exc))
            else:
                self._failure = "" if self.reconciler.is_in_sync else self._failure

    def _note_failure(self, failure: str) -> None:
        """Log the exception being handled, once however often it comes: a host may be away for days."""
        if failure != self._failure:
            LOG.exception(
                "Rules of host %s could not be applied; its switch is compared again every %s s",
                self.host,
                _RETRY_SECONDS,
            )
        self._failure = failure

    def _next_work(self) -> Callable[[], object]:
        """Wait for something to do."""
        reconciler = self.reconciler
        failed, waiting = not reconciler.is_in_sync, reconciler.has_incomplete_chains
        times = [reconciler.seconds_until_due, _RETRY_SECONDS if failed or waiting else None]
        timeout = min((seconds for seconds in times if seconds is not None), default=None)
        try:
            return self._work.get(timeout=timeout)
        except queue.Empty:
            if reconciler.seconds_until_due == 0:
                return reconciler.advance_transitions
            return reconciler.reconcile if failed else reconciler.retry_incomplete

    def _talk_to_server(self) -> None:
        """Bring reports to the server as they come, and ask now and then whether a message was lost."""
        next_sync = _Timer(cfg.CONF[GROUP].sync_interval)
        while True:
            # Each by itself: a report that the server refuses must not keep this host from what it should do.
            reported = self._attempt(self._send_reports)
            if next_sync.due and self._attempt(self._synchronise):
                next_sync.restart()
            self._talk.wait(next_sync.left if reported and not next_sync.due else _RETRY_SECONDS)
            self._talk.clear()

    @staticmethod
    def _attempt(conversation: Callable[[], None]) -> bool:
        """Hold a conversation with the server; returns whether it came to its end."""
        try:
            conversation()
        except Exception as exc:
            LOG.warning(
                "The Neutron server did not answer (%s); trying again in %s s", exc, _RETRY_SECONDS
            )
            return False
        return True

    def _synchronise(self) -> None:
        known = self.reconciler.known_revisions
        update = self._server.sync(n_context.get_admin_context_without_session(), self.host, known)
        self._work.put(lambda: self._repair(update, known))

    def _repair(self, update: contract.PlanUpdate, asked_with: dict[str, int]) -> None:
        if self.reconciler.synchronise(update, asked_with):
            LOG.info("The switch of host %s was brought to the plans of its chains", self.host)
        elif not self.informed.is_set():
            LOG.info("The switch of host %s is as the plans of its chains say", self.host)
        self.informed.set()

    def _send_reports(self) -> None:
        with self._reports_lock:
            reports = list(self._reports.values())
        if not reports:
            return
        self._server.report(n_context.get_admin_context_without_session(), self.host, reports)
        with self._reports_lock:
            for report in reports:
                if self._reports.get(report.chain_id) == report:
                    del self._reports[report.chain_id]


class _Timer:
    """Comes due after an interval, and at once the first time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = time.monotonic()

    @property
    def due(self) -> bool:
        return self.left <= 0

    @property
    def left(self) -> float:
        return max(0.0, self._due_at - time.monotonic())

    def restart(self) -> None:
        self._due_at = time.monotonic() + self._seconds
