"""The demo's verdict: it must notice every wrong path."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest
from portchain_lab import demo
from portchain_lab.guests import kinds
from portchain_lab.observe.packet_paths import Connection, FiveTuple, Path

from portchain.drivers import manager

VIA_PP1, VIA_PP2 = demo.EXPECTED["PP1"], demo.EXPECTED["PP2"]
BACK = ("destination", "source")


def connection(
    port: int, number: int, paths: Sequence[Path], replies: Sequence[Path] = (BACK,)
) -> Connection:
    five_tuple = FiveTuple(
        "tcp", "10.1.0.5", 23 if port == demo.CHAINED else 2000 + number, "10.1.0.6", port
    )
    return Connection(five_tuple, number, number, Counter(paths), Counter(replies))


def good() -> list[Connection]:
    """The connections of a correct network."""
    found = [connection(demo.CHAINED, number, [VIA_PP1]) for number in range(100)]
    found += [
        connection(demo.WIDE, number, [VIA_PP1 if number % 2 else VIA_PP2]) for number in range(60)
    ]
    return found + [connection(demo.OUTSIDE, number, [demo.DIRECT]) for number in range(20)]


def test_a_correct_network_has_no_faults() -> None:
    assert demo.faults(good()) == []


def test_a_function_left_out_is_a_fault() -> None:
    found = [*good()[1:], connection(demo.CHAINED, 0, [("source", "p1", "p2", "destination")])]
    (fault,) = demo.faults(found)
    assert "source → p1 → p2 → destination" in fault


def test_a_packet_delivered_twice_is_a_fault() -> None:
    found = [*good()[1:], connection(demo.CHAINED, 0, [(*VIA_PP1, "destination")])]
    assert len(demo.faults(found)) == 1


def test_a_missing_connection_is_a_fault() -> None:
    assert demo.faults(good()[1:]) == ["port 100: 99 connections captured instead of 100"]


def test_unclassified_traffic_in_the_chain_is_a_fault() -> None:
    found = [*good()[:-1], connection(demo.OUTSIDE, 19, [VIA_PP1])]
    assert len(demo.faults(found)) == 1


def test_packets_of_one_connection_on_two_paths_are_a_fault() -> None:
    found = [*good()[1:], connection(demo.CHAINED, 0, [VIA_PP1, VIA_PP2])]
    (fault,) = demo.faults(found)
    assert "2 paths" in fault


def test_a_reply_through_the_chain_is_a_fault() -> None:
    found = [*good()[1:], connection(demo.CHAINED, 0, [VIA_PP1], [tuple(reversed(VIA_PP1))])]
    assert len(demo.faults(found)) == 1


def test_a_pair_without_traffic_is_a_fault() -> None:
    found = [one for one in good() if one.five_tuple.destination_port != demo.WIDE]
    found += [connection(demo.WIDE, number, [VIA_PP1]) for number in range(60)]
    assert demo.faults(found) == ["PP2 got none of FC2's connections"]


def test_paths_are_counted_by_connection_and_by_packet() -> None:
    found = [connection(300, number, [demo.DIRECT, demo.DIRECT]) for number in range(3)]
    assert demo.paths_to(found, 300) == [(demo.DIRECT, 3, 6)]


def test_client_output_is_shortened() -> None:
    names = {"id1": "PP1", "id2": "PP2"}
    assert demo.shorten([{"ip_address": "10.0.0.1", "subnet_id": "x"}], names) == "10.0.0.1"
    assert demo.shorten(["id1", "id2"], names) == "PP1,PP2"
    assert demo.shorten({"correlation": "mpls"}, names) == "correlation:mpls"


@pytest.mark.parametrize("name", ["ovs", "openflow", "ovn"])
def test_every_driver_supports_the_specifications_workflow(name: str) -> None:
    (driver,) = manager.load([name]).values()
    assert kinds.L3 in driver.capabilities.function_kinds
    assert driver.capabilities.asymmetric


def test_commands_do_not_import_what_takes_long() -> None:
    program = "import sys, portchain_lab.commands; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    slow = {"neutron.manager", "neutron.db.models_v2", "sqlalchemy", "scapy"}
    assert slow & set(done.stdout.split()) == set()
