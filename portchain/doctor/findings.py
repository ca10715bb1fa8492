"""What the checks have found, and what they could not check. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "ERROR"
    """Packets are lost or go astray, or changes of chains do not reach this host."""
    WARNING = "WARNING"
    """Some packets are lost or slow, or will be after the next failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong.

    :param compared: what was compared, e.g. ``flows of chain ... with its plan``.
    :param found: what the comparison has shown.
    :param meaning: what that means for packets.
    :param action: what the operator should do.
    :param chain_ids: the chains concerned; empty if it concerns all, or none.
    :param details: e.g. the flows themselves.
    :param may_pass: whether the agent may be about to put it right: it counts only if it stays.
    """

    severity: Severity
    compared: str
    found: str
    meaning: str
    action: str
    chain_ids: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    may_pass: bool = False


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A check that could not be made.

    :param check: what was to be checked.
    :param reason: why it could not be.
    :param action: what to do, so that it can be.
    """

    check: str
    reason: str
    action: str


OK, WRONG, COULD_NOT_CHECK = 0, 1, 2
"""The program's exit statuses."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of all checks.

    :param notes: what the operator may want to know, and which is not wrong.
    """

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """What is wrong counts more than what could not be checked."""
        if self.findings:
            return WRONG
        return COULD_NOT_CHECK if self.unchecked else OK

    @property
    def may_pass(self) -> bool:
        """Whether some findings may be gone after a moment."""
        return any(one.may_pass for one in self.findings)

    def without_passed(self, earlier: "Report") -> "Report":
        """Return the report without what may pass and was not there before, or was another thing.

        :param earlier: the report of a moment before.
        """
        before = {(one.compared, one.severity) for one in earlier.findings}
        stays = (
            one
            for one in self.findings
            if not one.may_pass or (one.compared, one.severity) in before
        )
        return Report(tuple(stays), self.unchecked, self.notes)

    def about(self, chain_ids: Collection[str]) -> "Report":
        """Return what concerns some chains, or no chain in particular."""
        concerned = (
            one for one in self.findings if not one.chain_ids or set(chain_ids) & {*one.chain_ids}
        )
        return Report(tuple(concerned), self.unchecked, self.notes)


def join(reports: Iterable[Report]) -> Report:
    """Return one report for several, errors first."""
    reports = list(reports)
    findings = [one for report in reports for one in report.findings]
    return Report(
        tuple(sorted(findings, key=lambda one: one.severity is not Severity.ERROR)),
        tuple(_by_reason(one for report in reports for one in report.unchecked)),
        tuple(one for report in reports for one in report.notes),
    )


def _by_reason(unchecked: Iterable[Unchecked]) -> Iterator[Unchecked]:
    """Yield one for all checks that one reason prevents."""
    checks: dict[tuple[str, str], list[str]] = {}
    for one in unchecked:
        checks.setdefault((one.reason, one.action), []).append(one.check)
    for (reason, action), names in checks.items():
        yield Unchecked("; ".join(names), reason, action)
