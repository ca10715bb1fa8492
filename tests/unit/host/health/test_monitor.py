"""What a host tells the server of its functions, and of other hosts."""

import queue
import threading
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from portchain.core.model import PairHealth, PeerHealth
from portchain.host.health import monitor
from portchain.host.health.checks import Finding

LONG = 20
PEER = "192.0.2.2"
HANGS = Finding("pair", is_up=False, failures=3)
WORKS = HANGS._replace(is_up=True)


class Server:
    """Notes what it is told; refuses as often as it is asked to."""

    def __init__(self) -> None:
        self.told: list[PairHealth | PeerHealth] = []
        self.refusals = 0
        self.has_been_told = threading.Semaphore(0)

    def report_health(self, _context: Any, host: str, health: Sequence[PairHealth]) -> None:
        self._note(host, health)

    def report_peers(self, _context: Any, host: str, peers: Sequence[PeerHealth]) -> None:
        self._note(host, peers)

    def _note(self, host: str, said: Sequence[PairHealth | PeerHealth]) -> None:
        assert host == "h1"
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError("no server")
        self.told += said
        self.has_been_told.release()

    def wait(self) -> None:
        assert self.has_been_told.acquire(timeout=LONG)


class Hosts:
    """Notes what hosts are told."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[Mapping[str, Sequence[PairHealth]]] = queue.SimpleQueue()

    def tell_health(
        self, _context: Any, host: str, said: Mapping[str, Sequence[PairHealth]]
    ) -> None:
        assert host == "h1"
        self.told.put(said)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture
def noted() -> list[PairHealth]:
    return []


@pytest.fixture
def checks(
    server: Server, hosts: Hosts, noted: list[PairHealth], monkeypatch: pytest.MonkeyPatch
) -> monitor.HealthMonitor:
    monkeypatch.setattr(monitor, "_RETRY_SECONDS", 0)
    monkeypatch.setattr(monitor.n_context, "get_admin_context_without_session", object)
    switch = SimpleNamespace(open_channel=object)
    made = monitor.HealthMonitor("h1", switch, server, hosts, noted.extend)  # type: ignore[arg-type]
    check = SimpleNamespace(name="pair", hosts=frozenset({"h1", "h2", "h3"}))
    monkeypatch.setattr(monitor.Prober, "set_checks", lambda *_: None)
    made.set_checks([check], [])  # type: ignore[list-item]
    return made


def test_a_function_that_fails_is_reported_with_the_reason(
    checks: monitor.HealthMonitor, server: Server
) -> None:
    checks.functions._report([HANGS])
    server.wait()
    assert server.told == [PairHealth("pair", False, "it has not answered 3 probes in a row")]


def test_the_other_hosts_of_a_function_are_told_at_once(
    checks: monitor.HealthMonitor, hosts: Hosts, noted: list[PairHealth]
) -> None:
    checks.functions._report([HANGS])
    said = [PairHealth("pair", False, "it has not answered 3 probes in a row")]
    assert noted == said
    assert hosts.told.get(timeout=LONG) == {"h2": said, "h3": said}
    checks.functions._report([WORKS])
    assert hosts.told.get(timeout=LONG)["h2"] == [PairHealth("pair", True)]


def test_hosts_are_told_again_while_no_server_takes_the_report(
    checks: monitor.HealthMonitor, server: Server, hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "_REMIND_SECONDS", 0.01)
    taken = threading.Event()
    monkeypatch.setattr(server, "report_health", lambda *_: taken.wait(LONG))
    checks.functions._report([HANGS])
    for _ in range(3):
        assert hosts.told.get(timeout=LONG).keys() == {"h2", "h3"}
    taken.set()


def test_a_report_is_repeated_until_a_server_takes_it(
    checks: monitor.HealthMonitor, server: Server
) -> None:
    server.refusals = 3
    checks.functions._report([HANGS])
    server.wait()
    assert server.refusals == 0
    checks.functions._report([WORKS])
    server.wait()
    assert [one.is_up for one in server.told] == [False, True]


def test_the_log_says_what_does_not_answer(
    checks: monitor.HealthMonitor, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", monitor.LOG.name)
    checks.functions._report([HANGS])
    checks.peers._report([Finding(PEER, is_up=False, failures=3)])
    checks.peers._report([Finding(PEER, is_up=True, failures=0)])
    server.wait()
    assert [(one.levelname, one.message) for one in caplog.records] == [
        ("WARNING", "Function of port pair pair on host h1: it has not answered 3 probes in a row"),
        ("WARNING", f"Host at {PEER}, from host h1: it has not answered 3 probes in a row"),
        ("INFO", f"Host at {PEER}, from host h1: it answers"),
    ]


def test_all_is_reported_again_but_hosts_that_are_reached(
    checks: monitor.HealthMonitor, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may have missed what was reported first."""
    reached = Finding("192.0.2.3", is_up=True, failures=3)
    lost = Finding(PEER, is_up=False, failures=3)
    prober = type(checks.functions)
    known = {checks.functions: [WORKS], checks.peers: [reached, lost]}
    monkeypatch.setattr(prober, "findings", property(known.__getitem__))
    checks.report_all()
    server.wait()
    server.wait()
    assert set(server.told) == {PairHealth("pair", True), PeerHealth(PEER, False)}
