"""Checks what a host has to check, and tells the server what it has found out."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from neutron_lib import context as n_context
from oslo_log import log

from portchain.core.model import PairHealth, PeerHealth
from portchain.host.health.checks import Check, Finding, health_of_pair, health_of_peer, reason
from portchain.host.health.prober import Prober
from portchain.host.outbox import Outbox
from portchain.host.switch import Switch

LOG = log.getLogger(__name__)

_RETRY_SECONDS = 1.0
_REMIND_SECONDS = 30.0


class Server(Protocol):
    """Whom a host tells; ``portchain.rpc.server.ServerClient`` is the implementation."""

    def report_health(self, context: Any, host: str, health: Sequence[PairHealth]) -> None:
        """Report which functions of this host answer."""

    def report_peers(self, context: Any, host: str, peers: Sequence[PeerHealth]) -> None:
        """Report which hosts this one reaches."""


class Hosts(Protocol):
    """Other hosts; ``portchain.rpc.agent.HostClient`` is the implementation."""

    def tell_health(
        self, context: Any, host: str, said: Mapping[str, Sequence[PairHealth]]
    ) -> None:
        """Tell other hosts which functions of this host answer."""


class HealthMonitor:
    """The health checks of one host.

    While a function has failed and nobody knows, packets are lost. So other hosts are told at once
    (docs/decisions/0072), and reports have a thread of their own: a sync may take a minute, and so
    may a report.

    :param host: the host's name in Neutron.
    :param note: called with what has changed of this host's functions; must not block.
    """

    def __init__(
        self,
        host: str,
        switch: Switch,
        server: Server,
        hosts: Hosts,
        note: Callable[[Sequence[PairHealth]], None],
    ) -> None:
        self._host = host
        self._server = server
        self._hosts = hosts
        self._note = note
        self.functions = Prober(
            *(f"{host}-functions", f"functions of host {host}"),
            switch.open_channel,
            self._functions_changed,
        )
        self.peers = Prober(
            *(f"{host}-peers", f"the way from host {host} to others"),
            lambda: switch.open_channel(to_tunnels=True),
            self._peers_changed,
        )
        self._health = Outbox[PairHealth]()
        self._reachable = Outbox[PeerHealth]()
        self._news = Outbox[PairHealth]()
        self._told: Mapping[str, frozenset[str]] = {}  # pair -> hosts of its chains
        self._order = threading.Lock()  # what is repeated must not overtake what is new
        self._reporter = _Sender(f"{host}-health", "Neutron server", self._report)
        self._teller = _Sender(f"{host}-news", "message broker", self._tell, self._tell_again)

    def set_checks(self, functions: Iterable[Check], peers: Iterable[Check]) -> None:
        """Check these functions and hosts, and no others."""
        wanted = list(functions)
        self._told = {check.name: check.hosts - {self._host} for check in wanted}
        self.functions.set_checks(wanted)
        self.peers.set_checks(peers)

    def report_all(self) -> None:
        """Report all that is known. The server may have missed it, or forgotten it since."""
        self._queue_functions(self.functions.findings)
        self._queue_peers(one for one in self.peers.findings if not one.is_up)

    def _functions_changed(self, findings: Iterable[Finding]) -> None:
        found = list(findings)
        self._log("Function of port pair %s on host %s: %s", found)
        with self._order:
            self._spread([health_of_pair(one) for one in found])
            self._queue_functions(found)

    def _peers_changed(self, findings: Iterable[Finding]) -> None:
        found = list(findings)
        self._log("Host at %s, from host %s: %s", found)
        self._queue_peers(found)

    def _log(self, text: str, findings: Iterable[Finding]) -> None:
        for one in findings:
            level = logging.INFO if one.is_up else logging.WARNING
            LOG.log(level, text, one.name, self._host, reason(one) or "it answers")

    def _spread(self, health: Sequence[PairHealth]) -> None:
        """Have this host and others act on what is known, before the server has planned again."""
        self._note(health)
        self._news.put({one.pair_id: one for one in health})
        self._teller.wake()

    def _queue_functions(self, findings: Iterable[Finding]) -> None:
        self._health.put({one.name: health_of_pair(one) for one in findings})
        if self._health:
            self._reporter.wake()

    def _queue_peers(self, findings: Iterable[Finding]) -> None:
        self._reachable.put({one.name: health_of_peer(one) for one in findings})
        if self._reachable:
            self._reporter.wake()

    # The threads that send.

    def _report(self) -> None:
        context = n_context.get_admin_context_without_session()
        self._health.send(lambda health: self._server.report_health(context, self._host, health))
        self._reachable.send(lambda peers: self._server.report_peers(context, self._host, peers))

    def _tell(self) -> None:
        context = n_context.get_admin_context_without_session()
        self._news.send(
            lambda health: self._hosts.tell_health(context, self._host, self._by_host(health))
        )

    def _tell_again(self) -> None:
        """Repeat what the server does not know yet: hosts forget it after some time."""
        with self._order:
            if failed := [one for one in self._health.waiting if not one.is_up]:
                self._spread(failed)

    def _by_host(self, health: Iterable[PairHealth]) -> dict[str, list[PairHealth]]:
        said: dict[str, list[PairHealth]] = {}
        for one in health:
            for other in sorted(self._told.get(one.pair_id, ())):
                said.setdefault(other, []).append(one)
        return said


class _Sender:
    """Sends in a thread of its own, which starts with the first message.

    :param name: of the thread.
    :param receiver: for the log.
    :param send: sends what waits; if it raises, it is called again.
    :param remind: called when nothing was to be sent for some time.
    """

    def __init__(
        self,
        name: str,
        receiver: str,
        send: Callable[[], None],
        remind: Callable[[], None] = lambda: None,
    ) -> None:
        self._name, self._receiver, self._send, self._remind = name, receiver, send, remind
        self._is_due = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Have the thread send."""
        self._is_due.set()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            if not self._is_due.wait(_REMIND_SECONDS):
                self._remind()
                continue
            self._is_due.clear()
            try:
                self._send()
            except Exception as exc:
                LOG.warning(
                    "The %s has not taken what is known of functions: %s", self._receiver, exc
                )
                time.sleep(_RETRY_SECONDS)
                self._is_due.set()
