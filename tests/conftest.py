"""What all tests have in common."""

# Neutron chooses oslo.service's backend when it is imported, and so must come before anything that
# would choose another; the order in which test modules are collected does not ensure that.
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import neutron  # noqa: F401
import pytest
from hypothesis import settings
from portchain_lab.hosts.launcher import GC_THRESHOLDS

from tests import parts
from tests.full import FULL

# By Python's own thresholds, a tenth of the processor time goes into looking for cycles among the
# objects that Neutron's modules consist of.
gc.freeze()
gc.set_threshold(*GC_THRESHOLDS)

# Helpers assert as well as tests do: a failed assertion there is to show its values, too.
pytest.register_assert_rewrite(
    *(f"tests.{name}" for name in ("functional", "lab", "unit", "programs", "simulated_network"))
)

# Several processes run these stages, and each takes the next file that nobody has taken. Files that
# take long come first, so that all processes end at about the same time.
LONGEST = (
    "functional/db/test_scale.py",
    "functional/db/test_import.py",
    "functional/dataplane/test_tracing.py",
    "functional/dataplane/test_switch.py",
    "functional/ovn/test_br_chain.py",
    "functional/db/test_api.py",
    "functional/dataplane/test_chain_ends.py",
    "functional/dataplane/test_flow_affinity.py",
    "functional/dataplane/test_random.py",
    "unit/bench/test_scale_agent.py",
    "packaging/test_distributions.py",
    "unit/api/test_query_counts.py",
    "docs/test_site.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by file: those of LONGEST, then all others in the order as they were.

    Tests with the mark ``only_in_full`` are left to the full run. Skipped, they would fail in
    continuous integration. Neither run has what is in the other part of the tests.
    """
    if not FULL:
        items[:] = [one for one in items if one.get_closest_marker("only_in_full") is None]
    if parts.PART:
        parts.select(items, Path(__file__).parent)
    order = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_unconfigure() -> None:
    """Let threads of agents log nowhere: they go on while other processes still run tests."""
    logging.raiseExceptions = False


# The time that an example takes says more about the machine than about the code.
settings.register_profile("default", deadline=None, max_examples=500 if FULL else 50)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _leave_out_what_earlier_tests_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep threads that earlier tests left behind out of the log that this test looks at.

    Agents' threads go on for as long as the process: one that cannot reach its server says so every
    second.
    """
    if "caplog" not in request.fixturenames:
        yield
        return
    handler = request.getfixturevalue("caplog").handler
    earlier = set(threading.enumerate()) - {threading.current_thread()}

    def is_of_this_test(_record: logging.LogRecord) -> bool:
        return threading.current_thread() not in earlier  # handlers run in the thread that logs

    handler.addFilter(is_of_this_test)
    yield
    handler.removeFilter(is_of_this_test)


@pytest.fixture(autouse=True, scope="session")
def _resolve_no_addresses() -> None:
    """Let frames without a destination address be an error.

    To build one, scapy would ask the machine's network for the address, and wait a second.
    """
    if "scapy.config" in sys.modules:
        conf = sys.modules["scapy.config"].conf
        conf.neighbor.resolvers.clear()
        conf.raise_no_dst_mac = True
