"""Keys of classifiers: whatever overlaps goes together."""

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from portchain.core import search_keys
from portchain.core.model import FlowClassifier
from portchain.core.rules import overlap

PREFIXES = {
    "IPv4": st.builds(
        lambda number, length: str(ip_network((number, length), strict=False)),
        st.sampled_from([0, 0x0A000000, 0x0A0001FF, 0xFFFFFFFF]),
        st.integers(0, 32),
    ),
    "IPv6": st.builds(
        lambda number, length: str(ip_network((number << 96 | number, length), strict=False)),
        st.sampled_from([0xFD000000, 0xFD0000FF]),
        st.integers(0, 128),
    ),
}
PORTS = st.one_of(
    st.none(),
    st.tuples(*[st.sampled_from([0, 80, 81, 95, 96, 4095, 4096, 65535])] * 2).map(
        lambda ends: (min(ends), max(ends))
    ),
)


@st.composite
def classifiers(draw: st.DrawFn) -> FlowClassifier:
    ethertype = draw(st.sampled_from(sorted(PREFIXES)))
    protocol = draw(st.sampled_from([None, 6, 17, 132]))
    return FlowClassifier(
        id="a-classifier",
        project_id="a-project",
        ethertype=ethertype,
        protocol=protocol,
        source_ports=draw(PORTS) if protocol else None,
        destination_ports=draw(PORTS) if protocol else None,
        source_prefix=draw(st.none() | PREFIXES[ethertype]),
        destination_prefix=draw(st.none() | PREFIXES[ethertype]),
    )


def keys(one: FlowClassifier) -> list[str]:
    return [
        search_keys.address_key(one.ethertype, one.source_prefix),
        search_keys.address_key(one.ethertype, one.destination_prefix),
        search_keys.ports_key(one.protocol, one.source_ports),
        search_keys.ports_key(one.protocol, one.destination_ports),
    ]


@given(classifiers(), classifiers())
def test_keys_of_classifiers_that_overlap_begin_alike(
    one: FlowClassifier, other: FlowClassifier
) -> None:
    if overlap(one, other):
        for key, beside in zip(keys(one), keys(other), strict=True):
            assert key.startswith(beside) or beside.startswith(key)


@given(classifiers(), classifiers())
def test_what_goes_with_a_key_is_a_beginning_or_lies_between_the_key_and_its_end(
    one: FlowClassifier, other: FlowClassifier
) -> None:
    for key, beside in zip(keys(one), keys(other), strict=True):
        goes = key.startswith(beside) or beside.startswith(key)
        found = beside in search_keys.beginnings(key) or key < beside < search_keys.end(key)
        assert found == goes


def test_keys_have_the_digits_that_all_values_share() -> None:
    assert search_keys.address_key("IPv4", None) == "4"
    assert search_keys.address_key("IPv4", "10.1.2.3/32") == "40a010203"
    assert search_keys.address_key("IPv4", "10.1.2.0/23") == "40a010"
    assert search_keys.address_key("IPv6", "fd00:12::/36") == "6fd0000120"
    assert search_keys.ports_key(None, None) == ""
    assert search_keys.ports_key(6, None) == "06"
    assert search_keys.ports_key(17, (80, 80)) == "110050"
    assert search_keys.ports_key(6, (80, 95)) == "06005"
    assert search_keys.ports_key(6, (4095, 4096)) == "06"
    assert search_keys.ports_key(6, (0x0150, 0x1150)) == "06", "equal digits behind others"
    assert search_keys.beginnings("40a") == ["", "4", "40", "40a"]
