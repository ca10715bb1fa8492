"""What is said of a packet that a classifier does not match."""

from dataclasses import replace

import pytest

from portchain.core.mismatches import Header, mismatches
from portchain.core.model import FlowClassifier
from portchain.core.protocols import ICMP, TCP, UDP

CLASSIFIER = FlowClassifier(
    "fc",
    "project",
    protocol=TCP,
    source_ports=(1000, 2000),
    destination_ports=(80, 80),
    source_prefix="10.0.0.0/24",
    destination_prefix="10.0.1.20/32",
    logical_source_port="vm",
    logical_destination_port="web",
)
HEADER = Header("vm", "IPv4", "10.0.0.10", "10.0.1.20", TCP, 1500, 80, "web")


def test_a_packet_that_matches_has_no_mismatch() -> None:
    assert mismatches(CLASSIFIER, HEADER) == []
    assert mismatches(FlowClassifier("any", "project"), HEADER) == []
    assert mismatches(FlowClassifier("tcp", "project", protocol=TCP), HEADER) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": UDP}, "the protocol is 17, not 6"),
        ({"protocol": UDP, "source_port": 1, "destination_port": 1}, "the protocol is 17, not 6"),
        ({"source": "10.0.9.1"}, "the source address 10.0.9.1 is not in 10.0.0.0/24"),
        ({"destination": "10.0.1.21"}, "the destination address 10.0.1.21 is not in 10.0.1.20/32"),
        ({"source_port": 999}, "the source port is 999, not in 1000:2000"),
        ({"destination_port": 81}, "the destination port is 81, not 80"),
        ({"port_id": "other"}, "it names another logical source port"),
        ({"destination_port_id": "other"}, "it names another logical destination port"),
        ({"ethertype": "IPv6"}, "the packet is IPv6, not IPv4"),
    ],
)
def test_each_field_is_named(changes: dict[str, object], words: str) -> None:
    (found,) = mismatches(CLASSIFIER, replace(HEADER, **changes))  # type: ignore[arg-type]
    assert found == words


def test_a_type_and_a_code_of_icmp_are_not_called_ports() -> None:
    echo = FlowClassifier(
        "fc", "project", protocol=ICMP, source_ports=(8, 8), destination_ports=(0, 0)
    )
    unreachable = replace(HEADER, protocol=ICMP, source_port=3, destination_port=1)
    assert mismatches(echo, unreachable) == ["the type is 3, not 8", "the code is 1, not 0"]


def test_the_request_of_a_reply() -> None:
    reply = Header("web", "IPv4", "10.0.1.20", "10.0.0.10", TCP, 80, 1500, "vm")
    assert reply.of_request == HEADER
    echo = replace(reply, protocol=ICMP, source_port=8, destination_port=0)
    assert (echo.of_request.source_port, echo.of_request.destination_port) == (8, 0)
