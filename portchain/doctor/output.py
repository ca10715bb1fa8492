"""Prints a report for people or for programs. Pure but for the printing."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from portchain.doctor.findings import COULD_NOT_CHECK, Finding, Report, Severity, Unchecked
from portchain.doctor.snapshot import Snapshot

_WIDTH = 100  # where there is no terminal
_DETAILS = 5
_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow"}


def as_json(report: Report, snapshot: Snapshot) -> str:
    """Return a report as JSON."""
    findings = [asdict(one) for one in report.findings]
    for one in findings:
        del one["may_pass"]
    return json.dumps(
        {
            "host": snapshot.host,
            "kind": snapshot.kind,
            "plans_from": snapshot.plans_from,
            "exit_status": report.exit_status,
            "findings": findings,
            "unchecked": [asdict(one) for one in report.unchecked],
            "notes": report.notes,
        },
        indent=2,
    )


def print_table(report: Report, snapshot: Snapshot) -> None:
    """Print a report as a table, with a cell for each finding."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    table = Table(box=box.ASCII, show_lines=True, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for finding in report.findings:
        table.add_row(Text(finding.severity, _STYLES[finding.severity]), _cell(_lines(finding)))
    for one in report.unchecked:
        table.add_row("UNCHECKED", _cell(_lines_of_unchecked(one)))
    for note in report.notes:
        table.add_row("NOTE", Text(note))
    if table.row_count:
        console.print(table)
    console.print(summary(report, snapshot), soft_wrap=True)


def summary(report: Report, snapshot: Snapshot) -> str:
    """Return the last line: the result in one sentence."""
    number = len(report.findings)
    if number:
        things = "1 thing is" if number == 1 else f"{number} things are"
        return f"Host {snapshot.host}: {things} wrong with port chains"
    if report.exit_status == COULD_NOT_CHECK:
        return f"Host {snapshot.host}: nothing is known to be wrong, but not all could be checked"
    chains = len(snapshot.known_plans or ())
    return (
        f"Host {snapshot.host}: nothing is wrong with port chains; it has a part in {chains} "
        f"{'chain' if chains == 1 else 'chains'}"
    )


def _cell(lines: Iterator[tuple[str, str]]) -> Text:
    cell = Text()
    for number, (title, text) in enumerate(lines):
        cell.append("\n" if number else "")
        cell.append(f"{title}: ", "bold")
        cell.append(text)
    return cell


def _lines(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "compared", finding.compared
    yield "found", finding.found
    yield "means", finding.meaning
    yield "do", finding.action
    for detail in finding.details[:_DETAILS]:
        yield "flow", detail
    if len(finding.details) > _DETAILS:
        yield "more", "-f json shows all"


def _lines_of_unchecked(one: Unchecked) -> Iterator[tuple[str, str]]:
    yield "could not check", one.check
    yield "because", one.reason
    yield "do", one.action
