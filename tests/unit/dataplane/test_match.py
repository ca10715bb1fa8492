"""Classifiers as OpenFlow matches."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core.boxes import Box
from portchain.dataplane.match import (
    address_matches,
    addresses_within,
    classifier_matches,
    covers_dhcp,
    covers_neighbour_discovery,
    field_intervals,
    header_matches,
    ip_versions,
    masked_ports,
    matches_overlap,
    port_ranges,
    returned_matches,
    sent_matches,
    source_words,
    undecided_fragment_matches,
)
from portchain.dataplane.plan import Classifier, Receiver
from tests.plans import classifier
from tests.simulated_network import Header

ports = st.integers(0, 65535)
maybe_a_range = st.none() | st.tuples(ports, ports).map(lambda ends: (min(ends), max(ends)))


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
        (
            {
                "ethertype": "IPv4",
                "protocol": 6,
                "source_ports": (0, 0),
                "destination_ports": (1, 1),
            },
            {"tcp", "tp_src=0", "tp_dst=1"},
        ),
        ({"ethertype": "IPv4", "protocol": 17, "source_ports": (0, 65535)}, {"udp"}),
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
        (
            {"protocol": 1, "source_ports": (3, 3), "destination_ports": (4, 4)},
            [{"icmp", "nw_frag=yes"}],
        ),
        ({"ethertype": "IPv6"}, []),
        (
            {"ethertype": "IPv6", "protocol": 17},
            [
                {"udp6", "nw_frag=yes"},
                {"ipv6", "nw_frag=later"},
                {"ipv6", "nw_proto=0", "nw_frag=no"},
            ],
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


@given(maybe_a_range, maybe_a_range, st.sampled_from(["IPv4", "IPv6"]))
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


@pytest.mark.parametrize(
    ("ethertype", "prefixes", "within"),
    [
        ("IPv4", ("10.0.0.0/24", "10.9.0.0/16"), ["10.0.0.7/32", "10.9.9.9/32"]),
        ("IPv4", (), ["10.0.0.7/32", "10.9.9.9/32"]),
        ("IPv6", ("2001:db8::/64",), ["2001:db8::7/128"]),
        ("IPv6", (), ["2001:db8::7/128"]),
    ],
)
def test_addresses_of_the_classifier_s_version_within_its_prefixes(ethertype, prefixes, within):
    named = Classifier(ethertype, source_prefixes=prefixes)
    assert [*addresses_within(("10.0.0.7", "10.9.9.9", "2001:db8::7"), named)] == within


def test_sources_and_destinations_are_matched_as_asked():
    named = Classifier(
        "IPv4", source_prefixes=("10.0.0.0/24",), destination_prefixes=("10.1.0.0/16",)
    )

    def found(**changes):
        return [set(match.words) for match in header_matches(named, **changes)]

    assert found() == [{"ip", "nw_src=10.0.0.0/24", "nw_dst=10.1.0.0/16"}]
    assert found(sources=("10.0.0.1/32", "10.0.0.2/32"), destinations=("10.1.0.1/32",)) == [
        {"ip", f"nw_src=10.0.0.{n}", "nw_dst=10.1.0.1"} for n in (1, 2)
    ]
    assert found(any_source=True, sources=("10.0.0.1/32",)) == [{"ip", "nw_dst=10.1.0.0/16"}]
    assert found(destinations=("10.1.0.1/32", "0.0.0.0/0")) == [{"ip", "nw_src=10.0.0.0/24"}]


def test_words_of_source_addresses_are_those_of_the_classifier_s_version():
    assert source_words(Classifier("IPv4"), ("10.0.0.0/24", "10.1.0.1/32")) == [
        "nw_src=10.0.0.0/24",
        "nw_src=10.1.0.1",
    ]
    assert source_words(Classifier("IPv6"), ("fd00::1/128",)) == ["ipv6_src=fd00::1"]
    assert source_words(Classifier("IPv4"), ("10.0.0.0/24", "0.0.0.0/0")) == []
    assert [*address_matches(("10.0.0.1", "fd00::1"))] == [
        ("ip", "nw_src=10.0.0.1"),
        ("ipv6", "ipv6_src=fd00::1"),
    ]


RECEIVER = Receiver(("10.1.0.1/32",), ("fa:16:3e:00:00:01", "fa:16:3e:00:00:02"), ("10.1.0.9/32",))
TO_RECEIVER = Classifier("IPv4", destination_prefixes=("10.1.0.0/24",), receiver=RECEIVER)


def ranked(found):
    """Ranks and words, in an order that does not depend on hashes, as that of sets does."""
    return sorted(((rank, set(match.words)) for rank, match in found), key=in_order)


def in_order(ranked_words):
    rank, words = ranked_words
    return rank, sorted(words)


def test_where_packets_are_sent_their_address_says_more_than_their_frame():
    """A frame to the receiver can be for an address behind it, and a shared one for another."""
    assert ranked(sent_matches(TO_RECEIVER)) == [
        (0, {"ip", "nw_dst=10.1.0.1"}),
        (1, {"ip", "nw_dst=10.1.0.0/24", "dl_dst=fa:16:3e:00:00:01"}),
        (1, {"ip", "nw_dst=10.1.0.0/24", "dl_dst=fa:16:3e:00:00:02"}),
        (2, {"ip", "nw_dst=10.1.0.9"}),
    ]
    anybody = replace(TO_RECEIVER, receiver=None)
    assert ranked(sent_matches(anybody)) == [(0, {"ip", "nw_dst=10.1.0.0/24"})]
    nobody = replace(TO_RECEIVER, receiver=Receiver())
    assert ranked(sent_matches(nobody)) == []


def test_where_packets_are_returned_frames_say_nothing():
    named = replace(TO_RECEIVER, source_prefixes=("10.0.0.0/24",))
    to_prefix, source = {"ip", "nw_dst=10.1.0.0/24"}, {"nw_src=10.0.0.0/24"}
    exact = {"ip", "nw_dst=10.1.0.1"}
    assert ranked(returned_matches(named)) == [(0, exact | source), (1, to_prefix | source)]
    assert ranked(returned_matches(named, any_source=True)) == [(0, exact), (1, to_prefix)]
    without = replace(named, receiver=Receiver(shared_addresses=("10.1.0.9/32",)))
    assert ranked(returned_matches(without)) == [(1, to_prefix | source)]
    assert ranked(returned_matches(replace(named, receiver=None))) == [(0, to_prefix | source)]


@pytest.mark.parametrize(
    ("named", "covers"),
    [
        (Classifier("IPv6"), True),
        (Classifier("IPv6", 58), True),
        (Classifier("IPv6", 58, (128, 128)), False),
        (Classifier("IPv6", 17), False),
        (Classifier("IPv4"), False),
    ],
)
def test_neighbour_discovery_is_icmp_of_any_type(named, covers):
    assert covers_neighbour_discovery(named) is covers


@pytest.mark.parametrize(
    ("named", "covers"),
    [
        (Classifier("IPv4"), True),
        (Classifier("IPv4", 17), True),
        (Classifier("IPv4", 6), False),
        (Classifier("IPv6", 17), False),
        (Classifier("IPv4", 17, (68, 68), (67, 67)), True),
        (Classifier("IPv4", 17, (1, 68), (67, 99)), True),
        (Classifier("IPv4", 17, (1, 67)), False),
        (Classifier("IPv4", 17, (69, 99)), False),
        (Classifier("IPv4", 17, None, (68, 99)), False),
        (Classifier("IPv4", 17, None, (1, 66)), False),
    ],
)
def test_dhcp_has_its_protocol_and_both_ports(named, covers):
    assert covers_dhcp(named, "IPv4", (68, 67)) is covers


def test_words_of_a_protocol_say_which_version_packets_have():
    assert ip_versions(frozenset({"tcp", "in_port=1"})) == {"IPv4"}
    assert ip_versions(frozenset({"icmp6"})) == {"IPv6"}
    assert ip_versions(frozenset({"in_port=1"})) == {"IPv4", "IPv6"}


# --- Matches that one packet can have in common.


def intervals_overlap(one, other):
    boxes = [Box("", field_intervals(each, port_ranges(each)), ()) for each in (one, other)]
    return boxes[0].overlaps(boxes[1])


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
    assert intervals_overlap(frozenset(one), frozenset(other)) is wanted


APART = [
    ({"udp"}, {"udp6"}),
    ({"ip"}, {"ipv6"}),
    ({"ip", "nw_proto=47"}, {"udp"}),
    ({"ip", "nw_proto=47"}, {"ip", "nw_proto=48"}),
    ({"udp6", "ipv6_src=fd00::1"}, {"udp6", "ipv6_src=fd00::2"}),
    ({"udp6", "ipv6_dst=fd00::/64"}, {"udp6", "ipv6_dst=fd00:1::/64"}),
    ({"ip", "dl_dst=fa:16:3e:00:00:01"}, {"ip", "dl_dst=fa:16:3e:00:00:02"}),
    ({"icmp", "icmp_type=8"}, {"icmp", "icmp_type=0"}),
    ({"icmp", "icmp_type=3", "icmp_code=0"}, {"icmp", "icmp_type=3", "icmp_code=255"}),
    ({"tcp", "tp_src=0x8000/0x8000"}, {"tcp", "tp_src=32767"}),
    ({"udp", "tp_dst=5"}, {"tcp", "tp_dst=5"}),
]
TOGETHER = [
    ({"ip"}, {"udp", "tp_dst=5"}),
    ({"ip", "nw_proto=47"}, {"ip"}),
    ({"ip"}, {"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"}),
    ({"ipv6"}, {"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"}),
    ({"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"}, {"dl_dst=33:33:00:00:00:01"}),
    ({"icmp6", "icmp_type=8"}, {"icmp6", "icmp_code=255"}),
    ({"in_port=1", "reg8=5"}, {"in_port=1", "reg8=6"}),
    ({"tcp", "tp_src=0x8000/0x8000"}, {"tcp", "tp_src=65535"}),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_matches_that_exclude_each_other_do_not_overlap(one, other):
    for first, second in itertools.permutations((frozenset(one), frozenset(other))):
        assert not matches_overlap(first, second)
        assert not intervals_overlap(first, second)


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_matches_of_which_no_field_differs_overlap(one, other):
    """Words that are not compared, such as those of registers, tell nothing apart."""
    for first, second in itertools.permutations((frozenset(one), frozenset(other))):
        assert matches_overlap(first, second)
        assert intervals_overlap(first, second)


def test_intervals_of_masks_that_are_no_prefix_contain_other_values_too():
    """Intervals that do not overlap exclude each other, not the reverse."""
    multicast = frozenset({"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"})
    unicast = frozenset({"dl_dst=fa:16:3e:00:00:01"})
    assert not matches_overlap(multicast, unicast)
    assert intervals_overlap(multicast, unicast)


def test_a_range_of_ports_can_be_given_instead_of_a_word():
    """A conjunction has the range in its number, and no word for it."""

    def box(ports):
        return Box("", field_intervals(frozenset({"tcp"}), ports), ())

    assert port_ranges(frozenset({"tcp", "tp_src=7", "tp_dst=0x8/0xfff8"})) == {
        "tp_src": (7, 7),
        "tp_dst": (8, 15),
    }
    some, more = box({"tp_src": (5, 9)}), box({"tp_src": (9, 12)})
    assert some.overlaps(more)
    assert some.overlaps(box({"tp_dst": (1, 1)}))
    assert not some.overlaps(box({"tp_src": (10, 12)}))
