"""The load of the data plane's benchmark, through the loopback interface."""

import socket

import pytest

from bench.dataplane.alive import USED_PER_SECOND, used_every
from bench.dataplane.load import Exchange
from bench.errors import BenchError


@pytest.fixture
def listener():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(64)
        sock.setblocking(False)
        yield sock


@pytest.mark.parametrize("at_once", [1, 8])
def test_connections_are_opened_and_closed(listener, at_once):
    assert Exchange(listener, listener.getsockname()).run(40, at_once) > 0


def test_a_refused_connection_fails(listener):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with pytest.raises(BenchError, match="connection 1 of 3"):
        Exchange(listener, address).run(3, 1)


def test_open_connections_do_not_keep_the_switches_busy():
    """A datapath removes entries that are idle for ten seconds."""
    assert used_every(1) == used_every(10_000) < 10
    assert 50_000 / used_every(50_000) <= USED_PER_SECOND * 1.1
