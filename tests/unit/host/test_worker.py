"""The queue between those who bring news of a host and its switch."""

import threading
from typing import Any

import pytest
from oslo_config import cfg

from portchain.conf import GROUP
from portchain.host import worker
from portchain.host.options import HOST_OPTS
from portchain.rpc import contract


class Server:
    def sync(self, *_: Any) -> contract.PlanUpdate:
        return contract.PlanUpdate()


class Reconciler:
    """Counts comparisons, and holds the first up."""

    is_in_sync, has_incomplete_chains, seconds_until_due = True, False, None
    known_revisions: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, *_: Any) -> None:
        self.compared = 0
        self.may_go_on = threading.Event()
        self.at_it = threading.Event()
        self.done = threading.Event()
        self.failure: Exception | None = None

    def synchronise(self, *_: object) -> bool:
        return False

    def ports_changed(self, _: list[str]) -> None:
        self.done.set()

    def reconcile(self) -> bool:
        self.compared += 1
        self.at_it.set()
        assert self.may_go_on.wait(10)
        if self.failure:
            raise self.failure
        return True


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> worker.HostWorker:
    cfg.CONF.register_opts(HOST_OPTS, GROUP)
    monkeypatch.setattr(worker, "ServerClient", Server)
    monkeypatch.setattr(worker, "Reconciler", Reconciler)
    monkeypatch.setattr(worker.n_context, "get_admin_context_without_session", object)
    made = worker.HostWorker("h1", None)  # type: ignore[arg-type]
    made.start()
    assert made.synchronised.wait(10)
    return made


def finish(host: worker.HostWorker) -> Reconciler:
    reconciler: Any = host.reconciler
    reconciler.may_go_on.set()
    reconciler.done.clear()
    host.port_changed("any")
    assert reconciler.done.wait(10)
    return reconciler


def test_many_calls_for_a_comparison_are_one_that_begins_after_the_last(
    host: worker.HostWorker,
) -> None:
    reconciler: Any = host.reconciler
    host.request_reconcile()
    assert reconciler.at_it.wait(10)
    for _ in range(50):
        host.request_reconcile()
    assert finish(host).compared == 2


def test_a_host_that_is_away_is_logged_once(
    host: worker.HostWorker, caplog: pytest.LogCaptureFixture
) -> None:
    reconciler: Any = host.reconciler
    reconciler.is_in_sync, reconciler.failure = False, RuntimeError("no route to host")
    for _ in range(3):
        host.request_reconcile()
        finish(host)
    assert reconciler.compared >= 3
    assert caplog.text.count("Could not program the flows of host h1") == 1
    reconciler.failure = None
    reconciler.is_in_sync = True
    host.request_reconcile()
    finish(host)
    reconciler.failure = RuntimeError("no route to host")
    host.request_reconcile()
    finish(host)
    assert caplog.text.count("Could not program the flows of host h1") == 2
