"""Which chains use what."""

from hypothesis import given
from hypothesis import strategies as st

from portchain.host.chain_index import ChainIndex

NAMES = st.sampled_from("abcd")
PORTS = st.frozensets(st.sampled_from("1234"))


@given(st.lists(st.tuples(NAMES, PORTS)), PORTS, PORTS)
def test_both_directions_follow_every_change(
    changes: list[tuple[str, frozenset[str]]], asked: frozenset[str], here: frozenset[str]
) -> None:
    index, expected = ChainIndex(), dict[str, frozenset[str]]()
    for chain_id, ports in changes:
        index.put(chain_id, ports)
        expected[chain_id] = ports
    assert index.chains_with(asked) == {one for one, ports in expected.items() if ports & asked}
    for chain_id, ports in expected.items():
        shared = ports & here
        sharing = {one for one, others in expected.items() if others & shared}
        assert index.sharing([chain_id], here) == sharing


def test_nothing_is_kept_of_chains_that_have_gone() -> None:
    index = ChainIndex()
    index.put("a", frozenset("12"))
    index.put("a", frozenset())
    assert (index._chains, index._used) == ({}, {})
