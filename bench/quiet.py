"""Waits until the lab is idle."""

import time

from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from bench.cpu import Meter

WINDOW = 0.15
BUSY = 0.2
"""Load in cores below which a lab counts as idle; its periodic tasks cause less."""
WINDOWS = 2
DEADLINE = 180.0


def wait_quiet(lab: Lab) -> None:
    """Wait until the programs of the lab together use little processor time.

    What a request causes after its response (messages, flows, reports) is then complete. The
    criterion is the same for every implementation and independent of other load of the machine.

    :raises DeadlineError: the lab does not become idle.
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

    wait_for(is_quiet, DEADLINE, "the lab to become idle", interval=WINDOW)
