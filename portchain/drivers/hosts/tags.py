"""Treats functions that keep VLAN tags as functions that bridge. Pure.

A host tells the chains of a shared function apart without tags. The driver ``ovn`` used to need
them, and users still have such pairs.
"""

from dataclasses import replace

from portchain.core.function_kinds import VLAN_KEEPING, traits_of
from portchain.core.model import ChainSnapshot, PortChain, PortPair


def untagged_pair(pair: PortPair) -> PortPair:
    """Return a pair whose function gets frames without a tag."""
    return replace(pair, correlation=None) if traits_of(pair) is VLAN_KEEPING else pair


def untagged_chain(snapshot: ChainSnapshot) -> ChainSnapshot:
    """Return a chain whose functions, and those of other chains of its graph, get no tags."""
    return replace(
        snapshot,
        chain=_untagged(snapshot.chain),
        predecessors=tuple(map(_untagged, snapshot.predecessors)),
        successors=tuple(map(_untagged, snapshot.successors)),
        earlier=tuple(map(_untagged, snapshot.earlier)),
    )


def _untagged(chain: PortChain) -> PortChain:
    groups = (
        replace(group, port_pairs=tuple(map(untagged_pair, group.port_pairs)))
        for group in chain.port_pair_groups
    )
    return replace(chain, port_pair_groups=tuple(groups))
