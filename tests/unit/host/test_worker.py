"""The queue of tasks between the events of a host and its switch."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from oslo_config import cfg

from portchain.conf import GROUP
from portchain.dataplane.datapath import MPLS, Feature
from portchain.dataplane.plan import ChainPlan
from portchain.host import worker
from portchain.host.counter_store import CounterStore
from portchain.host.options import HOST_OPTS
from portchain.rpc import contract
from portchain.rpc.plan_codec import PlanSplitter
from tests.unit.rpc.test_parts import open_chain


class Server:
    """Records what the host says of itself."""

    def __init__(self) -> None:
        self.said: list[contract.HostKnowledge] = []

        self.asked_again = threading.Event()

    def sync(self, _context: Any, _host: str, known: contract.HostKnowledge) -> contract.PlanUpdate:
        self.said.append(known)
        if len(self.said) > 1:
            self.asked_again.set()
        return contract.PlanUpdate()


class Reconciler:
    """Counts comparisons. Each waits until the test lets it continue."""

    is_in_sync, has_incomplete_chains, seconds_until_due = True, False, None
    known_revisions: dict[str, int] = {}  # noqa: RUF012

    def __init__(self, *_: Any, **__: Any) -> None:
        self.reconciled = 0
        self.ports: list[set[str]] = []
        self.may_continue = threading.Event()
        self.has_begun = threading.Event()
        self.done = threading.Event()
        self.failure: Exception | None = None

        self.updates: list[contract.PlanUpdate] = []

    def synchronise(self, *_: object) -> bool:
        return False

    def plans_of(self, _chain_id: str) -> list[ChainPlan]:
        return [plan for update in self.updates for plan in update.chains]

    def update(self, update: contract.PlanUpdate) -> None:
        self.updates.append(update)
        self.done.set()

    def ports_changed(self, port_ids: set[str]) -> None:
        self.ports.append(set(port_ids))
        self.done.set()

    def reconcile(self) -> bool:
        self.reconciled += 1
        self.has_begun.set()
        assert self.may_continue.wait(10)
        if self.failure:
            raise self.failure
        return True


@pytest.fixture
def lacks() -> frozenset[Feature]:
    """What the datapath of the host lacks."""
    return frozenset()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, lacks: frozenset[Feature]) -> worker.HostWorker:
    cfg.CONF.register_opts(HOST_OPTS, GROUP)
    monkeypatch.setattr(worker, "ServerClient", Server)
    monkeypatch.setattr(worker, "HostClient", object)
    monkeypatch.setattr(worker, "Reconciler", Reconciler)
    monkeypatch.setattr(worker, "open_store", lambda _: CounterStore(":memory:"))
    monkeypatch.setattr(worker.n_context, "get_admin_context_without_session", object)
    made = worker.HostWorker("h1", SimpleNamespace(lacks=lacks, open_channel=object))  # type: ignore[arg-type]
    made.start()
    assert made.synchronised.wait(10)
    return made


@pytest.mark.parametrize(
    ("lacks", "version"),
    [
        (frozenset(), contract.MINOR_VERSION),
        (frozenset({MPLS}), contract.PACKETS_SINCE - 1),
    ],
    ids=["two labels", "one label"],
)
def test_a_host_whose_datapath_reads_one_label_only_asks_for_frames(host, version):
    assert {said.minor_version for said in host._server.said} == {version}  # type: ignore[attr-defined]


def finish(host: worker.HostWorker) -> Reconciler:
    reconciler: Any = host.reconciler
    reconciler.may_continue.set()
    reconciler.done.clear()
    host.port_changed("any")
    assert reconciler.done.wait(10)
    return reconciler


def test_many_requests_to_reconcile_are_one_comparison_after_the_last_request(
    host: worker.HostWorker,
) -> None:
    reconciler: Any = host.reconciler
    host.request_reconcile()
    assert reconciler.has_begun.wait(10)
    for _ in range(50):
        host.request_reconcile()
    assert finish(host).reconciled == 2


class Task:
    """Something that is done with the switch, as a method."""

    def __init__(self) -> None:
        self.done = 0

    def run(self) -> None:
        self.done += 1


def test_a_task_that_is_asked_for_again_before_it_begins_is_done_once(
    host: worker.HostWorker,
) -> None:
    reconciler: Any = host.reconciler
    task, other = Task(), Task()
    host.request_reconcile()
    assert reconciler.has_begun.wait(10)
    for _ in range(50):
        host.run_soon(task.run)
    host.run_soon(other.run)
    finish(host)
    assert (task.done, other.done) == (1, 1)
    host.run_soon(task.run)
    finish(host)
    assert task.done == 2


def test_ports_that_change_while_the_host_is_busy_are_computed_once(
    host: worker.HostWorker,
) -> None:
    reconciler: Any = host.reconciler
    host.request_reconcile()
    assert reconciler.has_begun.wait(10)
    for port_id in ("a", "b", "a", "a", "b"):
        host.port_changed(port_id)
    reconciler.may_continue.set()
    assert reconciler.done.wait(10)
    finish(host)
    assert reconciler.ports == [{"a", "b"}, {"any"}]


def test_a_host_that_is_down_is_logged_once(
    host: worker.HostWorker, caplog: pytest.LogCaptureFixture
) -> None:
    reconciler: Any = host.reconciler
    reconciler.is_in_sync, reconciler.failure = False, RuntimeError("no route to host")
    for _ in range(3):
        host.request_reconcile()
        finish(host)
    assert reconciler.reconciled >= 3
    assert caplog.text.count("Could not program the flows of host h1") == 1
    reconciler.failure = None
    reconciler.is_in_sync = True
    host.request_reconcile()
    finish(host)
    reconciler.failure = RuntimeError("no route to host")
    host.request_reconcile()
    finish(host)
    assert caplog.text.count("Could not program the flows of host h1") == 2


def in_parts(before: ChainPlan, plan: ChainPlan) -> Any:
    """Return a message with a plan, without the parts of the plan before."""
    sent = {plan.id: frozenset(PlanSplitter().split(before).parts)}
    return contract.encode_update(contract.PlanUpdate((plan,), parts_sent=sent))


def test_an_update_is_read_with_what_the_updates_before_it_have_brought(
    host: worker.HostWorker,
) -> None:
    plans = [open_chain(machines, revision=machines) for machines in (100, 101, 102)]
    first = contract.encode_update(contract.PlanUpdate(tuple(plans[:1]), parts_sent={}))
    reconciler: Any = host.reconciler
    for message in (first, in_parts(plans[0], plans[1]), in_parts(plans[1], plans[2])):
        reconciler.done.clear()
        host.receive_update(message)
        assert reconciler.done.wait(10)
    assert [update.chains for update in reconciler.updates] == [(plan,) for plan in plans]


def test_a_host_that_lacks_a_part_asks_at_once(host: worker.HostWorker) -> None:
    """Long before the interval ends."""
    server: Any = host._server
    host.receive_update(in_parts(open_chain(100), open_chain(101)))
    assert server.asked_again.wait(10)


def test_a_message_that_does_not_follow_the_contract_is_ignored(
    host: worker.HostWorker, caplog: pytest.LogCaptureFixture
) -> None:
    reconciler: Any = host.reconciler
    for message in (None, {"chains": 1}, {"chains": [{"id": "x"}]}, {"parts": []}, {"removed": 7}):
        host.receive_update(message)
    host.receive_update({})
    assert reconciler.done.wait(10)
    assert reconciler.updates == [contract.PlanUpdate()]
    assert caplog.text.count("does not follow the wire contract") == 5


def test_a_host_waits_longer_after_each_call_that_fails(
    host: worker.HostWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if there are new reports meanwhile. After an answer, it begins again."""
    server: Any = host._server
    waits: list[int] = []
    outcomes = [RuntimeError("the server is away")] * 3 + [None, RuntimeError("again"), None]
    ended = threading.Event()

    def sync(*_: object) -> contract.PlanUpdate:
        if outcome := outcomes.pop(0):
            raise outcome
        if outcomes:
            host._ask_for_changes()
        else:
            ended.set()
        return contract.PlanUpdate()

    def wait(failures: int) -> None:
        waits.append(failures)
        host._has_reports.set()

    monkeypatch.setattr(server, "sync", sync)
    monkeypatch.setattr(host, "_wait_to_retry", wait)
    host._ask_for_changes()
    assert ended.wait(10)
    assert waits == [1, 2, 3, 1]
