"""Divides chains into units that a host can program one after the other. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.transition import ABSENT, ChainTransition


def work_units(
    chains: Mapping[str, ChainTransition], chain_ids: Iterable[str]
) -> list[tuple[str, ...]]:
    """Divide chains into units: chains of one service graph stay together.

    Between the units of one message, packets already follow some chains' new flows. At the end of
    a chain of a graph, they must find the flows of the chain that follows.

    :param chains: the states of all chains.
    :param chain_ids: the chains to divide; ids that ``chains`` lacks are of chains that have gone.
    :returns: units in the order in which the chains were made, which is the same on all hosts.
    """
    ids = sorted(set(chain_ids), key=lambda one: (_age(chains.get(one, ABSENT)), one))
    unit_of: dict[str, int] = {}
    by_number = {_number(chains[one]): one for one in ids if one in chains}
    for index, chain_id in enumerate(ids):
        members = [chain_id, *_predecessors(chains.get(chain_id, ABSENT), by_number)]
        if linked := {unit_of[one] for one in members if one in unit_of}:
            unit_of |= {one: index for one, unit in unit_of.items() if unit in linked}
        unit_of |= dict.fromkeys(members, index)
    units: defaultdict[int, list[str]] = defaultdict(list)
    for chain_id in ids:
        units[unit_of[chain_id]].append(chain_id)
    return [tuple(unit) for unit in units.values()]


def _predecessors(state: ChainTransition, by_number: Mapping[int, str]) -> list[str]:
    numbers = {
        entry.path_id & ~ODD_GENERATION
        for plan in state.plans
        for path in plan.paths
        for entry in path.entries
    }
    return [by_number[number] for number in numbers if number in by_number]


def _age(state: ChainTransition) -> tuple[int, int]:
    """Order chains by their creation or, of an older server, by number."""
    return (state.plan.serial if state.plan is not None else 0, _number(state))


def _number(state: ChainTransition) -> int:
    """Return a chain's number; 0 for one that has gone."""
    return state.plan.path_id & ~ODD_GENERATION if state.plan is not None else 0
