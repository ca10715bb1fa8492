"""What a capture says of a failure."""

from dataclasses import replace

import pytest
from portchain_lab.observe.packet_paths import Observation
from portchain_lab.observe.packets import FiveTuple

from bench.errors import BenchError
from bench.failover.cases import ACROSS, HANGS, HOST_OFF, Case, Plan
from bench.failover.rows import Row, read, table, write
from bench.failover.site import FAILED
from bench.failover.verdict import Ends, Failure, Times, judge

UDP, TCP = 1000, 1001
ENDS = Ends("dst", UDP, TCP)
TIMES = Times(noticed=10.6, repaired=20.0, back=22.0)


def seen(
    time: float, vm: str, identity: str, *, outgoing: bool = True, client: int = 1, port: int = UDP
) -> Observation:
    protocol = "udp" if port == UDP else "tcp"
    five_tuple = FiveTuple(protocol, "10.0.0.1", client, "10.0.0.2", port)
    return Observation(int(time * 1e9), vm, vm, outgoing, five_tuple, identity.encode(), None, 64)


def through(time: float, vm: str, identity: str) -> list[Observation]:
    return [seen(time, vm, identity), seen(time + 0.001, "dst", identity, outgoing=False)]


FAILURE = [
    *through(9.99, "a", "1"),
    *through(10.0, "a", "2"),
    *through(10.7, "b", "3"),
    *through(10.8, "b", "4"),
]


def judged(observed: list[Observation]) -> Failure:
    return judge(observed, "a", "b", ENDS, TIMES, lost=3, broken=0)


def test_times_count_from_the_last_datagram_of_the_failed_function() -> None:
    found = judged(FAILURE)
    assert found.detection == pytest.approx(0.6)
    assert found.switch_over == pytest.approx(0.7)
    assert (found.lost, found.around, found.moved) == (3, 0, 0)


def test_what_a_repaired_function_forwards_is_not_its_last_datagram() -> None:
    assert judged([*FAILURE, *through(23.0, "a", "5")]).switch_over == pytest.approx(0.7)


def test_datagrams_that_no_function_sent_went_around() -> None:
    assert judged([*FAILURE, seen(10.3, "dst", "5", outgoing=False)]).around == 1


def test_without_a_second_function_there_is_no_measurement() -> None:
    with pytest.raises(BenchError):
        judged(FAILURE[:4])


@pytest.mark.parametrize(("later", "moved"), [("b", 0), ("a", 1)])
def test_connections_that_go_back_have_moved(later: str, moved: int) -> None:
    connection = [
        seen(time, vm, f"{time}", client=7, port=TCP) for time, vm in ((12.0, "b"), (23.0, later))
    ]
    assert judged([*FAILURE, *connection]).moved == moved


def test_rows_are_read_as_they_were_written(tmp_path: object) -> None:
    failure = judged(FAILURE)
    row = Row(
        Case("ovs", "l3", ACROSS, HOST_OFF), (failure, replace(failure, switch_over=0.9, lost=4))
    )
    path = write([row], {}, "2026-01-01T00:00", tmp_path)  # type: ignore[arg-type]
    (again,) = read(path)
    assert again.case == row.case
    assert again.is_right
    cells = [next(iter(column.cells)) for column in table([again]).columns]
    assert cells[:5] == ["ovs", "routes", ACROSS, HOST_OFF, "2"]
    assert cells[5:] == ["0.60 (0.60)", "0.80 (0.90)", "4 (4)", "0", "0", "0"]


def test_results_from_before_hosts_failed_are_of_functions_that_hang() -> None:
    known = {"driver": "ovs", "kind": "l3", "where": ACROSS, "failures": []}
    assert Row.from_json(known).case.failure == HANGS


def test_a_host_that_fails_has_neither_end_of_the_traffic() -> None:
    (case,) = [one for one in Plan().cases("ovs") if one.failure == HOST_OFF]
    assert case.where == ACROSS
    assert case.is_near


@pytest.mark.parametrize(
    "said",
    [
        "Function of port pair 4a-b on host h2: it has not answered 3 probes in a row",
        "Host at 4a-b, from host h1: it has not answered 3 probes in a row",
    ],
)
def test_logs_say_when_something_failed(said: str) -> None:
    line = f"2026-12-01 10:00:00.123 7 WARNING portchain.host.health.monitor [-] {said}"
    found = FAILED.search(line)
    assert found is not None
    assert found.groups() == ("2026-12-01 10:00:00.123", "4a-b")
