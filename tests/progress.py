"""A pytest plugin that says how far a run is, in lines that a person can read.

It replaces pytest's dots: every ten seconds it prints a line with the elapsed time, the number of
tests that are done, the number that failed, and the file that was tested last. Failures are
printed as soon as they happen.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

INTERVAL = 10.0
"""Seconds between two lines."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--progress-name", default="tests", help="what the lines call this run")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the workers of xdist report to the controller
        config.pluginmanager.register(Progress(config), "portchain-progress")


class Progress:
    """Counts the tests of one run."""

    def __init__(self, config: pytest.Config) -> None:
        self._name = config.getoption("--progress-name")
        self._config = config
        self._begun = self._printed = time.monotonic()
        self._total = self._done = self._failed = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = self._total or len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        self._total = len(ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """Print no letters; the summary at the end counts the tests all the same."""
        if report.passed:
            return ("passed" if report.when == "call" else "", "", "")
        if report.failed:
            return ("failed" if report.when == "call" else "error", "", "")
        return None

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        yield
        if report.failed:
            self._failed += 1
            self._print(f"FAILED {report.nodeid}")
        if report.when == "teardown":
            self._done += 1
            now = time.monotonic()
            if now - self._printed >= INTERVAL or self._done == self._total:
                self._print(report.nodeid.partition("::")[0])

    def _print(self, what: str) -> None:
        self._printed = time.monotonic()
        minutes, seconds = divmod(int(self._printed - self._begun), 60)
        failed = f", {self._failed} failed" if self._failed else ""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        reporter.ensure_newline()
        reporter.write_line(
            f"{minutes:3}:{seconds:02}  {self._name}: {self._done} of {self._total}{failed}  {what}"
        )
        reporter.flush()  # the output may be a pipe, as in the virtual machine
