"""Which messages of a switch mean that flows may have changed, and when it is given up."""

import queue
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from os_ken.ofproto import ofproto_v1_4 as ofp

from portchain.dataplane.flow import COOKIE
from portchain.host import flow_monitor
from portchain.host.flow_monitor import FlowMonitor
from portchain.host.openflow import HEADER

LONG = 20
REPLY = struct.pack("!H6x", ofp.OFPMP_FLOW_MONITOR)


class Switch:
    """The other end of a monitor's connections."""

    def __init__(self, path: Path) -> None:
        self.target = f"unix:{path}"
        self.events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(LONG)
        self._listener.bind(str(path))
        self._listener.listen()

    def monitor(self) -> FlowMonitor:
        return FlowMonitor(
            self.target, lambda: self.events.put("changed"), lambda: self.events.put("connected")
        )

    def accept(self) -> None:
        """Wait for a connection and its request."""
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(LONG)
        self.receive(ofp.OFPT_HELLO)
        self.receive(ofp.OFPT_MULTIPART_REQUEST)

    def receive(self, expected: int) -> None:
        header = self._connection.recv(HEADER.size, socket.MSG_WAITALL)
        _, kind, length, _ = HEADER.unpack(header)
        assert kind == expected
        self._connection.recv(length - HEADER.size, socket.MSG_WAITALL)

    def send(self, kind: int, body: bytes = b"") -> None:
        header = HEADER.pack(ofp.OFP_VERSION, kind, HEADER.size + len(body), 0)
        self._connection.sendall(header + body)

    def reply(self, *updates: bytes) -> None:
        self.send(ofp.OFPT_MULTIPART_REPLY, REPLY + b"".join(updates))

    def is_closed(self) -> bool:
        return not self._connection.recv(1)

    def close(self) -> None:
        self._connection.close()
        self._listener.close()


@pytest.fixture
def switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    monkeypatch.setattr(flow_monitor, "_FAST_RETRY_SECONDS", 0)
    made = Switch(tmp_path / "mgmt")
    monitor = made.monitor()
    made.accept()
    yield made
    monitor.stop()
    made.close()


def changed_flow(event: int, cookie: int) -> bytes:
    return struct.pack("!HHBBHHH4xQ8x", 32, event, 0, 0, 0, 0, 0, cookie)


def paused(event: int) -> bytes:
    return struct.pack("!HH4x", 8, event)


def next_events(switch: Switch, number: int) -> list[str]:
    return [switch.events.get(timeout=LONG) for _ in range(number)]


def test_the_first_reply_means_that_changes_may_have_been_missed(switch: Switch) -> None:
    switch.reply()
    assert next_events(switch, 2) == ["connected", "changed"]


@pytest.mark.parametrize(
    "update",
    [
        changed_flow(ofp.OFPFME_REMOVED, COOKIE),
        changed_flow(ofp.OFPFME_MODIFIED, COOKIE),
        paused(ofp.OFPFME_PAUSED),
        paused(ofp.OFPFME_RESUMED),
    ],
)
def test_changes_of_our_flows_are_reported_and_no_others(switch: Switch, update: bytes) -> None:
    switch.reply()
    next_events(switch, 2)
    others = changed_flow(ofp.OFPFME_REMOVED, 7), paused(ofp.OFPFME_ABBREV)
    switch.reply(*others)
    switch.reply(*others, update)
    assert next_events(switch, 1) == ["changed"]
    switch.send(ofp.OFPT_ECHO_REQUEST, b"end")
    switch.receive(ofp.OFPT_ECHO_REPLY)
    assert switch.events.empty()


def test_a_damaged_update_does_not_end_the_thread(switch: Switch) -> None:
    switch.reply()
    switch.reply(bytes(4))
    switch.reply(changed_flow(ofp.OFPFME_REMOVED, COOKIE))
    assert next_events(switch, 3) == ["connected", "changed", "changed"]


def test_a_switch_that_says_nothing_is_given_up(
    switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_monitor, "_SILENT_SECONDS", 0.01)
    monkeypatch.setattr(flow_monitor, "_ANSWER_SECONDS", 0.05)
    switch.reply()  # the thread waits with the new times from here on
    switch.receive(ofp.OFPT_ECHO_REQUEST)
    switch.accept()
    switch.reply()
    assert next_events(switch, 4) == ["connected", "changed"] * 2


def test_a_switch_that_answers_is_not_given_up(
    switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_monitor, "_SILENT_SECONDS", 0.01)
    switch.reply()
    for _ in range(3):
        switch.receive(ofp.OFPT_ECHO_REQUEST)
        switch.send(ofp.OFPT_ECHO_REPLY)
    switch.reply(changed_flow(ofp.OFPFME_REMOVED, COOKIE))
    assert next_events(switch, 3) == ["connected", "changed", "changed"]


def test_a_switch_that_refuses_is_asked_again(switch: Switch) -> None:
    switch.send(ofp.OFPT_ERROR, bytes(4))
    assert switch.is_closed()
    switch.accept()
    assert switch.events.empty()
    switch.reply()
    assert next_events(switch, 2) == ["connected", "changed"]


def test_a_monitor_that_is_stopped_ends_at_once(switch: Switch, tmp_path: Path) -> None:
    other = Switch(tmp_path / "other")
    monitor = other.monitor()
    other.accept()
    monitor.stop()
    assert other.is_closed()
    (*threads,) = (one for one in threading.enumerate() if one.name.endswith(other.target))
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    other.close()
