"""Derives why a chain cannot forward traffic, has a warning, or skips a group.

Pure functions that all drivers share, so that owners of chains read the same words whatever driver
realises a chain. A driver adds what it alone knows with ``Availability.with_warnings``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    OnFailure,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)

_WEIGHT_ZERO = "its weight is 0"
_FAILS_HEALTH_CHECK = "it fails its health check"
_ADMINISTRATIVELY_DOWN = "it is administratively down"
_STANDS_BY = "it is a backup, and others are available"

_NONE_FAILED: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Members:
    """What the pairs of a group do at the moment.

    :param weights: id -> share of new flows of each pair that packets can visit, sorted by id. A
        pair with 0 keeps the flows that it has.
    :param unavailable: id -> why the pair gets no new flows.
    :param returning: ids of the pairs that get no packets, but may hold some and return them.
    :param spare: how many of the healthy pairs may fail before none counts as available.
    :param standing_by: id -> weight of each healthy backup that gets no new flows.
    """

    weights: Mapping[str, int]
    unavailable: Mapping[str, str]
    returning: frozenset[str]
    spare: int = 0
    standing_by: Mapping[str, int] = field(default_factory=dict)


def members_of(
    group: PortPairGroup,
    ports: Mapping[str, Port],
    failed: Mapping[str, str] = _NONE_FAILED,
    *,
    same_host: bool = False,
) -> Members:
    """Decide which pairs of a group get packets, and which share of new flows.

    A pair is healthy if its ports are plugged in, it is administratively up, and it does not fail
    its health check. Backups get new flows only while no other healthy pair does.

    :param ports: port id -> port, of all that exist.
    :param failed: id of each pair that fails its health check -> what its host says of it.
    :param same_host: the driver needs both ports of a pair on one host.
    """
    pairs = sorted(group.port_pairs, key=lambda pair: pair.id)
    unavailable: dict[str, str] = {}
    weights: dict[str, int] = {}
    healthy = set()
    returning = set()
    for pair in pairs:
        if reason := why_pair_unavailable(pair, ports, same_host=same_host):
            unavailable[pair.id] = reason
            continue
        returning.add(pair.id)
        if not pair.admin_state_up:
            unavailable[pair.id] = _ADMINISTRATIVELY_DOWN
        elif pair.id in failed:
            unavailable[pair.id] = _joined(_FAILS_HEALTH_CHECK, failed[pair.id])
            if group.on_failure is OnFailure.KEEP:
                weights[pair.id] = 0
        else:
            healthy.add(pair.id)
            weights[pair.id] = pair.weight
            if not pair.weight:
                unavailable[pair.id] = _WEIGHT_ZERO
    backups = {
        pair.id: weight for pair in pairs if pair.backup and (weight := weights.get(pair.id))
    }
    standing_by = {}
    if any(weights[pair_id] for pair_id in weights.keys() - backups.keys()):
        standing_by = backups
        weights |= dict.fromkeys(backups, 0)
        unavailable |= dict.fromkeys(backups, _STANDS_BY)
    spare = len(healthy) - (group.min_healthy if group.min_healthy > 1 else 0)
    if spare < 0:
        reason = f"min_healthy is {group.min_healthy}, and {len(healthy)} of the group are healthy"
        unavailable = dict.fromkeys(healthy, reason) | unavailable
        weights = {}
    if group.tap_enabled:
        returning.clear()  # a tap returns nothing
    left = frozenset(returning - weights.keys())
    return Members(weights, unavailable, left, max(spare, 0), standing_by)


def _joined(reason: str, detail: str) -> str:
    return f"{reason}: {detail}" if detail else reason


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
    offline: Iterable[str] = (),
    fails_open: bool = False,
) -> Availability:
    """Assess a chain.

    :param same_host: the driver needs both ports of a pair on one host.
    :param offline: ids of the pairs that fail a health check which the driver does on its own,
        besides those in ``snapshot.failed``.
    :param fails_open: the driver supports ``FailureMode.OPEN``.
    """
    chain = snapshot.chain
    unavailable = unavailable_pairs(snapshot, same_host=same_host, offline=offline)
    empty = [group for group in chain.port_pair_groups if _has_no_pair(group, unavailable)]
    skipped = tuple(
        group
        for group in empty
        if fails_open and group.failure_mode is FailureMode.OPEN and not group.tap_enabled
    )
    lacking = [group for group in empty if not group.tap_enabled and group not in skipped]
    return Availability(
        unavailable,
        skipped,
        tuple(_down_reasons(snapshot, lacking, unavailable, same_host)),
        tuple(_warnings(chain, empty, skipped, unavailable)),
    )


def unavailable_pairs(
    snapshot: ChainSnapshot, *, same_host: bool = False, offline: Iterable[str] = ()
) -> dict[str, str]:
    """Return the pairs of a chain that get no new flows, as pair id -> reason; see ``assess``."""
    failed = {**dict.fromkeys(offline, ""), **snapshot.failed}
    reasons: dict[str, str] = {}
    for group in snapshot.chain.port_pair_groups:
        reasons |= members_of(group, snapshot.ports, failed, same_host=same_host).unavailable
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


def is_checkable(pair: PortPair, ports: Mapping[str, Port], *, same_host: bool = False) -> bool:
    """Tell whether a host can check the health of a pair's function, see ``members_of``."""
    return pair.admin_state_up and not why_pair_unavailable(pair, ports, same_host=same_host)


def pair_weights(
    group: PortPairGroup,
    ports: Mapping[str, Port],
    failed: Mapping[str, str] = _NONE_FAILED,
    *,
    same_host: bool = False,
) -> tuple[tuple[str, int], ...]:
    """Return ``Members.weights`` as tuples of id and weight; see ``members_of``."""
    return tuple(members_of(group, ports, failed, same_host=same_host).weights.items())


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
        if last is None or not pair_weights(last, ports, snapshot.failed, same_host=same_host):
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
