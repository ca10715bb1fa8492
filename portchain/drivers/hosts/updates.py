"""Computes what is recorded of plans, and the updates for hosts. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from portchain.core.plan_records import HostChanges, PlanRecord, PortChanges
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import Planned
from portchain.dataplane.planning.visibility import HostViews
from portchain.rpc import contract
from portchain.rpc.plan_codec import PlanSplitter, SplitPlan

_MAX_IDENTITY = 60_000  # characters; what a column of the database holds


@dataclass(frozen=True)
class Outgoing:
    """A chain's plan that hosts are about to be notified of.

    :param changes: what has changed of the chain, if events of its ports are noted.
    :param splitter: of all chains that are sent together, so that what they share is encoded once.
    """

    planned: Planned
    changes: PortChanges | None = None
    splitter: PlanSplitter = field(default_factory=PlanSplitter, compare=False, repr=False)

    @property
    def plan(self) -> ChainPlan:
        """The plan of all hosts."""
        return self.planned.plan

    @cached_property
    def views(self) -> HostViews:
        """The plan as each host gets it."""
        return HostViews(self.plan)

    @cached_property
    def hosts(self) -> frozenset[str] | None:
        """The hosts for which something can have changed, if nothing common to all has.

        None for all hosts. Any source may change what functions return, and what the routers of a
        symmetric chain forward.
        """
        if self.changes is None or self.changes.hosts is None:
            return None
        plan = self.plan
        functions = {one.host for path in plan.paths for hop in path.hops for one in hop.functions}
        replies = (path for path in plan.paths if path.reverse)
        # Not only those that forward something now: they may have done before.
        routers = {one.host for path in replies for one in path.sources if one.sends_from_any_mac}
        probed = {probe.host for probe in plan.probes}
        return self.changes.hosts | functions | routers | probed

    @cached_property
    def plans(self) -> Mapping[str, ChainPlan]:
        """Host -> the plan that it gets, for those of ``hosts`` that take part."""
        hosts = self.plan.hosts if self.hosts is None else self.plan.hosts & self.hosts
        return {host: self.views.plan_for(host) for host in hosts}

    @cached_property
    def split_plans(self) -> Mapping[str, SplitPlan]:
        """Host -> its plan in parts: once, for what is recorded and for the message."""
        return {host: self.splitter.split(plan) for host, plan in self.plans.items()}

    @cached_property
    def record(self) -> PlanRecord:
        """What is recorded of the plan."""
        identities = {host: split.identity for host, split in self.split_plans.items()}
        common = ""
        if self.changes is not None:
            # What a host would get that has no port of the chain.
            identity = self.splitter.split(self.views.plan_for("")).identity
            common = f"{self.changes.basis} {identity.split()[0]}"
        return PlanRecord(
            self.plan.id,
            self.plan.revision,
            {host: one if len(one) < _MAX_IDENTITY else "" for host, one in identities.items()},
            self.planned.availability.down_reason,
            self.planned.availability.warning,
            self.plan.packet_hosts,
            common,
            self.hosts,
        )


def updates_by_host(
    outgoing: Iterable[Outgoing],
    changes: Mapping[str, HostChanges],
    versions: Mapping[str, int],
) -> dict[str, contract.PlanUpdate]:
    """Return one update for each host that changes of plans concern.

    :param changes: chain id -> what the plan changes for hosts; other chains are left out.
    :param versions: host -> minor version of the contract that it follows.
    """
    chains: defaultdict[str, list[Outgoing]] = defaultdict(list)
    removed: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for one in outgoing:
        change = changes.get(one.plan.id, HostChanges())
        for host in change.notify:
            chains[host].append(one)
        for host in change.removed:
            removed[host].append((one.plan.id, one.plan.revision))
    updates = {}
    for host in chains.keys() | removed.keys():
        got = None
        if versions.get(host, 0) >= contract.PARTS_SINCE:
            before = {one.plan.id: changes[one.plan.id].notify[host] for one in chains[host]}
            got = {chain_id: parts_in(identity) for chain_id, identity in before.items()}
        updates[host] = contract.PlanUpdate(
            tuple(one.plans[host] for one in chains[host]),
            tuple(removed[host]),
            prepare=two_phase_chains([one.plan for one in chains[host]]),
            parts_sent=got,
            split_plans={one.plan.id: one.split_plans[host] for one in chains[host]},
            packs_parts=versions.get(host, 0) >= contract.PACKED_PARTS_SINCE,
            packs_chains=versions.get(host, 0) >= contract.PACKED_CHAINS_SINCE,
        )
    return updates


def parts_in(identity: str) -> frozenset[str]:
    """Return the parts of a plan's lists, from the text that identifies it (``SplitPlan``)."""
    return frozenset(identity.split()[1:])


def two_phase_chains(plans: Sequence[ChainPlan]) -> frozenset[str]:
    """Return the ids of the chains that change in two phases.

    A host must not send packets by a new plan before the other hosts can receive them, so all
    chains with several hosts do.
    """
    return frozenset(plan.id for plan in plans if len(plan.hosts) > 1)
