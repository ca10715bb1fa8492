"""The Open vSwitch driver: plan, write down who has to confirm, tell the hosts."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neutron.objects.agent import Agent
from neutron_lib import constants as n_const
from oslo_config import cfg
from oslo_log import log as logging

from portchain.conf import GROUP
from portchain.core.model import ChainSnapshot, Encapsulation, HostReport, Port, PortPair
from portchain.dataplane.plan import SUPPORTED_FUNCTIONS, SUPPORTED_LB_FIELD_SETS, ChainPlan
from portchain.dataplane.planning import limits
from portchain.dataplane.planning.mtu import TunnelEnd, Underlay, why_too_long
from portchain.dataplane.planning.planner import Planned, plan_chain
from portchain.db import relations, snapshots
from portchain.drivers.base import Capabilities, ChainsFailed, ChainStatusReporter, PortChainDriver
from portchain.rpc import contract
from portchain.rpc.agent import AgentClient
from portchain.rpc.server import ServerEndpoint

LOG = logging.getLogger(__name__)

DELETED = 2**62
"""Revision as of which a host has no part in a chain that is deleted: later than any plan of it."""


class OvsDriver(PortChainDriver):
    """Realises chains on the hosts of Neutron's Open vSwitch agents that load the ``port_chain`` extension."""

    name = "ovs"
    capabilities = Capabilities(
        chain_correlations=frozenset(Encapsulation),
        pair_correlations=frozenset(kind.correlation for kind in SUPPORTED_FUNCTIONS),
        lb_fields=SUPPORTED_LB_FIELD_SETS,
        symmetric=True,
        function_kinds=frozenset(kind.function_kind for kind in SUPPORTED_FUNCTIONS),
        ethertypes=frozenset({"IPv4", "IPv6"}),
        service_graphs=True,
        tap=True,
        n_tuple_mapping=True,
    )

    def initialize(self, status: ChainStatusReporter) -> None:
        """Connect to the message bus."""
        super().initialize(status)
        self._agents = AgentClient()

    def rpc_endpoints(self) -> Sequence[tuple[str, Sequence[Any]]]:
        """What agents call."""
        return ((contract.SERVER_TOPIC, [ServerEndpoint(self._sync, self._take_reports)]),)

    def claims(self, port: Port) -> bool:
        """Ports of Neutron's Open vSwitch agents; while nobody knows who bound a port, it counts as theirs."""
        return port.mechanism in ("openvswitch", "") and self.serves(port.host)

    def serves(self, host: str) -> bool:
        """Whether the rules on a host are made by its agent, which is so where no controller makes them."""
        return host not in cfg.CONF[GROUP].openflow_hosts

    def check_port_pair(self, pair: PortPair) -> None:
        """Refuse a pair that contradicts itself."""
        limits.check_pair(pair)

    def check_port_chain(self, snapshot: ChainSnapshot) -> None:
        """Refuse a chain that the switches cannot keep."""
        limits.check_chain(snapshot)

    def create_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Tell every host of a new chain."""
        self.refresh_port_chains(context, [snapshot])

    def update_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Tell every host that takes part now or did before."""
        self.refresh_port_chains(context, [snapshot])

    def delete_port_chain(self, context: Any, snapshot: ChainSnapshot) -> None:
        """Tell every host that took part that the chain is gone."""
        planned = plan_chain(snapshot, {})
        gone = contract.PlanUpdate(removed=((snapshot.chain.id, DELETED),))
        self._agents.apply(context, dict.fromkeys(planned.plan.hosts, gone))

    def refresh_port_chains(self, context: Any, snapshots: Sequence[ChainSnapshot]) -> None:
        """Plan chains anew and send each host what changed for it, in one message.

        :raises ChainsFailed: some cannot be planned; the others are carried out.
        """
        planned, failures = self._plan(context, snapshots)
        before = self.status.hosts_of(context, [plan.plan.id for plan in planned])
        # What another server has replaced or deleted meanwhile must not reach a host any more: one
        # that takes no part in the newer plan would hear of that only at its next sync.
        current = [
            item
            for item in planned
            if self.status.record_plan(
                context,
                item.plan.id,
                item.plan.revision,
                item.plan.hosts,
                down_reason=item.availability.down_reason,
                warning=item.availability.warning,
            )
        ]
        self._agents.apply(context, updates_by_host(current, before))
        if failures:
            raise ChainsFailed(failures)

    def _plan(
        self, context: Any, snapshots: Iterable[ChainSnapshot]
    ) -> tuple[list[Planned], dict[str, Exception]]:
        """Return the plans of chains, and by their ids why others have none."""
        snapshots = list(snapshots)
        hosts = {
            port.host for snapshot in snapshots for port in snapshot.ports.values() if port.host
        }
        ends, underlay = self._tunnel_ends(context, hosts), underlay_of(cfg.CONF)
        planned: list[Planned] = []
        failures: dict[str, Exception] = {}
        for snapshot in snapshots:
            try:
                planned.append(_plan_one(snapshot, ends, underlay))
            except Exception as error:
                # One chain that nobody foresaw must not keep what it shares a group with from the hosts.
                LOG.exception("Port chain %s cannot be planned", snapshot.chain.id)
                failures[snapshot.chain.id] = error
        return planned, failures

    @staticmethod
    def _tunnel_ends(context: Any, hosts: Collection[str]) -> dict[str, TunnelEnd]:
        if not hosts:
            return {}
        # Not the plugin's get_agents: beside ML2/OVN, that asks every chassis first, and waits for OVN's databases.
        filters = {"agent_type": [n_const.AGENT_TYPE_OVS], "host": sorted(hosts)}
        agents = Agent.get_objects(context.elevated(), **filters)
        stated = {agent.host: agent.configurations for agent in agents}
        return {
            host: TunnelEnd(
                configured.get("tunneling_ip") or "",
                frozenset(configured.get("tunnel_types") or ()),
            )
            for host, configured in stated.items()
        }

    # What agents ask and tell.

    def _sync(self, context: Any, host: str, known: Mapping[str, int]) -> contract.PlanUpdate:
        expected = self.status.expected_on(context, host)
        unknown = [
            chain_id for chain_id, revision in expected.items() if known.get(chain_id) != revision
        ]
        planned, _ = self._plan(context, snapshots.load(context, unknown))
        plans = tuple(item.plan for item in planned if host in item.plan.hosts)
        return contract.PlanUpdate(
            chains=plans,
            prepare=_in_steps(plans),
            switch=tuple(self.status.ready_on(context, host)),
            removed=tuple(
                (chain_id, revision)
                for chain_id, revision in known.items()
                if chain_id not in expected
            ),
        )

    def _take_reports(self, context: Any, host: str, reports: Sequence[HostReport]) -> None:
        told = [report.chain_id for report in reports if report.error or report.missing]
        borrowing = relations.chains_using_foreign_groups(context, told) if told else set()
        ready = self.status.confirm(context, host, [_for_owner(one, borrowing) for one in reports])
        updates = {
            each: contract.PlanUpdate(switch=tuple(chains)) for each, chains in ready.items()
        }
        self._agents.apply(context, updates)


def _for_owner(report: HostReport, borrowing: Collection[str]) -> HostReport:
    """What the owner of a chain may hear of a report: with borrowed groups, not which of their ports it is about."""
    if report.chain_id not in borrowing:
        return report
    hidden = "the log of the host's agent says more, since groups of another project take part"
    return replace(
        report,
        error=report.error and f"it cannot carry the chain; {hidden}",
        missing=report.missing and f"a port that is not plugged in yet; {hidden}",
    )


def _plan_one(
    snapshot: ChainSnapshot, ends: Mapping[str, TunnelEnd], underlay: Underlay
) -> Planned:
    planned = plan_chain(snapshot, {host: end.address for host, end in ends.items()})
    mtus = {port.id: port.mtu for port in snapshot.ports.values()}
    owner = snapshot.chain.project_id
    foreign = {port.id for port in snapshot.ports.values() if port.project_id != owner}
    too_long = why_too_long(planned.plan, mtus, ends, underlay, foreign)
    return replace(planned, availability=planned.availability.with_warnings(too_long))


def underlay_of(options: cfg.ConfigOpts) -> Underlay:
    """What the server's options say of the underlay, read as ML2 reads them for the MTUs of networks."""
    if stated := options[GROUP].underlay_mtu:
        return Underlay(stated, {}, stated)
    whole, path = options.global_physnet_mtu, options.ml2.path_mtu
    own = options.ml2.physical_network_mtus
    physical = {name: _least(whole, int(mtu)) for name, mtu in own.items()}
    return Underlay(_least(whole, path), physical, whole)


def _least(*mtus: int) -> int:
    """The smallest of those that are known."""
    return min((mtu for mtu in mtus if mtu > 0), default=0)


def updates_by_host(
    planned: Iterable[Planned], before: Mapping[str, Collection[str]]
) -> dict[str, contract.PlanUpdate]:
    """Sort plans by the hosts that must hear of them.

    :param before: chain id -> hosts that took part until now.
    :returns: host -> its one update.
    """
    chains = defaultdict(list)
    removed = defaultdict(list)
    for item in planned:
        plan = item.plan
        for host in plan.hosts:
            chains[host].append(plan)
        for host in set(before.get(plan.id, ())) - plan.hosts:
            removed[host].append((plan.id, plan.revision))
    return {
        host: contract.PlanUpdate(
            tuple(chains[host]), tuple(removed[host]), prepare=_in_steps(chains[host])
        )
        for host in chains.keys() | removed.keys()
    }


def _in_steps(plans: Iterable[ChainPlan]) -> frozenset[str]:
    """The chains that a host must not send by before others can receive: all but those that one host has for itself."""
    return frozenset(plan.id for plan in plans if len(plan.hosts) > 1)
