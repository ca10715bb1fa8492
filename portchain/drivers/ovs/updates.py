"""Computes the updates for hosts, and the public part of their reports. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from portchain.core.model import HostReport
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import Planned
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
            tuple(chains[host]), tuple(removed[host]), prepare=two_phase_chains(chains[host])
        )
        for host in chains.keys() | removed.keys()
    }


def two_phase_chains(plans: Iterable[ChainPlan]) -> frozenset[str]:
    """Return the ids of the chains that change in two phases.

    A host must not send packets by a new plan before the other hosts can receive them, so all
    chains with several hosts do.
    """
    return frozenset(plan.id for plan in plans if len(plan.hosts) > 1)


def redact(report: HostReport, borrowing: Collection[str]) -> HostReport:
    """Return what the owner of a chain may see of a report.

    A host's text names ports. If a group of another project takes part in the chain, they may be
    that project's.

    :param borrowing: ids of the chains that use such groups.
    """
    if report.chain_id not in borrowing:
        return report
    hidden = "see the log of the host's agent; a group of another project takes part in the chain"
    return replace(
        report,
        error=report.error and f"it cannot realise the chain; {hidden}",
        missing=report.missing and f"a port that is not plugged in yet; {hidden}",
    )
