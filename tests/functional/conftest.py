"""What tests with real switches, databases and programs have in common."""

from collections.abc import Generator

import pytest

from tests.functional import vswitch


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what failed, so that its switch leaves evidence."""
    report = yield
    if report.failed:
        vswitch.FAILED.append(item.nodeid)
    return report
