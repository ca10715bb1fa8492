"""Computes the updates for hosts. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import Planned
from portchain.dataplane.planning.visibility import plan_for_host
from portchain.rpc import contract


def updates_by_host(
    planned: Iterable[Planned], before: Mapping[str, Collection[str]]
) -> dict[str, contract.PlanUpdate]:
    """Return one update for each host that a change of plans concerns.

    :param before: chain id -> hosts that took part in the chain until now.
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
            tuple(plan_for_host(plan, host) for plan in chains[host]),
            tuple(removed[host]),
            prepare=two_phase_chains(chains[host]),
        )
        for host in chains.keys() | removed.keys()
    }


def two_phase_chains(plans: Iterable[ChainPlan]) -> frozenset[str]:
    """Return the ids of the chains that change in two phases.

    A host must not send packets by a new plan before the other hosts can receive them, so all
    chains with several hosts do.
    """
    return frozenset(plan.id for plan in plans if len(plan.hosts) > 1)
