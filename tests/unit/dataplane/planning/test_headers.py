"""Header fields along a chain whose functions change them."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portchain.core.model import AddressPair, FlowClassifier, Port, PortChain, PortPairGroup
from portchain.dataplane.plan import Classifier, Receiver
from portchain.dataplane.planning import headers
from tests.plans import classifier

PLAIN = PortPairGroup("plain", "alice", 1)
NAT = replace(
    PLAIN,
    ingress_n_tuple={"source_ip_prefix": "10.0.0.0/24"},
    egress_n_tuple={"source_ip_prefix": "10.0.0.99/32", "source_port_range_min": 1024},
)
OPEN = classifier(source_prefixes=(), source_port_known=True)


def test_egress_n_tuple_replaces_fields() -> None:
    before, behind, last = headers.headers_along_path(OPEN, (NAT, PLAIN))
    assert before == OPEN
    assert (behind.source_prefixes, behind.source_ports) == (("10.0.0.99/32",), (1024, 65535))
    assert (behind.destination_prefixes, behind.destination_ports) == (
        OPEN.destination_prefixes,
        (100, 100),
    )
    assert not behind.source_port_known, "the source's own addresses have been replaced"
    assert last == behind


def test_replies_have_reversed_headers_of_requests() -> None:
    sent = headers.headers_along_path(OPEN, (PLAIN, NAT, PLAIN))
    replies = headers.reply_headers(sent, (PLAIN, NAT, PLAIN))
    assert replies[0] == replies[1] == headers.reply_header(sent[3])
    assert replies[0].destination_prefixes == ("10.0.0.99/32",)
    assert replies[2].destination_prefixes == ("10.0.0.0/24",), (
        "the classifier leaves it open: ingress_n_tuple"
    )
    assert replies[2].destination_ports == (23, 23)
    known = replace(OPEN, source_prefixes=("10.0.0.10/32",))
    replies = headers.reply_headers(headers.headers_along_path(known, (NAT,)), (NAT,))
    assert replies[1] == headers.reply_header(known), (
        "the classifier is more specific than ingress_n_tuple"
    )


def test_changes_per_hop_are_empty_without_change() -> None:
    header_lists = [
        headers.headers_along_path(one, (PLAIN, NAT, PLAIN)) for one in (OPEN, classifier())
    ]
    first, second, third = headers.changes_per_hop(header_lists)
    assert first == third == ()
    assert second == tuple(sent[2] for sent in header_lists)


tuples: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["source_ip_prefix", "destination_ip_prefix"]),
    st.sampled_from(["10.1.0.0/16", "10.2.0.1/32"]),
)


@given(st.lists(tuples, max_size=4))
def test_reply_headers_mirror_request_headers(mappings: list[dict[str, Any]]) -> None:
    """If the classifier leaves nothing open, replies mirror the requests at every hop."""
    groups = [replace(PLAIN, egress_n_tuple=mapping) for mapping in mappings]
    sent = headers.headers_along_path(classifier(), groups)
    answers: list[Classifier] = [headers.reply_header(header) for header in reversed(sent)]
    assert headers.reply_headers(sent, groups) == answers


FIELDS = FlowClassifier(
    "fc", "alice", "", "IPv4", 6, (1000, 2000), (80, 81), "10.0.0.0/24", "10.0.1.0/24"
)
MAC = "fa:16:3e:00:00:01"
PORTS = {
    "client": Port("client", "net", "alice", MAC, ("10.0.0.10",), port_security=False),
    "server": Port(
        "server", "net", "alice", MAC, ("10.0.1.10",),
        address_pairs=(AddressPair("10.0.1.99/32", MAC),),
    ),
}  # fmt: skip


def test_header_fields_of_a_classifier() -> None:
    found = headers.classifier_header(FIELDS, {})
    assert found == Classifier(
        "IPv4", 6, (1000, 2000), (80, 81), ("10.0.0.0/24",), ("10.0.1.0/24",)
    )
    named = replace(FIELDS, logical_source_port="client", logical_destination_port="server")
    assert headers.classifier_header(named, PORTS) == replace(
        found,
        destination_prefixes=("10.0.1.10/32", "10.0.1.99/32"),
        source_port_known=True,
        receiver=Receiver(("10.0.1.10/32",), (MAC,), ("10.0.1.99/32",)),
    )


def symmetric(*groups: PortPairGroup, **classifier: Any) -> PortChain:
    fc = replace(FIELDS, **classifier)
    return PortChain("pc", "alice", 1, groups, (fc,), symmetric=True)


def test_replies_go_to_the_named_source() -> None:
    client = Receiver(("10.0.0.10/32",), (MAC,))
    for ends, known, receiver in (
        ({}, False, None),
        ({"logical_source_port": "client"}, False, client),
        ({"logical_destination_port": "server"}, True, None),
        ({"logical_source_port": "client", "logical_destination_port": "server"}, True, client),
    ):
        (along_path,) = headers.headers_of_replies(symmetric(PLAIN, **ends), PORTS)
        assert len(along_path) == 2
        for header in along_path:
            assert (header.source_port_known, header.receiver) == (known, receiver), ends
            assert header.destination_prefixes == ("10.0.0.0/24",)
            assert (header.source_ports, header.destination_ports) == ((80, 81), (1000, 2000))


def test_replies_go_to_the_named_source_behind_the_function_that_translated_it() -> None:
    chain = symmetric(PLAIN, NAT, logical_source_port="client")
    (along_path,) = headers.headers_of_replies(chain, PORTS)
    assert [header.receiver is not None for header in along_path] == [False, True, True]


def test_packets_go_to_the_named_destination_until_a_function_changes_that() -> None:
    elsewhere = replace(PLAIN, egress_n_tuple={"destination_ip_prefix": "10.0.1.20/32"})
    chain = symmetric(NAT, elsewhere, PLAIN, logical_destination_port="server")
    (along_path,) = headers.request_headers(chain, PORTS)
    assert [header.receiver is not None for header in along_path] == [True, True, False, False]


def test_mapping_of_ports() -> None:
    group = replace(
        PLAIN,
        egress_n_tuple={
            "source_port_range_min": 5, "source_port_range_max": 6,
            "destination_port_range_max": 7,
        },
    )  # fmt: skip
    behind = headers.headers_along_path(OPEN, [group])[1]
    assert (behind.source_ports, behind.destination_ports) == ((5, 6), (0, 7))
