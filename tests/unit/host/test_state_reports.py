"""What a host reports of its chains."""

from portchain.core.model import HostReport
from portchain.host.state_reports import StateReports


def made() -> tuple[StateReports, list[list[HostReport]]]:
    sent: list[list[HostReport]] = []
    return StateReports(sent.append), sent


def test_a_report_that_says_nothing_new_is_not_sent() -> None:
    reports, sent = made()
    first, second = HostReport("a", 1, "", ""), HostReport("b", 1, "", "")
    reports.send([first])
    reports.send([first])
    reports.send([first, second])
    assert sent == [[first], [second]]


def test_a_chain_that_comes_back_is_reported_anew() -> None:
    reports, sent = made()
    report = HostReport("a", 1, "unreadable", "")
    reports.send([report])
    reports.forget(["a", "unknown"])
    reports.send([report])
    assert sent == [[report], [report]]
