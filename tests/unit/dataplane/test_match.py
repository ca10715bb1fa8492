"""Classifiers as OpenFlow matches."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.match import (
    addresses_within,
    classifier_matches,
    header_matches,
    masked_ports,
    matches_overlap,
    undecided_fragment_matches,
)
from portchain.dataplane.plan import Classifier
from tests.plans import classifier
from tests.simulated_network import Header

ports = st.integers(0, 65535)
port_ranges = st.none() | st.tuples(ports, ports).map(lambda ends: (min(ends), max(ends)))


@given(st.tuples(ports, ports).map(lambda ends: (min(ends), max(ends))))
def test_masked_ports_cover_exactly_the_range(ends):
    cover = masked_ports(ends)
    covered = sorted(
        itertools.chain.from_iterable(
            range(value, value + (0x10000 - mask)) for value, mask in cover
        )
    )
    assert covered == list(range(ends[0], ends[1] + 1))
    assert all(value & mask == value for value, mask in cover)
    assert len(cover) <= 30  # the worst case for 16 bits


def test_masked_ports_are_few():
    assert masked_ports((0, 65535)) == [(0, 0)]
    assert masked_ports((1024, 65535)) == [(1024 << n, 0x10000 - (1024 << n)) for n in range(6)]
    assert masked_ports((23, 23)) == [(23, 0xFFFF)]


def test_specification_classifier_needs_one_match():
    assert classifier_matches(classifier()) == [
        frozenset({"tcp", "nw_src=10.0.0.10", "nw_dst=10.0.0.20", "tp_src=23", "tp_dst=100"})
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ethertype": "IPv4"}, {"ip"}),
        ({"ethertype": "IPv6"}, {"ipv6"}),
        ({"ethertype": "IPv4", "protocol": 1}, {"icmp"}),
        ({"ethertype": "IPv6", "protocol": 58}, {"icmp6", "nw_frag=no"}),
        (
            {
                "ethertype": "IPv4",
                "protocol": 1,
                "source_ports": (3, 3),
                "destination_ports": (4, 4),
            },
            {"icmp", "icmp_type=3", "icmp_code=4"},
        ),
        (
            {"ethertype": "IPv6", "protocol": 58, "source_ports": (128, 128)},
            {"icmp6", "icmp_type=128"},
        ),
        (
            {"ethertype": "IPv4", "protocol": 1, "source_ports": (0, 0)},
            {"icmp", "icmp_type=0", "nw_frag=no"},
        ),
        (
            {"ethertype": "IPv6", "protocol": 47},
            {"ipv6", "nw_proto=47", "nw_frag=no"},
        ),
        (
            {"ethertype": "IPv4", "protocol": 6, "source_ports": (0, 0)},
            {"tcp", "tp_src=0", "nw_frag=no"},
        ),
        ({"ethertype": "IPv4", "protocol": 47}, {"ip", "nw_proto=47"}),
        ({"ethertype": "IPv6", "protocol": 17, "source_ports": (53, 53)}, {"udp6", "tp_src=53"}),
        ({"ethertype": "IPv4", "source_prefixes": ("10.0.0.0/24",)}, {"ip", "nw_src=10.0.0.0/24"}),
        (
            {"ethertype": "IPv6", "destination_prefixes": ("2001:db8::/64",)},
            {"ipv6", "ipv6_dst=2001:db8::/64"},
        ),
        ({"ethertype": "IPv4", "source_prefixes": ("0.0.0.0/0",)}, {"ip"}),
    ],
)
def test_classifiers_that_need_one_match(fields, expected):
    assert classifier_matches(Classifier(**fields)) == [frozenset(expected)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, []),
        ({"protocol": 17}, []),
        ({"protocol": 17, "source_ports": (0, 65535)}, []),
        ({"protocol": 17, "source_ports": (1, 65535)}, [{"udp", "nw_frag=yes"}]),
        ({"protocol": 6, "destination_ports": (0, 99)}, [{"tcp", "nw_frag=yes"}]),
        ({"protocol": 1, "source_ports": (8, 8)}, [{"icmp", "nw_frag=yes"}]),
        ({"ethertype": "IPv6"}, []),
        (
            {"ethertype": "IPv6", "protocol": 17},
            [{"udp6", "nw_frag=yes"}, {"ipv6", "nw_frag=later"}],
        ),
        (
            {"protocol": 17, "source_ports": (7, 7), "destination_prefixes": ("10.0.0.0/24",)},
            [{"udp", "nw_frag=yes", "nw_dst=10.0.0.0/24"}],
        ),
    ],
)
def test_fragments_that_hide_what_a_classifier_names(fields, expected):
    named = Classifier(**{"ethertype": "IPv4", **fields})
    matches = set(undecided_fragment_matches(named, header_matches))
    assert matches == {frozenset(words) for words in expected}


@given(port_ranges, port_ranges, st.sampled_from(["IPv4", "IPv6"]))
def test_fragments_are_chained_only_if_no_port_is_named(sources, destinations, ethertype):
    """The switch sees port 0 in fragments, and no protocol in those of IPv6."""
    one = Classifier(ethertype, 17, sources, destinations)
    takes_fragments = [
        "nw_frag=no" not in words
        and all(
            int(word.partition("=")[2].partition("/")[0], 0) == 0
            for word in words
            if word.startswith("tp_")
        )
        for words in classifier_matches(one)
    ]
    assert any(takes_fragments) != any(undecided_fragment_matches(one, header_matches))


def test_ranges_multiply():
    matches = classifier_matches(classifier(source_ports=(1, 2), destination_ports=(8, 11)))
    assert {
        (w for w in match if w.startswith("tp_")) and frozenset(w for w in match if "tp_" in w)
        for match in matches
    } == {
        frozenset({"tp_src=1", "tp_dst=0x8/0xfffc"}),
        frozenset({"tp_src=2", "tp_dst=0x8/0xfffc"}),
    }


def test_source_addresses_replace_the_prefix():
    narrow = classifier(source_prefixes=("10.0.0.0/24",))
    known = list(addresses_within(("10.0.0.7", "10.9.9.9", "2001:db8::7"), narrow))
    assert known == ["10.0.0.7/32"]
    assert {
        word for match in classifier_matches(narrow, known) for word in match if "nw_src" in word
    } == {"nw_src=10.0.0.7"}


words = st.builds(
    lambda protocol, source, destination, port: {
        protocol,
        f"tp_dst={port}",
        *([f"nw_src={source}"] if source else []),
        *([f"nw_dst={destination}"] if destination else []),
    },
    st.sampled_from(["udp", "tcp"]),
    st.sampled_from(["", "10.0.0.1", "10.0.0.2", "10.0.0.0/30"]),
    st.sampled_from(["", "10.0.0.1", "10.0.0.2", "10.0.0.0/31"]),
    st.sampled_from(["1", "2", "0x0/0xfffe", "0x2/0xfffe"]),
)


@given(words, words)
def test_matches_overlap_if_one_packet_can_match_both(one, other):
    packets = (
        Header(source, destination, protocol, 1, port)
        for source in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9")
        for destination in ("10.0.0.1", "10.0.0.2", "10.0.0.9")
        for protocol in (6, 17)
        for port in range(5)
    )
    wanted = any(packet.matches(one) and packet.matches(other) for packet in packets)
    assert matches_overlap(frozenset(one), frozenset(other)) is wanted


def test_matches_of_two_ip_versions_do_not_overlap():
    assert not matches_overlap(frozenset({"udp"}), frozenset({"udp6"}))
    assert matches_overlap(frozenset({"ip"}), frozenset({"udp", "tp_dst=5"}))
    assert matches_overlap(frozenset({"ip", "nw_proto=47"}), frozenset({"ip"}))
    assert not matches_overlap(frozenset({"ip", "nw_proto=47"}), frozenset({"udp"}))
    assert not matches_overlap(
        frozenset({"udp6", "ipv6_src=fd00::1"}), frozenset({"udp6", "ipv6_src=fd00::2"})
    )
