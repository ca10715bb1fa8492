"""Reports that wait to be sent."""

import pytest

from portchain.host.outbox import Outbox


def test_only_the_latest_report_about_a_thing_is_sent() -> None:
    box = Outbox[int]()
    box.put({"a": 1, "b": 2})
    box.put({"a": 3})
    sent: list[list[int]] = []
    box.send(sent.append)
    box.send(sent.append)
    assert sent == [[3, 2]]
    assert not box


def test_reports_stay_if_they_could_not_be_sent() -> None:
    box = Outbox[int]()
    box.put({"a": 1})

    def fail(_: list[int]) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        box.send(fail)
    assert len(box) == 1


def test_what_comes_while_others_are_sent_stays() -> None:
    box = Outbox[int]()
    box.put({"a": 1, "b": 2})
    box.send(lambda _: box.put({"a": 9, "b": 2, "c": 3}))
    sent: list[list[int]] = []
    box.send(sent.append)
    assert sent == [[9, 3]]
