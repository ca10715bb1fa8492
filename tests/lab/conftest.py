"""One lab for all tests that need a whole system, and evidence of what went wrong in it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from portchain_lab import evidence
from portchain_lab.guests.virtual_machines import VirtualMachine
from portchain_lab.lab import Lab
from portchain_lab.layout import Layout
from portchain_lab.observe import capture

# Each of several processes that share the tests has labs of its own.
NAME = os.environ.get("PORTCHAIN_TEST_LAB", "test") + os.environ.get("PYTEST_XDIST_WORKER", "")
FIREWALL = os.environ.get("PORTCHAIN_TEST_FIREWALL", "openvswitch")
EVIDENCE = Path("evidence")


@contextmanager
def running(layout: Layout) -> Iterator[Lab]:
    """A lab, for as long as the context lasts. With PORTCHAIN_KEEP_LAB=1 it stays, and the next run uses it again."""
    keep = os.environ.get("PORTCHAIN_KEEP_LAB") == "1"
    made = Lab(layout)
    if keep and made.is_up():
        made = Lab.open(layout.name)
    else:
        made.up(lambda step: print(f"lab: {step}", flush=True))
    yield made
    if not keep:
        made.down()


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of three hosts."""
    with running(Layout(NAME, firewall=FIREWALL)) as made:
        yield made


@dataclass
class Captures:
    """Captures of one test, kept as evidence if it fails."""

    all: list[capture.Capture] = field(default_factory=list)

    def __call__(self, *vms: VirtualMachine) -> capture.Capture:
        """A capture at all interfaces of these VMs; use it as a context manager."""
        made = capture.Capture(vms)
        self.all.append(made)
        return made


@pytest.fixture
def captures() -> Captures:
    """Makes captures."""
    return Captures()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep evidence while the failed test's VMs are still there."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    running = getattr(item, "funcargs", {}).get("lab")
    if call.when == "teardown" or not report.failed or running is None:
        return
    made = getattr(item, "funcargs", {}).get("captures") or Captures()
    seen = [one for each in made.all for one in each.frames]
    place = evidence.collect(running, EVIDENCE / re.sub(r"[^\w.-]+", "_", item.name), seen)
    report.sections.append(("evidence", str(place.resolve())))
