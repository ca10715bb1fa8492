"""Base of the drivers ``ovs``, ``openflow`` and ``ovn``.

Plans chains, records which hosts have to confirm, and notifies the hosts. What programs a host's
switch, an agent or a controller, makes no difference to what the host has to know.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neutron_lib.callbacks import events, registry
from oslo_config import cfg
from oslo_log import log as logging

from portchain.conf import GROUP
from portchain.core.counters import HostCounts
from portchain.core.model import (
    VLAN,
    ChainSnapshot,
    Encapsulation,
    FailureMode,
    HealthCheck,
    HostReport,
    PairHealth,
    PeerHealth,
    PortPair,
)
from portchain.core.plan_records import HostChanges, PortChanges
from portchain.dataplane.plan import SUPPORTED_FUNCTIONS, SUPPORTED_LB_FIELD_SETS, ChainPlan
from portchain.dataplane.planning import limits
from portchain.dataplane.planning.mtu import TunnelEnd
from portchain.dataplane.planning.planner import plan_chain
from portchain.dataplane.tracing.packet import Packet
from portchain.dataplane.tracing.steps import HostTrace, Start
from portchain.db import pair_health, pair_sets, sent_plans, snapshots
from portchain.db.drift import mark_realised
from portchain.db.hosts import record_version, renew_chains
from portchain.drivers.base import (
    Capabilities,
    ChainsFailed,
    ChainStatusReporter,
    OwnChains,
    PeriodicTask,
    PortChainDriver,
)
from portchain.drivers.hosts.chassis import Chassis
from portchain.drivers.hosts.logical_ports import LogicalPorts
from portchain.drivers.hosts.planning import (
    NO_CHANGES,
    ChainPlanner,
    Plans,
    affinity_times,
    chassis_among,
    within_limits,
)
from portchain.drivers.hosts.tags import untagged_chain, untagged_pair
from portchain.drivers.hosts.underlay import tunnel_ends
from portchain.drivers.hosts.updates import Outgoing, two_phase_chains, updates_by_host
from portchain.joined_work import JoinedWork
from portchain.rpc import contract
from portchain.rpc.agent import AgentClient
from portchain.rpc.live import LiveClient
from portchain.rpc.plan_codec import PlanSplitter
from portchain.rpc.server import ServerEndpoint

LOG = logging.getLogger(__name__)

_ANSWER_WAIT, _ANSWER_HOLDS = 1.5, 5.0  # seconds

DELETED = 2**62
"""Revision as of which hosts have no part in a deleted chain: higher than that of any plan."""


class HostDriver(PortChainDriver):
    """Realises chains on hosts that program their switches by plans.

    A request of a host may reach any driver that derives from this class: all of them listen on one
    topic. So what answers requests must not depend on the driver.
    """

    capabilities = Capabilities(
        chain_correlations=frozenset(Encapsulation),
        pair_correlations=frozenset({*(kind.correlation for kind in SUPPORTED_FUNCTIONS), VLAN}),
        lb_fields=SUPPORTED_LB_FIELD_SETS,
        symmetric=True,
        function_kinds=frozenset(kind.function_kind for kind in SUPPORTED_FUNCTIONS),
        ethertypes=frozenset({"IPv4", "IPv6"}),
        service_graphs=True,
        tap=True,
        n_tuple_mapping=True,
        health_checks=frozenset(HealthCheck),
        failure_modes=frozenset(FailureMode),
        member_states=True,
    )

    has_chassis = False
    """Whether the driver's hosts are chassis of OVN."""

    def initialize(self, status: ChainStatusReporter) -> None:
        """Connect to the message bus."""
        super().initialize(status)
        self._agents = AgentClient()
        self.live_hosts = LiveClient()
        self._answered_at: dict[str, float] = {}  # host -> when it has answered, monotonic
        self._chassis = Chassis()
        self._logical_ports = LogicalPorts()
        self._planned_for_hosts = JoinedWork[Outgoing](self._plan_for_hosts)

    def rpc_endpoints(self) -> Sequence[tuple[str, Sequence[Any]]]:
        """Return the endpoint that hosts call."""
        endpoint = ServerEndpoint(
            *(self._sync, self._record_reports, self._record_health, self._record_peers),
            plans=self._plans_of,
        )
        return ((contract.SERVER_TOPIC, [endpoint]),)

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Forget what groups selected from before, once flows from before have ended."""
        interval = cfg.CONF[GROUP].repair_interval
        return (PeriodicTask("flow affinity", interval, self._forget_earlier_pairs),)

    def read_counters(self, context: Any, chain_id: str) -> HostCounts:
        """Ask all hosts that take part in a chain."""
        hosts = self.status.hosts_of(context, [chain_id]).get(chain_id, frozenset())
        timeout = cfg.CONF[GROUP].host_answer_timeout
        return self._agents.counters(context, hosts, chain_id, timeout)

    # Before anything is written.

    def check_port_pair(self, pair: PortPair) -> None:
        """Reject a kind of function that flows cannot be compiled for."""
        limits.check_pair(untagged_pair(pair))

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Reject a chain that flows cannot realise."""
        untagged = untagged_chain(snapshot)
        limits.check_chain(untagged)
        limits.check_size(untagged, cfg.CONF[GROUP].max_chain_flows)

    def check_accepted_chain(self, snapshot: ChainSnapshot) -> None:
        """Do what ``check_port_chain`` does, but for the size, which takes a plan.

        ``_plan_within_limits`` checks the size of the plan that the hosts get.
        """
        limits.check_chain(untagged_chain(snapshot))

    # After the commit.

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Notify the hosts of a new chain."""
        self.refresh_port_chains(context, [snapshot])

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Notify the hosts that take part in a chain now, or did before."""
        self.refresh_port_chains(context, [snapshot])

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Notify the hosts of a chain that it is deleted."""
        planned = plan_chain(snapshot, {})
        removal = contract.PlanUpdate(removed=((snapshot.chain.id, DELETED),))
        self._agents.apply(context, dict.fromkeys(planned.plan.hosts, removal))

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        """Plan chains, and send each host all of its changes in one message.

        Hosts for which nothing changes are not notified.

        :raises ChainsFailed: some chains cannot be planned; the hosts are notified of the others.
        """
        self._refresh(context, snapshots)

    def refresh_changed_ports(
        self,
        context: Any,
        snapshots: Sequence[ChainSnapshot],
        changes: Mapping[str, PortChanges],
    ) -> None:
        """Plan chains, and notify the hosts for which ports have changed something.

        :raises ChainsFailed: some chains cannot be planned; the hosts are notified of the others.
        """
        narrow = [
            one
            for one in snapshots
            if (change := changes.get(one.chain.id)) is not None and change.hosts is not None
        ]
        failures: dict[str, Exception] = {}
        plans = Plans((), {}, {})
        if narrow:
            plans = self._plan_within_limits(context, narrow, changes)
        done = self._notify(context, plans, changes) if narrow else {}
        failures |= plans.failures
        # Of the others, more has changed than ports, or their ports are not cached.
        settled = failures.keys() | {one for one, change in done.items() if not change.needs_all}
        settled |= {one.chain.id for one in narrow} - done.keys()
        left = [one for one in snapshots if one.chain.id not in settled]
        if left:
            plans = self._plan_within_limits(context, left)
            since = {one: replace(change, hosts=None) for one, change in changes.items()}
            self._notify(context, plans, since)
            failures |= plans.failures
        if failures:
            raise ChainsFailed(failures)

    def freeze_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Notify the hosts of a chain that would be refused now, if they are this driver's.

        What such a plan cannot carry is dropped. An earlier plan would let functions send with
        addresses that are others' by now.
        """
        bound = [port for port in snapshot.ports.values() if port.host]
        if bound and all(map(self.claims, bound)):
            HostDriver._refresh(self, context, [snapshot])

    def _refresh(
        self, context: Any, snapshots: Sequence[ChainSnapshot], *, quiet: bool = False
    ) -> None:
        """Do what ``refresh_port_chains`` does. For drivers that write more than plans.

        :param quiet: whether the chains keep their status.
        """
        plans = self._plan_within_limits(context, snapshots)
        self._notify(context, plans, {}, quiet=quiet)
        if plans.failures:
            raise ChainsFailed(plans.failures)

    def _notify(
        self,
        context: Any,
        plans: Plans,
        changes: Mapping[str, PortChanges],
        *,
        quiet: bool = False,
    ) -> Mapping[str, HostChanges]:
        """Record plans, and notify the hosts for which something changes."""
        splitter = PlanSplitter()
        outgoing = [
            Outgoing(planned, changes.get(planned.plan.id), splitter) for planned in plans.planned
        ]
        # A plan is sent only if no other server has recorded a newer revision, or the deletion. A
        # host that has no part in the newer plan would learn of that only at its next sync.
        recorded = self.status.record_plans(
            context,
            [one.record for one in outgoing],
            quiet=[one.plan.id for one in outgoing] if quiet else (),
        )
        self._agents.apply(context, updates_by_host(outgoing, recorded, plans.versions))
        return recorded

    def _planner(self) -> ChainPlanner:
        return ChainPlanner(self._chassis, self._logical_ports)

    def _plan_within_limits(
        self,
        context: Any,
        snapshots: Iterable[ChainSnapshot],
        changes: Mapping[str, PortChanges] = NO_CHANGES,
    ) -> Plans:
        """Plan chains that hosts are about to be notified of: those that are too large fail."""
        plans = self._planner().plan(context, snapshots, changes)
        return within_limits(plans, cfg.CONF[GROUP].max_chain_flows)

    def _tunnel_ends(self, context: Any, mechanisms: Mapping[str, str]) -> dict[str, TunnelEnd]:
        """Return host -> its tunnel endpoint.

        :param mechanisms: host -> the mechanism driver that bound ports there.
        """
        chassis = chassis_among(mechanisms)
        agents = mechanisms.keys() - chassis
        return {**tunnel_ends(context, agents), **self._chassis.tunnel_ends(chassis)}

    def _forget_earlier_pairs(self, context: Any, chains: OwnChains) -> None:
        """Plan the chains again whose groups have earlier pairs that hosts need no more."""
        times = affinity_times()
        due = pair_sets.due(context, times)
        users = frozenset().union(*due.values())
        own = {item.snapshot.chain.id: item for item in chains(context, users)} if users else {}
        # The chains of another driver are planned by that driver's task.
        groups = [group for group, ids in due.items() if not ids or ids & own.keys()]
        usable = [chain_id for chain_id, item in own.items() if not item.refusal]
        if groups and pair_sets.age(context, groups, usable, times):
            self._plan_again(context, usable, quiet=True)

    def _plan_again(self, context: Any, chain_ids: Sequence[str], *, quiet: bool = False) -> None:
        """Plan chains for a reason that the driver manager does not know of.

        :param quiet: whether the chains keep their status.
        """
        if not chain_ids:
            return
        loaded = snapshots.load(context, chain_ids)
        failures: Mapping[str, Exception] = {}
        try:
            self._refresh(context, loaded, quiet=quiet)
        except ChainsFailed as failed:
            failures = failed.failures
            for chain_id, error in failures.items():
                self.status.mark_failed(context, [chain_id], str(error))
        if quiet:
            mark_realised(context, [one for one in loaded if one.chain.id not in failures])

    # For traces.

    def trace(
        self, context: Any, host: str, start: Start, packet: Packet, seconds: float
    ) -> HostTrace:
        """Ask a host what it would do with a packet; see ``AgentClient.trace``."""
        return self._agents.trace(context, host, start, packet, seconds)

    def tunnel_addresses(self, context: Any) -> dict[str, str]:
        """Return host -> the address of its tunnels, of all hosts that have some."""
        ends = tunnel_ends(context)
        if self.has_chassis:
            ends |= self._chassis.all_tunnel_ends()
        return {host: end.address for host, end in ends.items() if end.address}

    # Called by the hosts.

    def _sync(self, context: Any, host: str, said: contract.HostKnowledge) -> contract.PlanUpdate:
        """Return what a host must change.

        The other hosts are notified if they must send to it in another form, because its release
        has changed. Packets that it cannot read any more are lost until then. Packets that it can
        read now wait until it asks again: its switch has flows for them then, and the hosts that
        were upgraded together with it are all known.
        """
        is_new = record_version(context, host, said.minor_version)
        accepts_packets = said.minor_version >= contract.PACKETS_SINCE
        if not (is_new and accepts_packets):
            self._plan_again(context, renew_chains(context, host, accepts_packets=accepts_packets))
        known = said.revisions
        expected = self.status.expected_on(context, host)
        unknown = [
            chain_id for chain_id, revision in expected.items() if known.get(chain_id) != revision
        ]
        planned = self._planned_for_hosts.do(context, unknown)
        outgoing = [one for _, one in sorted(planned.items()) if host in one.plan.hosts]
        return contract.PlanUpdate(
            chains=self._parts_for(context, host, outgoing),
            prepare=two_phase_chains([one.plan for one in outgoing]),
            switch=tuple(self.status.ready_on(context, host)),
            removed=tuple(
                (chain_id, revision)
                for chain_id, revision in known.items()
                if chain_id not in expected
            ),
            parts_sent={} if said.minor_version >= contract.PARTS_SINCE else None,
            packs_parts=said.minor_version >= contract.PACKED_PARTS_SINCE,
            packs_chains=said.minor_version >= contract.PACKED_CHAINS_SINCE,
        )

    def _plan_for_hosts(self, context: Any, chain_ids: Sequence[str]) -> dict[str, Outgoing]:
        """Plan chains for all hosts that have asked for them: many may start at the same time."""
        plans = self._planner().plan(context, snapshots.load(context, chain_ids))
        return {one.plan.id: Outgoing(one) for one in plans.planned}

    def _plans_of(self, context: Any, host: str) -> contract.PlanUpdate:
        """Return all plans that a host should have, with the revisions that it has to confirm.

        Records nothing: whoever asks is not the program that realises the plans.
        """
        expected = self.status.expected_on(context, host)
        loaded = snapshots.load(context, list(expected))
        plans = self._planner().plan(context, loaded, quietly=True)
        views = [one.views.plan_for(host) for one in map(Outgoing, plans.planned)]
        return contract.PlanUpdate(
            chains=tuple(
                replace(plan, revision=expected[plan.id]) for plan in views if host in plan.hosts
            ),
            parts_sent={},
        )

    @staticmethod
    def _parts_for(context: Any, host: str, outgoing: Sequence[Outgoing]) -> tuple[ChainPlan, ...]:
        """Return the parts of plans that a host has to know.

        Each has the revision that the host has to confirm. That may be older than the chain's, if
        nothing has changed for the host since. A part that is not the recorded one is about to be
        recorded.
        """
        recorded = sent_plans.parts_on(context, host, [one.plan.id for one in outgoing])
        found: list[ChainPlan] = []
        others: dict[str, int] = {}
        for one in outgoing:
            revision, identity = recorded.get(one.plan.id, (0, ""))
            plan = one.views.plan_for(host)
            if identity and identity == PlanSplitter().split(plan).identity:
                plan = replace(plan, revision=revision)
            else:
                others[plan.id] = plan.revision
            found.append(plan)
        sent_plans.forget_parts(context, host, others)
        return tuple(found)

    def _record_reports(self, context: Any, host: str, reports: Sequence[HostReport]) -> None:
        """Record what a host has done, and notify hosts that can switch now."""
        ready = self.status.confirm(context, host, reports)
        updates = {
            each: contract.PlanUpdate(switch=tuple(chains)) for each, chains in ready.items()
        }
        self._agents.apply(context, updates)

    def _record_health(self, context: Any, host: str, health: Sequence[PairHealth]) -> None:
        """Record which functions of a host answer, and tell the plugin what has changed.

        The plugin has the drivers realise the chains again: a host does not know whose they are.
        """
        change = pair_health.record(context, host, health)
        if change.changed:
            payload = events.EventPayload(context, metadata={"change": change})
            registry.publish(pair_health.RESOURCE, events.AFTER_UPDATE, self, payload=payload)

    def _record_peers(self, context: Any, host: str, peers: Sequence[PeerHealth]) -> None:
        """Take the functions of hosts out of the path that are switched off.

        Another host does not get answers from their switch any more. If nothing answers for such a
        host on the message bus either, it is not the way between the two that is broken. Its
        functions are back when it reports them again.
        """
        unreachable = {one.address for one in peers if not one.is_up}
        hosts = pair_health.working_hosts(context) if unreachable else {}
        ends = self._tunnel_ends(context, hosts)
        missing = {each for each, end in ends.items() if end.address in unreachable} - {host}
        for each in sorted(self._silent(context, missing)):
            LOG.warning("Host %s does not answer, nor do its functions", each)
            self._record_health(context, each, pair_health.all_failed(context, each))

    def _silent(self, context: Any, hosts: Collection[str]) -> set[str]:
        """Return those of some hosts that do not answer. Many hosts miss the same one."""
        now = time.monotonic()
        asked = {
            host
            for host in hosts
            if now - self._answered_at.get(host, -_ANSWER_HOLDS) >= _ANSWER_HOLDS
        }
        silent = self._agents.silent(context, asked, _ANSWER_WAIT) if asked else set()
        self._answered_at |= dict.fromkeys(asked - silent, now)
        return silent
