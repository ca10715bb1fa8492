"""Checks what a host has to check, and tells the server what it has found out."""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from neutron_lib import context as n_context
from oslo_log import log

from portchain.core.model import PairHealth, PeerHealth
from portchain.host.health.checks import Check, Finding, health_of_pair, health_of_peer
from portchain.host.health.prober import Prober
from portchain.host.outbox import Outbox
from portchain.host.switch import Switch

LOG = log.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Server(Protocol):
    """Whom a host tells; ``portchain.rpc.server.ServerClient`` is the implementation."""

    def report_health(self, context: Any, host: str, health: Sequence[PairHealth]) -> None:
        """Report which functions of this host answer."""

    def report_peers(self, context: Any, host: str, peers: Sequence[PeerHealth]) -> None:
        """Report which hosts this one reaches."""


class HealthMonitor:
    """The health checks of one host.

    Reports have a thread of their own, which starts with the first one: a sync may take a minute,
    and while a function has failed and nobody knows, packets are lost.

    :param host: the host's name in Neutron.
    """

    def __init__(self, host: str, switch: Switch, server: Server) -> None:
        self._host = host
        self._server = server
        self.functions = Prober(
            *(f"{host}-functions", f"functions of host {host}"),
            switch.open_channel,
            self._functions_changed,
        )
        self.peers = Prober(
            *(f"{host}-peers", f"the way from host {host} to others"),
            lambda: switch.open_channel(to_tunnels=True),
            self._queue_peers,
        )
        self._health = Outbox[PairHealth]()
        self._reachable = Outbox[PeerHealth]()
        self._has_reports = threading.Event()
        self._thread: threading.Thread | None = None
        self._thread_lock = threading.Lock()

    def set_checks(self, functions: Iterable[Check], peers: Iterable[Check]) -> None:
        """Check these functions and hosts, and no others."""
        self.functions.set_checks(functions)
        self.peers.set_checks(peers)

    def report_all(self) -> None:
        """Report all that is known. The server may have missed it, or forgotten it since."""
        self._queue_functions(self.functions.findings)
        self._queue_peers(one for one in self.peers.findings if not one.is_up)

    def _functions_changed(self, findings: Iterable[Finding]) -> None:
        found = list(findings)
        for one in found:
            said = health_of_pair(one).reason or "it answers"
            LOG.log(
                logging.INFO if one.is_up else logging.WARNING,
                "Function of port pair %s on host %s: %s",
                *(one.name, self._host, said),
            )
        self._queue_functions(found)

    def _queue_functions(self, findings: Iterable[Finding]) -> None:
        self._health.put({one.name: health_of_pair(one) for one in findings})
        self._wake()

    def _queue_peers(self, findings: Iterable[Finding]) -> None:
        self._reachable.put({one.name: health_of_peer(one) for one in findings})
        self._wake()

    def _wake(self) -> None:
        if not self._health and not self._reachable:
            return
        self._has_reports.set()
        with self._thread_lock:
            if self._thread is None:
                name = f"{self._host}-health"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    # The thread that reports.

    def _run(self) -> None:
        while True:
            self._has_reports.wait()
            self._has_reports.clear()
            try:
                self._send()
            except Exception as exc:
                LOG.warning("The Neutron server has not taken what is known of functions: %s", exc)
                time.sleep(_RETRY_SECONDS)
                self._has_reports.set()

    def _send(self) -> None:
        context = n_context.get_admin_context_without_session()
        self._health.send(lambda health: self._server.report_health(context, self._host, health))
        self._reachable.send(lambda peers: self._server.report_peers(context, self._host, peers))
