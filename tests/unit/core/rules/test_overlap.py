"""Overlap of classifiers, compared with an oracle that tries every packet of a small world."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core import boxes, rules
from portchain.core.model import FlowClassifier, PortChain

# A world that is small enough to try everything: two owners with two ports each, two destinations,
# eight addresses of each family, three protocols and four transport ports.
OWNER_OF = {"a1": "alice", "a2": "alice", "b1": "bob", "b2": "bob"}
DESTINATIONS = ("d1", "d2")
PROTOCOLS = (6, 17, 1)
PORTS = range(4)
BASE = {"IPv4": "10.0.0.{}", "IPv6": "fd00::{}"}
LENGTH = {"IPv4": 32, "IPv6": 128}
ADDRESSES = range(4)


@dataclass(frozen=True)
class Packet:
    """A packet as a classifier sees it."""

    ethertype: str
    sender: str
    receiver: str
    protocol: int
    source_port: int
    destination_port: int
    source: int
    destination: int


def matches(classifier: FlowClassifier, packet: Packet) -> bool:
    """Decide by the meaning of each attribute, not by the code under test."""
    sender = (
        classifier.logical_source_port == packet.sender
        if classifier.logical_source_port
        else OWNER_OF[packet.sender] == classifier.project_id
    )
    return (
        sender
        and classifier.ethertype == packet.ethertype
        and classifier.logical_destination_port in (None, packet.receiver)
        and classifier.protocol in (None, packet.protocol)
        and _in_range(packet.source_port, classifier.source_ports)
        and _in_range(packet.destination_port, classifier.destination_ports)
        and _in_prefix(packet.ethertype, packet.source, classifier.source_prefix)
        and _in_prefix(packet.ethertype, packet.destination, classifier.destination_prefix)
    )


def _in_range(port: int, ports: tuple[int, int] | None) -> bool:
    return ports is None or ports[0] <= port <= ports[1]


@functools.cache
def _in_prefix(ethertype: str, number: int, prefix: str | None) -> bool:
    return prefix is None or ip_address(BASE[ethertype].format(number)) in ip_network(prefix)


def packet_of_both(one: FlowClassifier, other: FlowClassifier) -> Packet | None:
    """Return a packet that both classifiers match; None if there is none."""
    if one.ethertype != other.ethertype:
        return None
    both = (one, other)
    # Each attribute is matched by itself, so values that one of them does not match need not be
    # combined with the others.
    for values in itertools.product(
        (one.ethertype,),
        OWNER_OF,
        DESTINATIONS,
        PROTOCOLS,
        [port for port in PORTS if all(_in_range(port, each.source_ports) for each in both)],
        [port for port in PORTS if all(_in_range(port, each.destination_ports) for each in both)],
        _in_both_prefixes(one.ethertype, one.source_prefix, other.source_prefix),
        _in_both_prefixes(one.ethertype, one.destination_prefix, other.destination_prefix),
    ):
        packet = Packet(*values)
        if matches(one, packet) and matches(other, packet):
            return packet
    return None


def _in_both_prefixes(ethertype: str, one: str | None, other: str | None) -> list[int]:
    return [
        number
        for number in ADDRESSES
        if _in_prefix(ethertype, number, one) and _in_prefix(ethertype, number, other)
    ]


@st.composite
def classifiers(draw: st.DrawFn, ethertypes: tuple[str, ...] = ("IPv4", "IPv6")) -> FlowClassifier:
    """Draw a classifier with values of the small world."""
    ethertype = draw(st.sampled_from(ethertypes))
    owner = draw(st.sampled_from(("alice", "bob")))
    ranges = st.none() | st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)).map(
        lambda pair: (min(pair), max(pair))
    )
    shortest = LENGTH[ethertype] - 2
    prefixes = st.none() | st.builds(
        lambda number, length: str(
            ip_network(f"{BASE[ethertype].format(number)}/{length}", strict=False)
        ),
        st.sampled_from(ADDRESSES),
        st.integers(shortest, LENGTH[ethertype]),
    )
    return FlowClassifier(
        id=draw(st.uuids().map(str)),
        project_id=owner,
        ethertype=ethertype,
        protocol=draw(st.none() | st.sampled_from(PROTOCOLS)),
        source_ports=draw(ranges),
        destination_ports=draw(ranges),
        source_prefix=draw(prefixes),
        destination_prefix=draw(prefixes),
        logical_source_port=draw(
            st.none() | st.sampled_from([port for port, who in OWNER_OF.items() if who == owner])
        ),
        logical_destination_port=draw(st.none() | st.sampled_from(DESTINATIONS)),
    )


@given(classifiers(), classifiers())
def test_overlap_means_a_packet_that_both_match(one: FlowClassifier, other: FlowClassifier) -> None:
    packet = packet_of_both(one, other)
    assert rules.overlap(one, other) == (packet is not None), packet


@given(classifiers(), classifiers())
def test_overlap_is_symmetric(one: FlowClassifier, other: FlowClassifier) -> None:
    assert rules.overlap(one, other) == rules.overlap(other, one)


@given(classifiers())
def test_a_classifier_overlaps_with_itself_but_is_not_rejected(one: FlowClassifier) -> None:
    assert rules.overlap(one, one)
    rules.check_overlap(one, [one])


@given(st.lists(classifiers(), max_size=6), st.lists(classifiers(), max_size=6))
def test_many_classifiers_are_compared_as_each_with_each(
    new: list[FlowClassifier], others: list[FlowClassifier]
) -> None:
    pairs = [*itertools.combinations(new, 2), *itertools.product(new, others)]
    some_overlap = any(one.id != other.id and rules.overlap(one, other) for one, other in pairs)
    try:
        rules.check_overlaps(new, [*others, *new])
    except rules.Violation as violation:
        assert some_overlap, violation
        first = next(
            one for number, one in enumerate(new)
            if any(rules.overlap(one, other) for other in (*new[:number], *others))
        )  # fmt: skip
        assert violation.rule.startswith(f"{first.id} overlaps")
    else:
        assert not some_overlap


@given(st.lists(st.lists(classifiers(), max_size=3), max_size=3))
def test_chains_of_a_branch_are_compared_by_header_as_each_with_each(
    sets: list[list[FlowClassifier]],
) -> None:
    chains = [
        PortChain(str(number), "alice", number, (), tuple(each)) for number, each in enumerate(sets)
    ]
    source = PortChain("source", "alice", 9, ())
    some_overlap = any(
        rules.overlap(ignoring_source(first), ignoring_source(second))
        for one, other in itertools.combinations(sets, 2)
        for first, second in itertools.product(one, other)
    )
    try:
        rules.check_branch(source, chains)
    except rules.Violation as violation:
        assert some_overlap, violation
    else:
        assert not some_overlap


def ignoring_source(classifier: FlowClassifier) -> FlowClassifier:
    return replace(classifier, logical_source_port=None, project_id="")


@given(st.lists(classifiers(), max_size=4), st.lists(classifiers(), max_size=4))
def test_two_sets_are_compared_as_each_with_each(
    some: list[FlowClassifier], others: list[FlowClassifier]
) -> None:
    found = rules.first_common_packet(some, others)
    if found is None:
        assert not any(itertools.starmap(rules.overlap, itertools.product(some, others)))
    else:
        assert rules.overlap(*found)
        assert found[0] in some
        assert found[1] in others


def test_the_later_of_two_new_classifiers_is_refused() -> None:
    new = [FlowClassifier(id=f"new {number}", project_id="alice") for number in range(2)]
    with pytest.raises(rules.Violation, match="new 1 overlaps with flow classifier new 0"):
        rules.check_overlaps(new, [])


def test_the_message_names_the_classifier_that_overlaps() -> None:
    others = [
        FlowClassifier(str(port), "alice", protocol=6, destination_ports=(port, port))
        for port in range(1, 5)
    ]
    with pytest.raises(rules.Violation, match="new overlaps with flow classifier 3:"):
        rules.check_overlap(replace(others[2], id="new"), others)


@pytest.mark.parametrize(
    "named",
    [
        {"logical_source_port": "00000000-0000-4000-8000-000000000000"},
        {"logical_destination_port": "00000000-0000-4000-8000-000000000000"},
        {"protocol": 0},
        {"protocol": 6, "source_ports": (0, 0)},
        {"protocol": 6, "destination_ports": (65535, 65535)},
        {"source_prefix": "0.0.0.0/32"},
        {"destination_prefix": "255.255.255.255/32"},
    ],
)
def test_an_attribute_that_a_classifier_leaves_open_has_any_value(named: dict[str, Any]) -> None:
    with pytest.raises(rules.Violation):
        rules.check_overlap(FlowClassifier("1", "a", **named), [FlowClassifier("2", "a")])


def in_one_dimension(number: int) -> FlowClassifier:
    return FlowClassifier(str(number), "alice", protocol=6, destination_ports=(number, number))


def in_another_dimension(number: int) -> FlowClassifier:
    prefix = f"10.{number // 256}.{number % 256}.0/24"
    return FlowClassifier(str(number), "alice", source_prefix=prefix)


def of_a_port(number: int) -> FlowClassifier:
    return FlowClassifier(str(number), "alice", logical_source_port=f"port {number}")


def step_of_a_staircase(number: int) -> FlowClassifier:
    step, side = divmod(number, 2)
    ranges = ((step, step), (step + side, 65535))
    return FlowClassifier(
        str(number), "alice", protocol=6,
        source_ports=ranges[side], destination_ports=ranges[1 - side],
    )  # fmt: skip


@pytest.mark.parametrize(
    "make", [in_one_dimension, in_another_dimension, of_a_port, step_of_a_staircase]
)
def test_few_of_many_classifiers_are_compared(
    make: Callable[[int], FlowClassifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    compare = boxes._compare

    def counting(some: Any) -> Any:
        nonlocal compared
        compared += len(some) ** 2
        return compare(some)

    monkeypatch.setattr(boxes, "_compare", counting)
    everything = [make(number) for number in range(1, 2001)]
    # One that differs from all others in an attribute of its own keeps none of them together.
    apart = FlowClassifier("apart", "alice", ethertype="IPv6")
    rules.check_overlaps(everything[:500], [*everything[500:], apart])
    assert compared < 20 * len(everything)


def test_the_message_names_a_classifier_of_the_same_project_only() -> None:
    mine = FlowClassifier(id="1", project_id="alice", logical_source_port="p")
    hers = FlowClassifier(id="2", project_id="bob", name="secret", logical_source_port="p")
    with pytest.raises(rules.Violation) as refusal:
        rules.check_overlap(mine, [hers])
    assert "secret" not in str(refusal.value)
    assert "1 overlaps with a flow classifier of another project:" in str(refusal.value)
    with pytest.raises(rules.Violation, match="secret"):
        rules.check_overlap(
            FlowClassifier(id="1", project_id="bob"),
            [FlowClassifier(id="2", project_id="bob", name="secret")],
        )
