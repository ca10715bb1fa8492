"""Word of rules of ours that others delete or alter: Neutron's agent does when it starts, and knows nothing of us."""

import subprocess
import threading
from collections.abc import Callable, Sequence

from portchain.dataplane.flow import COOKIE
from portchain.host.bridge import OPENFLOW, ofctl_argv

_LIFE_SECONDS = 60
"""After this the switch is asked anew. A connection that died without a word makes nobody blind for longer, and what a
controller that was killed leaves behind is gone after it."""

_EAGER_SECONDS, _EAGER_ATTEMPTS, _PATIENT_SECONDS = 0.1, 100, 2.0
"""A switch that has just gone is mostly restarting, and empty: whoever comes late finds packets on Neutron's way already."""

_OURS = f"cookie={COOKIE:#x}"


class FlowMonitor:
    """Watches the rules of one bridge, in a thread of its own.

    :param target: connection to the bridge.
    :param options: of ovs-ofctl.
    :param changed: called when rules of ours are not what they were, or may not be; must not block.
    """

    def __init__(self, target: str, options: Sequence[str], changed: Callable[[], None]) -> None:
        # What we add tells nothing: it is not asked for. What we delete is told, and costs one comparison.
        words = (*options, "--unixctl=none", f"--timeout={_LIFE_SECONDS}", "watch:!initial,!add")
        self._argv = ofctl_argv(target, "monitor", words, OPENFLOW)
        self._changed = changed
        self._ended = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        threading.Thread(target=self._run, name=f"watch {target}", daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        if self._process is not None:
            self._process.terminate()

    def _run(self) -> None:
        failures = 0
        while not self._ended.is_set():
            failures = 0 if self._watch() else failures + 1
            if failures:
                eager = failures <= _EAGER_ATTEMPTS
                self._ended.wait(_EAGER_SECONDS if eager else _PATIENT_SECONDS)

    def _watch(self) -> bool:
        """Watch once; returns whether the switch had answered."""
        answered = False
        with subprocess.Popen(
            self._argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as self._process:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                # From its answer on, nothing escapes; what happened before it may have.
                began = not answered and "FLOW_MONITOR reply" in line
                answered = answered or began
                if began or _OURS in line:
                    self._changed()
        return answered
