"""Derives why a chain cannot forward traffic, has a warning, or skips a group.

Pure functions that all drivers share, so that owners of chains read the same words whatever driver
realises a chain. A driver adds what it alone knows with ``Availability.with_warnings``.
"""

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field, replace

from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)

_WEIGHT_ZERO = "its weight is 0"
_FAILS_HEALTH_CHECK = "it fails its health check"


@dataclass(frozen=True, slots=True)
class Availability:
    """The consequences of the state of a chain's ports for its traffic.

    :param unavailable: pair id -> why the pair gets no traffic; available pairs are left out.
    :param skipped: groups that packets do not visit: no pair is available, and they fail open.
    :param down_reasons: why the chain cannot forward traffic; none if it can. Such a chain is DOWN,
        and its traffic must be dropped rather than bypass the functions.
    :param warnings: what is wrong although the chain forwards traffic.
    """

    unavailable: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[PortPairGroup, ...] = ()
    down_reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def down_reason(self) -> str:
        """All reasons as one text; empty if there is none."""
        return "; ".join(self.down_reasons)

    @property
    def warning(self) -> str:
        """All warnings as one text; empty if there is none."""
        return "; ".join(self.warnings)

    def with_warnings(self, *warnings: str) -> "Availability":
        """Return the same with more warnings; empty ones are ignored."""
        return replace(self, warnings=(*self.warnings, *filter(None, warnings)))


def assess(
    snapshot: ChainSnapshot,
    *,
    same_host: bool = False,
    offline: Container[str] = (),
    fails_open: bool = False,
) -> Availability:
    """Assess a chain.

    :param same_host: the driver needs both ports of a pair on one host.
    :param offline: ids of the pairs that fail their health check.
    :param fails_open: the driver supports ``FailureMode.OPEN``.
    """
    chain = snapshot.chain
    unavailable = unavailable_pairs(snapshot, same_host=same_host, offline=offline)
    empty = [group for group in chain.port_pair_groups if _has_no_pair(group, unavailable)]
    skipped = tuple(
        group for group in empty if fails_open and group.failure_mode is FailureMode.OPEN
    )
    lacking = [group for group in empty if not group.tap_enabled and group not in skipped]
    return Availability(
        unavailable,
        skipped,
        tuple(_down_reasons(snapshot, lacking, unavailable, same_host)),
        tuple(_warnings(chain, empty, skipped, unavailable)),
    )


def unavailable_pairs(
    snapshot: ChainSnapshot, *, same_host: bool = False, offline: Container[str] = ()
) -> dict[str, str]:
    """Return the pairs of a chain that get no traffic, as pair id -> reason; see ``assess``."""
    reasons = {}
    for group in snapshot.chain.port_pair_groups:
        for pair in group.port_pairs:
            if pair.id in offline:
                reasons[pair.id] = _FAILS_HEALTH_CHECK
            elif reason := why_pair_unavailable(pair, snapshot.ports, same_host=same_host):
                reasons[pair.id] = reason
            elif not pair.weight:
                reasons[pair.id] = _WEIGHT_ZERO
    return reasons


def why_pair_unavailable(
    pair: PortPair, ports: Mapping[str, Port], *, same_host: bool = False
) -> str:
    """Return why no packets can be sent through a pair; empty if they can.

    :param ports: port id -> port, of all that exist.
    :param same_host: both ports must be on one host.
    """
    for side, port_id in (("ingress", pair.ingress), ("egress", pair.egress)):
        port = ports.get(port_id)
        if port is None:
            return f"its {side} port {port_id} no longer exists"
        if not port.host:
            return f"its {side} port {port.name or port_id} is not bound to a host"
        if not port.plugged:
            return f"its {side} port {port.name or port_id} is DOWN on host {port.host}"
    ingress, egress = ports[pair.ingress].host, ports[pair.egress].host
    if same_host and ingress != egress:
        return f"its ports are on different hosts ({ingress}, {egress})"
    return ""


def available_pairs(
    group: PortPairGroup, ports: Mapping[str, Port], *, same_host: bool = False
) -> list[PortPair]:
    """Return the pairs of a group that packets can visit, by id; see ``why_pair_unavailable``.

    A pair of weight 0 is among them: it gets no new flows.
    """
    return [
        pair
        for pair in sorted(group.port_pairs, key=lambda pair: pair.id)
        if not why_pair_unavailable(pair, ports, same_host=same_host)
    ]


def pair_weights(
    group: PortPairGroup, ports: Mapping[str, Port], *, same_host: bool = False
) -> tuple[tuple[str, int], ...]:
    """Return id and weight of each pair of ``available_pairs``."""
    pairs = available_pairs(group, ports, same_host=same_host)
    return tuple((pair.id, pair.weight) for pair in pairs)


def group_label(group: PortPairGroup) -> str:
    """Return how a group is called at the beginning of a sentence."""
    return f"Port pair group {group.name or group.id}"


def _chain_label(chain: PortChain, other: PortChain) -> str:
    """Return how another chain is called in a text for the owner of a chain."""
    return other.name or other.id if other.project_id == chain.project_id else "of another project"


def _has_no_pair(group: PortPairGroup, unavailable: Collection[str]) -> bool:
    return all(pair.id in unavailable for pair in group.port_pairs)


def _down_reasons(
    snapshot: ChainSnapshot,
    lacking: Collection[PortPairGroup],
    unavailable: Mapping[str, str],
    same_host: bool,
) -> Iterator[str]:
    chain, ports = snapshot.chain, snapshot.ports
    for group in lacking:
        reasons = _pair_reasons(chain, group, unavailable)
        yield f"{group_label(group)} has no available pair{reasons}"
    for before in snapshot.predecessors:
        last = before.last_group
        pairs = last.port_pairs if last else ()
        if all(why_pair_unavailable(pair, ports, same_host=same_host) for pair in pairs):
            yield (
                f"No function in the last group of the preceding port chain "
                f"{_chain_label(chain, before)} is available"
            )
    if chain.flow_classifiers and not snapshot.predecessors and not _has_bound_source(snapshot):
        yield "No source port of the flow classifiers is bound to a host"
        yield from _classifiers_without_source(snapshot)


def _has_bound_source(snapshot: ChainSnapshot) -> bool:
    ports = snapshot.ports
    return any(
        port_id in ports and ports[port_id].host
        for port_ids in snapshot.sources.values()
        for port_id in port_ids
    )


def _classifiers_without_source(snapshot: ChainSnapshot) -> Iterator[str]:
    """Say for which source prefixes no port is known, and what gives a chain one."""
    for classifier in snapshot.chain.flow_classifiers:
        if classifier.source_prefix and not snapshot.sources.get(classifier.id):
            yield (
                "no port on the networks of the functions may send from source_ip_prefix "
                f"{classifier.source_prefix} of flow classifier "
                f"{classifier.name or classifier.id}: add the address to allowed_address_pairs of "
                "the port that has it, or name the port as logical_source_port"
            )


def _warnings(
    chain: PortChain,
    empty: Collection[PortPairGroup],
    skipped: Collection[PortPairGroup],
    unavailable: Mapping[str, str],
) -> Iterator[str]:
    for group in empty:
        reasons = _pair_reasons(chain, group, unavailable)
        if group in skipped:
            yield f"{group_label(group)} is skipped, because it has no available pair{reasons}"
        elif group.tap_enabled:
            # A tap only observes: a chain forwards traffic without it.
            yield f"{group_label(group)} gets no copies{reasons}"


def _pair_reasons(chain: PortChain, group: PortPairGroup, unavailable: Mapping[str, str]) -> str:
    """Return why no pair of a group is available, in parentheses after a space.

    Empty for a group of another project: the chain's owner must not see its pairs, ports and hosts.
    """
    if group.project_id != chain.project_id:
        return ""
    each = (f"{pair.name or pair.id}: {unavailable[pair.id]}" for pair in group.port_pairs)
    return f" ({'; '.join(each) or 'it is empty'})"
