"""Watches a bridge for changes of our flows that others make.

Neutron's agent deletes flows that it does not know when it starts, and notifies no controller. On
hosts of OVN, nobody says that Open vSwitch has been restarted.
"""

import re
import subprocess
import threading
from collections.abc import Callable, Sequence

from portchain.dataplane.flow import COOKIE
from portchain.host.bridge import OPENFLOW, BridgeConnection, ofctl_argv

_MONITOR_SECONDS = 60
"""After this time, ovs-ofctl ends and is started again. That bounds how long a dead connection goes
unnoticed, and how long a process outlives a program that was killed."""

_FAST_RETRY_SECONDS, _FAST_RETRIES, _SLOW_RETRY_SECONDS = 0.1, 100, 2.0
"""A switch that has just gone away is usually restarting, and has no flows then. Until ours are
back, packets bypass chains, so the first retries follow each other quickly."""

_POLL_SECONDS = 1.0
_FLOW_COUNT = re.compile(r"flow_count=(\d+)", re.ASCII)

_OUR_COOKIE = f"cookie={COOKIE:#x}"


class FlowMonitor:
    """Runs ``ovs-ofctl monitor`` on one bridge, in a thread of its own.

    :param target: address of the bridge in the notation of ovs-ofctl(8).
    :param options: further options of ovs-ofctl.
    :param changed: called when our flows have changed or may have; must not block.
    :param connected: called before that if the switch may have been restarted; must not block.
    """

    def __init__(
        self,
        target: str,
        options: Sequence[str],
        changed: Callable[[], None],
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        # Additions are not monitored: they are ours. Our own deletions are reported as well, which
        # costs one comparison each.
        words = (*options, "--unixctl=none", f"--timeout={_MONITOR_SECONDS}", "watch:!initial,!add")
        self._argv = ofctl_argv(target, "monitor", words, OPENFLOW)
        self._changed = changed
        self._connected = connected
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._run, name=f"flow-monitor {target}", daemon=True).start()

    def stop(self) -> None:
        """Stop monitoring."""
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            failures = 0 if self._monitor() else failures + 1
            if failures:
                is_fast = failures <= _FAST_RETRIES
                self._stopped.wait(_FAST_RETRY_SECONDS if is_fast else _SLOW_RETRY_SECONDS)

    def _monitor(self) -> bool:
        """Run ovs-ofctl until it ends; return whether the switch answered it."""
        answered = False
        with subprocess.Popen(
            self._argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as self._process:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                # From the reply on, every change is reported. Changes before it may have been
                # missed.
                is_reply = not answered and "FLOW_MONITOR reply" in line
                answered = answered or is_reply
                if is_reply:
                    self._connected()
                if is_reply or _OUR_COOKIE in line:
                    self._changed()
        return answered


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
