"""Waiting until the lab has nothing to do any more."""

import time

from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from bench.cpu import Meter

WINDOW = 0.15
BUSY = 0.2
"""Cores' worth of work that the periodic tasks of an idle lab stay below."""
WINDOWS = 2
DEADLINE = 180.0


def wait_quiet(lab: Lab) -> None:
    """Wait until all programs of the lab together use little processor time.

    What a request leaves behind (messages, rules in switches, reports) is then done. It is the same
    measure for every implementation, and other work on the machine does not disturb it.

    :raises DeadlineError: if that does not happen.
    """
    meter = Meter(lab)
    last = (time.monotonic(), meter.seconds())
    quiet = 0

    def is_quiet() -> bool:
        nonlocal last, quiet
        now = (time.monotonic(), meter.seconds())
        cores = (now[1] - last[1]) / (now[0] - last[0]) if now[0] > last[0] else BUSY
        last = now
        quiet = quiet + 1 if cores < BUSY else 0
        return quiet >= WINDOWS

    wait_for(is_quiet, DEADLINE, "the lab to have nothing to do", interval=WINDOW)
