"""What packets look like along a chain whose functions change them."""

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


def test_what_a_function_gives_takes_the_place_of_what_was() -> None:
    before, behind, last = headers.along(OPEN, (NAT, PLAIN))
    assert before == OPEN
    assert (behind.source_prefixes, behind.source_ports) == (("10.0.0.99/32",), (1024, 65535))
    assert (behind.destination_prefixes, behind.destination_ports) == (
        OPEN.destination_prefixes,
        (100, 100),
    )
    assert not behind.source_port_known, "the source's own addresses are gone"
    assert last == behind


def test_replies_carry_in_reverse_what_the_packets_carried_there() -> None:
    way = headers.along(OPEN, (PLAIN, NAT, PLAIN))
    back = headers.back(way, (PLAIN, NAT, PLAIN))
    assert back[0] == back[1] == headers.turned(way[3])
    assert back[0].destination_prefixes == ("10.0.0.99/32",)
    assert back[2].destination_prefixes == ("10.0.0.0/24",), "open in the classifier: what goes in"
    assert back[2].destination_ports == (23, 23)
    known = replace(OPEN, source_prefixes=("10.0.0.10/32",))
    back = headers.back(headers.along(known, (NAT,)), (NAT,))
    assert back[1] == headers.turned(known), "what the classifier says is more exact"


def test_only_changes_are_written_down() -> None:
    ways = [headers.along(one, (PLAIN, NAT, PLAIN)) for one in (OPEN, classifier())]
    first, second, third = headers.changes(ways)
    assert first == third == ()
    assert second == tuple(way[2] for way in ways)


tuples: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["source_ip_prefix", "destination_ip_prefix"]),
    st.sampled_from(["10.1.0.0/16", "10.2.0.1/32"]),
)


@given(st.lists(tuples, max_size=4))
def test_there_and_back_again(mappings: list[dict[str, Any]]) -> None:
    """Without anything left open, replies look at every place like the answer to what was sent there."""
    groups = [replace(PLAIN, egress_n_tuple=mapping) for mapping in mappings]
    way = headers.along(classifier(), groups)
    answers: list[Classifier] = [headers.turned(header) for header in reversed(way)]
    assert headers.back(way, groups) == answers
