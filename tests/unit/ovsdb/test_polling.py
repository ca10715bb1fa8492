"""Waiting for more connections than ``select.select`` can."""

import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest
from ovs import poller

from portchain.ovsdb.polling import Poll, allow_many_connections

HIGH = 1500


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection; the descriptor of the first one is too large for ``select``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, HIGH + 1), hard))
    one, other = socket.socketpair()
    os.dup2(one.fileno(), HIGH)
    high = socket.socket(fileno=HIGH)
    yield high, other
    for each in (one, high, other):
        each.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_library_waits_for_any_descriptor(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    high, other = pair
    monkeypatch.setattr(poller, "SelectPoll", poller.SelectPoll)
    allow_many_connections()
    waiting = poller.Poller()
    other.send(b"news")
    waiting.fd_wait(high, select.POLLIN)
    waiting.block()  # without an end, unless it sees the news
    assert high.recv(4) == b"news"


def test_a_descriptor_can_wait_for_several_events(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    high, other = pair
    waiting = Poll()
    waiting.register(high, select.POLLIN)
    waiting.register(high.fileno(), select.POLLOUT)
    assert waiting.poll(0) == [(HIGH, select.POLLOUT)]
    other.send(b"news")
    assert waiting.poll(-1) == [(HIGH, select.POLLIN | select.POLLOUT)]


def test_it_waits_no_longer_than_asked(pair: tuple[socket.socket, socket.socket]) -> None:
    waiting = Poll()
    waiting.register(pair[0], select.POLLIN)
    assert waiting.poll(1) == []
