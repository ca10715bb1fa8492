"""Work on one chain that several threads ask for at a time."""

import threading

import pytest

from portchain.joined_work import JoinedWork

LONG = 20


class Planner:
    """Notes what it is called for. Calls for a chain in ``held`` wait for ``release``."""

    def __init__(self):
        self.calls = []
        self.held, self.release = {"a"}, threading.Event()
        self.began = threading.Semaphore(0)
        self.at_work, self.fails = set(), 0
        self.without_result = set()

    def __call__(self, context, chain_ids):
        assert self.at_work.isdisjoint(chain_ids), "two threads work on one chain"
        self.at_work.update(chain_ids)
        self.calls.append(tuple(chain_ids))
        self.began.release()
        if self.held.intersection(chain_ids):
            assert self.release.wait(LONG)
        self.at_work.difference_update(chain_ids)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the database is away")
        return {one: len(self.calls) for one in chain_ids if one not in self.without_result}


@pytest.fixture
def planner():
    return Planner()


@pytest.fixture
def work(planner):
    return JoinedWork(planner)


def ask(work, *chain_ids):
    thread = threading.Thread(target=work.do, args=(None, chain_ids))
    thread.start()
    return thread


def wait_for(condition):
    with_deadline = threading.Event()
    for _ in range(LONG * 100):
        if condition():
            return
        with_deadline.wait(0.01)
    raise AssertionError("it does not happen")


def waiting(work, chain_id):
    """Return how many threads have asked for a chain."""
    with work._changed:
        return work._waiting[chain_id]


def end(*threads):
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def test_one_request_is_worked_on_at_once(planner, work):
    planner.release.set()
    work.do(None, ["b", "a"])
    work.do(None, ["a"])
    assert planner.calls == [("a", "b"), ("a",)]


def test_requests_that_come_meanwhile_are_one_call_that_begins_after_them(planner, work):
    first = ask(work, "a")
    assert planner.began.acquire(timeout=LONG)
    others = [ask(work, "a") for _ in range(10)]
    wait_for(lambda: waiting(work, "a") == 11)
    assert planner.calls == [("a",)]
    assert all(thread.is_alive() for thread in others), "the call before has read too early"
    planner.release.set()
    end(first, *others)
    assert planner.calls == [("a",)] * 2


def test_each_request_gets_the_result_of_a_call_that_began_after_it(planner, work):
    found = {}

    def run(name):
        found[name] = work.do(None, ["a"])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    threads[0].start()
    assert planner.began.acquire(timeout=LONG)
    for thread in threads[1:]:
        thread.start()
    wait_for(lambda: waiting(work, "a") == 4)
    planner.release.set()
    end(*threads)
    assert [found[number]["a"] for number in range(1, 4)] == [2, 2, 2]


def test_a_chain_without_result_is_left_out(planner, work):
    planner.release.set()
    planner.without_result = {"b"}
    assert work.do(None, ["a", "b"]) == {"a": 1}


def test_other_chains_do_not_wait(planner, work):
    first = ask(work, "a")
    assert planner.began.acquire(timeout=LONG)
    end(ask(work, "b"))
    both = ask(work, "a", "c")
    assert planner.began.acquire(timeout=LONG)
    wait_for(lambda: ("c",) in planner.calls)
    assert both.is_alive()
    planner.release.set()
    end(first, both)
    assert planner.calls == [("a",), ("b",), ("c",), ("a",)]


def test_the_next_one_tries_if_a_call_fails(planner, work, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))
    planner.fails = 2
    first = ask(work, "a")
    assert planner.began.acquire(timeout=LONG)
    others = [ask(work, "a") for _ in range(3)]
    wait_for(lambda: waiting(work, "a") == 4)
    planner.release.set()
    end(first, *others)
    assert planner.calls == [("a",)] * 3
    assert len(raised) == 2


def test_nothing_is_kept_when_nobody_waits(planner, work):
    planner.release.set()
    end(*(ask(work, "a", f"c{number % 3}") for number in range(20)))
    assert not work._waiting
    assert not work._last
    assert not work._done
    assert not work._busy
    assert not work._results
