"""Plans chains for the hosts that realise them, from what the database says of these hosts."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from portchain.conf import GROUP
from portchain.core.availability import pair_weights
from portchain.core.model import ChainSnapshot
from portchain.core.plan_records import HostFacts, PortChanges
from portchain.core.rules import Violation
from portchain.dataplane.planning import limits
from portchain.dataplane.planning.floating import why_not_translated
from portchain.dataplane.planning.mtu import TunnelEnd, Underlay, why_too_long
from portchain.dataplane.planning.planner import PairHistory, Planned, plan_chain
from portchain.db import pair_sets
from portchain.db.hosts import read_facts
from portchain.drivers.hosts.chassis import Chassis
from portchain.drivers.hosts.logical_ports import OVN_MECHANISM, LogicalPorts
from portchain.drivers.hosts.tags import untagged_chain
from portchain.drivers.hosts.underlay import underlay_of
from portchain.rpc import contract

LOG = logging.getLogger(__name__)

NO_CHANGES: Mapping[str, PortChanges] = {}


@dataclass(frozen=True, slots=True)
class Plans:
    """Plans of chains.

    :param failures: chain id -> exception, of the chains that cannot be planned.
    :param versions: host -> minor version of the contract that it has said it follows.
    """

    planned: Sequence[Planned]
    failures: Mapping[str, Exception]
    versions: Mapping[str, int]


def within_limits(plans: Plans, most: int) -> Plans:
    """Return plans of which those that are too large are failures, too.

    Hosts get them all the same. They go on by the plan that fits, but must know what functions may
    not return any more.

    :param most: flows of a chain on a host; 0 for any number.
    """
    failures = dict(plans.failures)
    for one in plans.planned:
        try:
            limits.check_size_of_plan(one.plan, most)
        except Violation as refusal:
            failures[one.plan.id] = refusal
    return replace(plans, failures=failures)


class ChainPlanner:
    """Plans chains.

    :param chassis: of OVN. ``logical_ports``: likewise.
    """

    def __init__(self, chassis: Chassis, logical_ports: LogicalPorts) -> None:
        self._chassis, self._logical_ports = chassis, logical_ports

    def plan(
        self,
        context: Any,
        snapshots: Iterable[ChainSnapshot],
        changes: Mapping[str, PortChanges] = NO_CHANGES,
        *,
        quietly: bool = False,
    ) -> Plans:
        """Plan chains.

        :param changes: chain id -> what has changed of it; what it says of hosts is not read again.
        :param quietly: whether to record nothing of what groups select from.
        """
        seen = map(self._logical_ports.without_seemingly_unplugged, snapshots)
        snapshots = [untagged_chain(snapshot) for snapshot in seen]
        ports = (port for snapshot in snapshots for port in snapshot.ports.values())
        mechanisms = {port.host: port.mechanism for port in ports if port.host}
        known = _known_hosts(snapshots, changes)
        asked = {host: name for host, name in mechanisms.items() if host not in known}
        known |= read_facts(context, asked.keys())
        versions = {host: facts.minor_version for host, facts in known.items()}
        ends = {host: TunnelEnd(one.address, one.tunnel_types) for host, one in known.items()}
        ends |= self._chassis.tunnel_ends(chassis_among(asked))
        underlay = underlay_of(cfg.CONF)
        packet_hosts = {
            host for host, version in versions.items() if version >= contract.PACKETS_SINCE
        }
        history = (_known_pairs if quietly else _record_pairs)(context, snapshots)
        planned: list[Planned] = []
        failures: dict[str, Exception] = {}
        for snapshot in snapshots:
            try:
                planned.append(_plan_one(snapshot, ends, underlay, history, packet_hosts))
            except Exception as error:
                # A bug that one chain triggers must not affect the other chains of the call.
                LOG.exception("Cannot plan port chain %s", snapshot.chain.id)
                failures[snapshot.chain.id] = error
        return Plans(planned, failures, versions)


def chassis_among(mechanisms: Mapping[str, str]) -> set[str]:
    """Return the hosts on which OVN has bound ports; see ``Chassis``."""
    return {host for host, mechanism in mechanisms.items() if mechanism == OVN_MECHANISM}


def _known_hosts(
    snapshots: Iterable[ChainSnapshot], changes: Mapping[str, PortChanges]
) -> dict[str, HostFacts]:
    """Return what is known of hosts of sources, except of those that have functions, too."""
    known: dict[str, HostFacts] = {}
    others: set[str] = set()
    for snapshot in snapshots:
        change = changes.get(snapshot.chain.id)
        named = (snapshot.ports.get(port_id) for port_id in snapshot.chain.port_ids)
        others |= {port.host for port in named if port is not None}
        if change is not None:
            known |= change.known_hosts
    return {host: facts for host, facts in known.items() if host not in others}


def affinity_times() -> pair_sets.AffinityTimes:
    """Return how long flows go on to the pairs that they were sent to, as configured."""
    options = cfg.CONF[GROUP]
    return pair_sets.AffinityTimes(options.flow_affinity_time, options.new_flow_affinity_time)


def _known_pairs(context: Any, snapshots: Iterable[ChainSnapshot]) -> PairHistory:
    """Return what the groups of chains have selected from before, as far as it is recorded."""
    groups = {group.id for one in snapshots for group in one.chain.port_pair_groups}
    return pair_sets.earlier(context, groups)


def _record_pairs(context: Any, snapshots: Iterable[ChainSnapshot]) -> PairHistory:
    """Record what the groups of chains select from now; return what they did before."""
    present = {
        group.id: pair_weights(group, snapshot.ports, snapshot.failed, same_host=True)
        for snapshot in snapshots
        for group in snapshot.chain.port_pair_groups
        if not group.tap_enabled
    }
    return pair_sets.record(context, present, affinity_times()) if present else {}


def _plan_one(
    snapshot: ChainSnapshot,
    ends: Mapping[str, TunnelEnd],
    underlay: Underlay,
    history: PairHistory,
    packet_hosts: Container[str],
) -> Planned:
    """Plan a chain, with warnings of what the packets may not survive outside of the chain."""
    tunnel_ips = {host: end.address for host, end in ends.items()}
    planned = plan_chain(snapshot, tunnel_ips, history)
    accepting = (host for host in sorted(planned.plan.hosts) if host in packet_hosts)
    plan = replace(planned.plan, packet_hosts=tuple(accepting))
    mtus = {port.id: port.mtu for port in snapshot.ports.values()}
    owner = snapshot.chain.project_id
    foreign = {port.id for port in snapshot.ports.values() if port.project_id != owner}
    reasons = (
        why_too_long(plan, mtus, ends, underlay, foreign),
        why_not_translated(snapshot, plan.paths[0]),
    )
    return replace(planned, plan=plan, availability=planned.availability.with_warnings(*reasons))
