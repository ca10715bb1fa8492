"""Functions that keep VLAN tags, on hosts that need no tags."""

from dataclasses import fields, replace

from portchain.core.function_kinds import L2, VLAN_KEEPING, traits_of
from portchain.core.model import VLAN, ChainSnapshot, FunctionKind, PortChain
from portchain.drivers.hosts.tags import untagged_chain
from tests.unit.dataplane.planning.test_planner import snapshot


def tagged(chain: PortChain) -> PortChain:
    groups = [
        replace(
            group,
            port_pairs=tuple(
                replace(pair, kind=FunctionKind.L2, correlation=VLAN) for pair in group.port_pairs
            ),
        )
        for group in chain.port_pair_groups
    ]
    return replace(chain, port_pair_groups=tuple(groups))


def test_no_chain_of_a_snapshot_has_functions_with_tags() -> None:
    plain = snapshot()
    chain = tagged(plain.chain)
    # Whatever fields a snapshot has for chains of its graph, they count.
    others = {
        field.name: (chain,)
        for field in fields(ChainSnapshot)
        if field.type == tuple[PortChain, ...]
    }
    assert others.keys() == {"predecessors", "successors", "earlier"}
    found = untagged_chain(replace(plain, chain=chain, **others))
    chains = [found.chain, *(one for name in others for one in getattr(found, name))]
    pairs = [pair for one in chains for group in one.port_pair_groups for pair in group.port_pairs]
    assert {traits_of(pair) for pair in pairs} == {L2}
    given = [pair for group in chain.port_pair_groups for pair in group.port_pairs]
    assert {traits_of(pair) for pair in given} == {VLAN_KEEPING}
