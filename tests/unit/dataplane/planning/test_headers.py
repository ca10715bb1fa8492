"""Header fields along a chain whose functions change them."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portchain.core.model import PortPairGroup
from portchain.dataplane.plan import Classifier
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
