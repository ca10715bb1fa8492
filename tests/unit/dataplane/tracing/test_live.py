"""What is said of a packet that was really sent, compared with what a trace predicts."""

from dataclasses import replace

import pytest

from portchain.core import protocols
from portchain.dataplane.tracing.journey import Journey, Outcome
from portchain.dataplane.tracing.live import (
    Direction,
    Observation,
    Place,
    Sight,
    Spot,
    outcome,
    spots_of,
    summary,
    why_not_sendable,
)
from portchain.dataplane.tracing.packet import Label, Packet
from portchain.dataplane.tracing.steps import Decision, Step
from tests.plans import ident, mac

PACKET = Packet(*(mac("a"), mac("b"), "IPv4", "10.0.0.1", "10.0.0.2"), *(protocols.UDP, 1, 2))


def step(decision: Decision, port: str = "") -> tuple[str, Step]:
    return "h1", Step(decision, "", port_id=ident(port) if port else "")


def test_a_packet_can_be_seen_where_it_passes_a_port() -> None:
    steps = (
        step(Decision.CLASSIFIED),
        step(Decision.DELIVERED, "in"),
        step(Decision.RETURNED, "out"),
        step(Decision.COPIED, "tap"),
        step(Decision.COPIED),
        step(Decision.DROPPED, "x"),
    )
    assert spots_of(Journey(steps, Outcome.DROPPED)) == (
        None,
        Spot(ident("in"), Direction.TO),
        Spot(ident("out"), Direction.FROM),
        Spot(ident("tap"), Direction.TO),
        None,
        None,
    )


def test_a_spot_is_seen_not_seen_or_not_watched() -> None:
    seen, dark, missing = (Spot(ident(name), Direction.TO) for name in "abc")
    found = Observation(seen=frozenset({seen}), unwatched={dark: "why"})
    assert [found.sight(one) for one in (seen, dark, missing, None)] == [
        *(Sight.SEEN, Sight.NOT_WATCHED, Sight.NOT_SEEN, Sight.NONE)
    ]
    assert replace(found, not_sent="busy").sight(seen) is Sight.NONE


def test_the_outcome_is_what_has_happened_if_that_is_known() -> None:
    for predicted in Outcome:
        assert outcome(predicted, Sight.SEEN) is Outcome.DELIVERED
        assert outcome(predicted, Sight.NOT_SEEN) is Outcome.DROPPED
        assert outcome(predicted, Sight.NOT_WATCHED) is predicted
        assert outcome(predicted, Sight.NONE) is predicted


def way(*sights: str) -> list[Place]:
    """Return p1 into a function, p2 out of it, and dst, each seen (s), not seen (n) or dark (d)."""
    kinds = {"s": Sight.SEEN, "n": Sight.NOT_SEEN, "d": Sight.NOT_WATCHED}
    directions = (Direction.TO, Direction.FROM, Direction.TO)
    hosts = ("h1", "h1", "h3")
    return [
        Place(name, kinds[sight], direction, host, "no device" if sight == "d" else "")
        for name, sight, direction, host in zip(
            ("p1", "p2", "dst"), sights, directions, hosts, strict=True
        )
    ]


@pytest.mark.parametrize(
    ("sights", "text"),
    [
        ("sss", "the packet was seen at p1, p2, dst, as predicted"),
        (
            "snn",
            "the packet was last seen at p1; expected next at p2: look at the function, which has "
            "got it and has not returned it",
        ),
        (
            "ssn",
            "the packet was last seen at p2; expected next at dst: look at the way from host h1 to "
            "host h3",
        ),
        (
            "nnn",
            "the packet was sent and seen nowhere; expected first at p1: look at the way to it, "
            "with the flows and the log of host h1",
        ),
        (
            "nns",
            "the packet was seen at dst, but not at p1, p2: it took another way than predicted",
        ),
        ("sds", "the packet was seen at p1, dst, as predicted; not watched: p2 (no device)"),
        (
            "sdn",
            "the packet was last seen at p1; expected next at dst: look at the way from host h1 to "
            "host h3; not watched: p2 (no device)",
        ),
        (
            "ddd",
            "the packet was sent, and no port where it is expected could be watched; not watched: "
            "p1 (no device), p2 (no device), dst (no device)",
        ),
    ],
)
def test_the_summary_says_where_to_look(sights: str, text: str) -> None:
    assert summary(way(*sights), None, "") == text


def test_the_summary_knows_destinations_that_are_not_predicted() -> None:
    seen, missing = Place("its destination", Sight.SEEN), Place("its destination", Sight.NOT_SEEN)
    assert summary(way(*"sss")[:1], missing, "") == (
        "the packet was seen at p1, as predicted; it was not seen at its destination, as predicted"
    )
    assert summary((), seen, "") == (
        "the packet was sent; it was seen at its destination, although the trace does not predict "
        "that"
    )
    assert summary((), missing, "") == (
        "the packet was sent; it was not seen at its destination, as predicted"
    )


def test_a_function_is_suspected_only_if_it_is_the_last_that_can_have_got_the_packet() -> None:
    first, returned, _ = way(*"sdn")
    second = Place("p3", Sight.NOT_WATCHED, Direction.TO, "h1")
    missing = Place("p4", Sight.NOT_SEEN, Direction.FROM, "h1")
    text = summary([first, returned, second, missing], None, "")
    assert "look at the way to it, with the flows and the log of host h1; not watched" in text
    assert "look at the way to it" in summary([first, second, missing], None, "")
    seen = replace(returned, sight=Sight.SEEN, reason="")
    for before in ([], [first, seen]):
        text = summary([*before, replace(second, sight=Sight.SEEN), missing], None, "")
        assert text.endswith("look at the function, which has got it and has not returned it")
    text = summary([first, returned, missing], None, "")
    assert "look at the function, which has got it and has not returned it; not watched" in text


def test_the_summary_names_each_place_once_and_no_more_than_eight() -> None:
    (place, *_) = way(*"sss")
    assert summary([place, place], None, "") == "the packet was seen at p1, as predicted"
    many = [replace(place, label=str(number)) for number in range(10)]
    assert summary(many[:8], None, "").endswith("6, 7, as predicted")
    assert summary(many[:9], None, "").endswith("6, 7, 1 more, as predicted")
    assert summary(many, None, "").endswith("6, 7, 2 more, as predicted")


def test_a_destination_that_could_not_be_watched_is_named() -> None:
    end = Place("its destination", Sight.NOT_WATCHED)
    assert summary(way(*"sss")[:1], end, "") == (
        "the packet was seen at p1, as predicted; not watched: its destination"
    )


def test_a_packet_that_was_not_sent_was_not_lost() -> None:
    assert summary(way(*"nnn"), None, "the host is busy") == (
        "no packet was sent: the host is busy"
    )


def test_a_viewer_who_sees_no_hosts_is_told_none() -> None:
    hidden = [replace(place, host="") for place in way(*"ssn")]
    assert summary(hidden, None, "").endswith("expected next at dst: look at the way to it")


def test_hosts_send_first_packets_and_no_others() -> None:
    icmp6 = replace(PACKET, ethertype="IPv6", source="fd00::1", destination="fd00::2")
    sendable = (
        PACKET,
        replace(PACKET, protocol=protocols.TCP),
        replace(PACKET, protocol=protocols.ICMP, source_port=8, destination_port=0),
        replace(PACKET, protocol=47),
        replace(PACKET, protocol=50),
        replace(icmp6, protocol=protocols.ICMPV6, source_port=128, destination_port=0),
    )
    assert [why_not_sendable(one) for one in sendable] == [""] * len(sendable)
    for packet in (
        replace(PACKET, is_established=True),
        replace(PACKET, labels=(Label(1),)),
        replace(PACKET, outer=(mac("a"), mac("b"))),
        replace(PACKET, nsh=(1, 2, 3)),
        replace(PACKET, vlan=0),
        replace(PACKET, tunnel_id=5),
        replace(PACKET, protocol=protocols.SCTP),
        replace(PACKET, protocol=protocols.ICMP, source_port=5, destination_port=0),
        replace(PACKET, protocol=protocols.ICMP, source_port=8, destination_port=1),
        replace(PACKET, protocol=protocols.ICMPV6, source_port=128, destination_port=0),
        replace(PACKET, protocol=protocols.ICMPV6, source_port=8, destination_port=0),
        replace(icmp6, protocol=protocols.ICMPV6, source_port=134, destination_port=0),
        replace(icmp6, protocol=protocols.ICMP, source_port=8, destination_port=0),
        replace(icmp6, protocol=44),
        replace(icmp6, protocol=0),
    ):
        assert why_not_sendable(packet), packet
