"""Connections to database servers that are not there or do not accept them."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from ovsdbapp.exceptions import TimeoutException

from portchain.ovsdb.connection import OvsdbConnection, OvsdbUnreachableError

TIMEOUT = 1


def connect(remote: str) -> str:
    """Connect to a server that does not answer; return the reason in the error."""
    connection = OvsdbConnection(
        "Open_vSwitch",
        lambda: remote,
        {},
        TIMEOUT,
        on_change=lambda row, old: None,
        prepare=lambda opened: None,
    )
    with pytest.raises(OvsdbUnreachableError, match="database Open_vSwitch at tcp:") as caught:
        connection.connect()
    connection.close()
    return caught.value.reason


KERNELS_TIMEOUT = 60
"""Less than the time, in seconds, after which a kernel of itself gives up to connect."""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A TCP port whose queue of connections is full, like a host that does not answer."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def test_a_refused_connection_names_the_database_and_the_reason() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        reason = connect(f"tcp:127.0.0.1:{unused.getsockname()[1]}")
    assert "Connection refused" in reason


def test_a_host_that_does_not_answer_fails_after_the_timeout(silent_port: int) -> None:
    started = time.monotonic()
    assert "timed out" in connect(f"tcp:127.0.0.1:{silent_port}")
    assert TIMEOUT <= time.monotonic() - started < KERNELS_TIMEOUT


def test_every_server_of_a_cluster_is_tried(silent_port: int) -> None:
    started = time.monotonic()
    remotes = f"tcp:127.0.0.1:{silent_port},tcp:127.0.0.1:{silent_port}"
    assert "timed out" in connect(remotes)
    assert time.monotonic() - started >= 2 * TIMEOUT


def test_a_replica_that_does_not_come_in_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_in_vain(_: object, remote: str) -> None:
        raise TimeoutException  # as the library does: this one has no text

    monkeypatch.setattr(OvsdbConnection, "_open", wait_in_vain)
    assert connect("tcp:192.0.2.1:6640") == f"no answer within {TIMEOUT} s"
