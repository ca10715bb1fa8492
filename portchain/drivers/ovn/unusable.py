"""Which pairs take no traffic, and what that means for their chain: pure functions over a chain."""

from collections.abc import Iterator, Sequence

from portchain.core.availability import Availability, group_label
from portchain.core.model import PortChain
from portchain.drivers.ovn import lanes as lanes_of
from portchain.drivers.ovn.lanes import Lane


def usable(chain: PortChain, assessed: Availability) -> frozenset[str]:
    """Ids of the pairs that can take traffic."""
    pairs = (pair.id for group in chain.port_pair_groups for pair in group.port_pairs)
    return frozenset(pairs) - assessed.unavailable.keys()


def cautions(
    chain: PortChain,
    lanes: Sequence[Lane],
    sources: Sequence[str],
    assessed: Availability,
) -> Iterator[str]:
    """Say what is amiss with a chain that carries traffic.

    :param chain: as far as packets visit it.
    """
    anywhere = any(
        classifier.destination_prefix is None and classifier.logical_destination_port is None
        for classifier in chain.flow_classifiers
    )
    if lanes and anywhere and len(sources) > 1:
        yield "What one of its sources sends to another is dropped, because OVN cannot carry it"
    yield from assessed.warnings
    for group in lanes_of.standing_by(chain, lanes):
        yield (
            f"{group_label(group)} is not balanced, because OVN cannot do it between groups with fewer pairs: "
            "one pair takes all flows, the others stand by"
        )
