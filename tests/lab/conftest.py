"""The lab that tests share, and evidence of what went wrong in it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from portchain_lab import evidence
from portchain_lab.lab import Lab

from tests.full import in_full
from tests.lab import schedule
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.workflow import Workflow

EVIDENCE = Path("evidence")
collect_ignore = [
    f"test_{name}.py" for name in in_full([], ["aliases", "dashboard", "heat", "nova", "routers"])
]


@pytest.fixture(scope="session")
def labs() -> Iterator[Labs]:
    """The lab of this process, whatever its layout."""
    made = Labs()
    yield made
    made.end()


@pytest.fixture(scope="module")
def lab(labs: Labs, request: pytest.FixtureRequest) -> Lab:
    """Three hosts, usually with Open vSwitch agents. Some modules override this."""
    return labs.get(**schedule.layout_of(request.path.stem))


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    """The specification's virtual machines. Modules that need others override this."""
    workflow = Workflow(lab, Captures())
    workflow.boot()
    yield workflow
    workflow.clean_up()


@pytest.fixture
def workflow(booted: Workflow, captures: Captures) -> Workflow:
    """The same, with captures of one test. Modules that leave something behind override this."""
    booted.captures = captures
    return booted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    schedule.arrange(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> schedule.GroupScheduling | None:
    """Keep tests that share a lab in one process.

    pytest-xdist 3.8 ignores its own mark for that, ``xdist_group``, with pytest 9.
    """
    if config.getvalue("dist") == "loadgroup":
        return schedule.GroupScheduling(config, log)
    return None


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
