"""Watches a bridge for changes of our flows that others make.

Neutron's agent deletes flows that it does not know when it starts, and notifies no controller. On
hosts of OVN, nobody says that Open vSwitch has been restarted.
"""

import re
import struct
import threading
from collections.abc import Callable, Iterator

from os_ken.ofproto import ofproto_v1_4 as ofp
from os_ken.ofproto import ofproto_v1_4_parser as messages

from portchain.dataplane.flow import COOKIE
from portchain.host.bridge import BridgeConnection
from portchain.host.openflow import SWITCH, Connection

_SILENT_SECONDS, _ANSWER_SECONDS = 20.0, 20.0
"""After so much silence, the switch is asked whether it is there, and given up if it is silent."""

_FAST_RETRY_SECONDS, _FAST_RETRIES, _SLOW_RETRY_SECONDS = 0.1, 100, 2.0
"""A switch that has just gone away is usually restarting, and has no flows then. Until ours are
back, packets bypass chains, so the first retries follow each other quickly."""

_POLL_SECONDS = 1.0
_FLOW_COUNT = re.compile(r"flow_count=(\d+)", re.ASCII)

_OUR_COOKIE = f"cookie={COOKIE:#x}"

# A reply consists of a header and of updates; an update begins with its length and its event.
_REPLY_HEADER = 16
_UPDATE = struct.Struct("!HH")
_CHANGED_FLOW = struct.Struct("!16xQ")  # the flow's cookie


class FlowMonitor:
    """Has one bridge report what happens to its flows, in a thread of its own.

    :param target: the bridge's address, as for ``openflow.Connection``.
    :param changed: called when our flows have changed or may have; must not block.
    :param connected: called before that if the switch may have been restarted; must not block.
    """

    def __init__(
        self,
        target: str,
        changed: Callable[[], None],
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._changed = changed
        self._connected = connected
        self._stopped = threading.Event()
        self._connection: Connection | None = None
        threading.Thread(target=self._run, name=f"flow-monitor {target}", daemon=True).start()

    def stop(self) -> None:
        """Stop monitoring."""
        self._stopped.set()
        if (connection := self._connection) is not None:
            connection.interrupt()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            failures = 0 if self._monitor() else failures + 1
            if failures:
                is_fast = failures <= _FAST_RETRIES
                self._stopped.wait(_FAST_RETRY_SECONDS if is_fast else _SLOW_RETRY_SECONDS)

    def _monitor(self) -> bool:
        """Monitor until the connection ends; return whether the switch answered."""
        answered = False
        try:
            with Connection(self._target) as self._connection:
                self._connection.send([_request()])
                for reply in self._replies(self._connection):
                    # From the first reply on, every change is reported. Changes before it may have
                    # been missed.
                    if not answered:
                        self._connected()
                    if not answered or any(map(_is_ours, _updates(reply))):
                        self._changed()
                    answered = True
        except OSError:
            pass
        finally:
            self._connection = None
        return answered

    def _replies(self, connection: Connection) -> Iterator[bytes]:
        """Yield replies to the request until the switch does not answer any more.

        :raises OSError: the connection has ended, or the switch refuses the request.
        """
        while not self._stopped.is_set():
            if not connection.wait(_SILENT_SECONDS):
                connection.send([messages.OFPEchoRequest(SWITCH)])
                if not connection.wait(_ANSWER_SECONDS):
                    return
            for kind, data in connection.receive():
                if kind == ofp.OFPT_ERROR:
                    raise OSError("the switch refuses to report changes")
                if kind == ofp.OFPT_MULTIPART_REPLY:
                    yield data


def _request() -> messages.OFPFlowMonitorRequest:
    """Additions are not monitored: they are ours. Our own deletions cost a comparison each."""
    return messages.OFPFlowMonitorRequest(
        SWITCH,
        monitor_flags=ofp.OFPFMF_REMOVED | ofp.OFPFMF_MODIFY,
        match=messages.OFPMatch(),
        out_port=ofp.OFPP_ANY,
        out_group=ofp.OFPG_ANY,
    )


def _updates(message: bytes) -> Iterator[bytes]:
    place = _REPLY_HEADER
    while place + _UPDATE.size <= len(message):
        length = max(_UPDATE.unpack_from(message, place)[0], _UPDATE.size)
        yield message[place : place + length]
        place += length


def _is_ours(update: bytes) -> bool:
    """Tell whether an update is about a flow of ours, or says that some may be missing."""
    _, event = _UPDATE.unpack_from(update)
    if event in (ofp.OFPFME_PAUSED, ofp.OFPFME_RESUMED):
        return True
    if event == ofp.OFPFME_ABBREV or len(update) < _CHANGED_FLOW.size:
        return False
    (cookie,) = _CHANGED_FLOW.unpack_from(update)
    return bool(cookie == COOKIE)


class FlowPoll:
    """Asks again and again whether a bridge has lost flows of ours, in a thread of its own.

    It stands in for ``FlowMonitor`` where ovs-ofctl needs the help of a privileged process, which
    returns what a program prints when the program ends.

    Our own deletions count as well. After a restart of the switch, some flows may be back before it
    is asked: those of a chain that has just changed.

    :param changed: called when there are fewer flows of ours than before, or the switch answers
        for the first time or again; must not block.
    :param connected: called before that: each time, the switch may have been restarted.
    """

    def __init__(
        self,
        bridge: BridgeConnection,
        changed: Callable[[], None],
        connected: Callable[[], None] = lambda: None,
        *,
        interval: float = _POLL_SECONDS,
    ) -> None:
        self._bridge = bridge
        self._changed = changed
        self._connected = connected
        self._interval = interval
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name=f"flow-poll {bridge.name}", daemon=True).start()

    def stop(self) -> None:
        """Stop asking."""
        self._stopped.set()

    def _run(self) -> None:
        before: int | None = None
        while not self._stopped.wait(self._interval):
            count = self._count()
            if count is not None and (before is None or count < before):
                self._connected()
                self._changed()
            before = count

    def _count(self) -> int | None:
        """Return how many flows of ours the bridge has; None if it does not answer."""
        try:
            text = self._bridge.ofctl("dump-aggregate", f"{_OUR_COOKIE}/-1")
        except Exception:  # it is restarting, or does not exist yet
            return None
        found = _FLOW_COUNT.search(text)
        return int(found[1]) if found else None
