"""Computes what is recorded of plans, and the updates for hosts. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from portchain.core.plan_records import HostChanges, PlanRecord
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import Planned
from portchain.dataplane.planning.visibility import HostViews
from portchain.rpc import contract
from portchain.rpc.plan_codec import PlanSplitter

_MAX_IDENTITY = 60_000  # characters; what a column of the database holds


@dataclass(frozen=True)
class Outgoing:
    """A chain's plan that hosts are about to be notified of."""

    planned: Planned

    @property
    def plan(self) -> ChainPlan:
        """The plan of all hosts."""
        return self.planned.plan

    @cached_property
    def views(self) -> HostViews:
        """The plan as each host gets it."""
        return HostViews(self.plan)

    @cached_property
    def plans(self) -> Mapping[str, ChainPlan]:
        """Host -> the plan that it gets, for all hosts that take part."""
        return {host: self.views.plan_for(host) for host in self.plan.hosts}

    @cached_property
    def record(self) -> PlanRecord:
        """What is recorded of the plan."""
        splitter = PlanSplitter()
        identities = {host: splitter.split(plan).identity for host, plan in self.plans.items()}
        return PlanRecord(
            self.plan.id,
            self.plan.revision,
            {host: one if len(one) < _MAX_IDENTITY else "" for host, one in identities.items()},
            self.planned.availability.down_reason,
            self.planned.availability.warning,
            self.plan.packet_hosts,
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
