"""Which pairs take no traffic, and what that means for their chain: pure functions over a chain."""

from collections.abc import Container, Iterator, Mapping, Sequence

from portchain.core import availability
from portchain.core.model import ChainSnapshot, FailureMode, PortChain, PortPairGroup
from portchain.drivers.ovn import lanes as lanes_of
from portchain.drivers.ovn.lanes import Lane

_OFFLINE = "it does not pass its health check"

Reasons = Mapping[str, str]
"""Id of a pair -> why it takes no traffic; those that do are not in it."""


def reasons(snapshot: ChainSnapshot, offline: Container[str]) -> Reasons:
    """Say which pairs of a chain take no traffic.

    :param offline: ids of pairs that do not pass their health check.
    """
    pairs = [pair for group in snapshot.chain.port_pair_groups for pair in group.port_pairs]
    why = {pair.id: availability.why_not_in_place(pair, snapshot.ports) for pair in pairs}
    why |= {pair.id: availability.NO_WEIGHT for pair in pairs if not (why[pair.id] or pair.weight)}
    why |= {pair.id: _OFFLINE for pair in pairs if pair.id in offline}
    return {pair_id: reason for pair_id, reason in why.items() if reason}


def usable(chain: PortChain, why: Reasons) -> frozenset[str]:
    """Ids of the pairs that can take traffic."""
    pairs = (pair.id for group in chain.port_pair_groups for pair in group.port_pairs)
    return frozenset(pairs) - why.keys()


def left_out(chain: PortChain, why: Reasons) -> tuple[PortPairGroup, ...]:
    """The groups that packets do not visit because none of their pairs takes traffic, and they fail open."""
    return tuple(
        group
        for group in chain.port_pair_groups
        if group.failure_mode is FailureMode.OPEN and _is_closed_to_all(group, why)
    )


def obstacles(snapshot: ChainSnapshot, sources: Sequence[str], why: Reasons) -> Iterator[str]:
    """Say why a chain cannot carry traffic; nothing if it can."""
    chain = snapshot.chain
    without = left_out(chain, why)
    for group in chain.port_pair_groups:
        if group not in without and _is_closed_to_all(group, why):
            yield f"{availability.named(group)} has no pair that takes traffic{availability.in_brackets(chain, group, why)}"
    if chain.flow_classifiers and not any(snapshot.ports[port].host for port in sources):
        yield "No port whose traffic the flow classifiers name is bound to a host"


def cautions(
    chain: PortChain,
    lanes: Sequence[Lane],
    without: Sequence[PortPairGroup],
    sources: Sequence[str],
    why: Reasons,
) -> Iterator[str]:
    """Say what is amiss with a chain that carries traffic.

    :param chain: as far as packets visit it. ``without``: the groups that are left out.
    """
    anywhere = any(
        classifier.destination_prefix is None and classifier.logical_destination_port is None
        for classifier in chain.flow_classifiers
    )
    if lanes and anywhere and len(sources) > 1:
        yield "What one of its sources sends to another is dropped, because OVN cannot carry it"
    for group in without:
        yield (
            f"{availability.named(group)} is left out and packets go on without it: none of its pairs takes "
            f"traffic{availability.in_brackets(chain, group, why)}"
        )
    for group in lanes_of.standing_by(chain, lanes):
        yield (
            f"{availability.named(group)} is not balanced, because OVN cannot do it between groups with fewer pairs: "
            "one pair takes all flows, the others stand by"
        )


def _is_closed_to_all(group: PortPairGroup, why: Reasons) -> bool:
    return all(pair.id in why for pair in group.port_pairs)
