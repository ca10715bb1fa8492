"""Asking a bridge for the number of our flows."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from portchain.dataplane.flow import COOKIE
from portchain.host.flow_monitor import FlowPoll


class Bridge:
    """Answers with a number of flows; None stands for no answer."""

    name, database = "br-chain", None

    def __init__(self) -> None:
        self.counts: list[int | None] = []
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)

    def ofctl(self, command: str, *args: str, **_: Any) -> str:
        assert command == "dump-aggregate"
        assert args == (f"cookie={COOKIE:#x}/-1",)
        assert self.may_answer.acquire(timeout=10)
        count = self.counts.pop(0) if self.counts else None
        self.asked.release()
        if count is None:
            raise RuntimeError("connection refused")
        return f"NXST_AGGREGATE reply (xid=0x4): packet_count=7 byte_count=9 flow_count={count}\n"


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def changes(bridge: Bridge) -> Iterator[list[None]]:
    found: list[None] = []
    connections: list[None] = []
    poll = FlowPoll(
        bridge, lambda: found.append(None), lambda: connections.append(None), interval=0.001
    )
    yield found
    assert len(connections) == len(found), "the switch may have been restarted"
    poll.stop()
    bridge.may_answer.release(1000)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((0,), 1),  # it may have lost them before it was asked
        ((5, 5, 9, 9), 1),  # our own additions
        ((5, 0), 2),  # restarted between two questions
        ((5, 0, 0, 0), 2),
        ((5, 4), 2),  # restarted, and a chain has been added since
        ((0, 0, 3), 1),  # no chains at first
        ((5, None, None, 5), 2),  # it answers again: whatever it has, compare
        ((None, None, 0), 1),
    ],
)
def test_a_restart_is_noticed(
    bridge: Bridge, changes: list[None], counts: tuple[int | None, ...], expected: int
) -> None:
    bridge.counts = [*counts, counts[-1]]
    for _ in range(len(counts) + 1):
        bridge.may_answer.release()
        assert bridge.asked.acquire(timeout=10)
    assert len(changes) == expected
