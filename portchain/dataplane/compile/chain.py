"""The stages put together: a chain's plan on one host."""

from collections.abc import Iterator

from portchain.dataplane.compile import transport
from portchain.dataplane.compile.choose import choose
from portchain.dataplane.compile.classify import classify, keep_out_neighbours, take_over
from portchain.dataplane.compile.forward import copy, deliver, send
from portchain.dataplane.compile.here import Compiled, PathHere, distinct
from portchain.dataplane.compile.leave import leave, rejoin
from portchain.dataplane.flow import Flow, NoFlood
from portchain.dataplane.local import LocalSwitch
from portchain.dataplane.pipeline import path_label
from portchain.dataplane.plan import ChainPlan


def compile_chain(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute the rules with which this host takes its part in a chain.

    Each chain is compiled by itself, so the work for one change does not depend on how many chains there are.

    :returns: rules for all bridges; only what ``plan.hosts`` says this host is needed for.
    :raises UnsupportedPlanError: saying what is not supported.
    """
    flows: set[Flow] = set()
    no_flood: set[NoFlood] = set()
    missing: set[str] = set()
    for here in _paths_here(plan, switch):
        flows.update(_stages(here))
        no_flood |= here.no_flood
        missing |= here.missing
    return Compiled(frozenset(flows), frozenset(no_flood), tuple(sorted(missing)))


def compile_held(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute rules that hold back the traffic of a chain that this host cannot carry: it is classified and goes nowhere.

    A packet that skipped its functions would be worse than a lost one.
    """
    flows: set[Flow] = set()
    for here in _paths_here(plan, switch):
        flows.update(classify(here))
        flows.update(take_over(here))
        flows.update(keep_out_neighbours(here))
    return Compiled(frozenset(flows))


def compile_guards(switch: LocalSwitch) -> frozenset[Flow]:
    """The rules a host needs once, as soon as it has any chain."""
    return frozenset(transport.guards(switch))


def _paths_here(plan: ChainPlan, switch: LocalSwitch) -> Iterator[PathHere]:
    for path in plan.paths:
        yield PathHere(path, plan.id, path_label(plan.path_id, path.reverse), switch)


def _stages(here: PathHere) -> Iterator[Flow]:
    yield from classify(here)
    yield from take_over(here)
    for index, hop in enumerate(here.path.hops):
        if here.sends_into(index) and not hop.tap:
            yield from choose(here, index, hop)
        for target in distinct(hop.targets):
            if hop.tap and here.sends_into(index):
                yield from copy(here, index, target)
            if target.host == here.switch.host:
                yield from deliver(here, index, target)
                if not hop.tap:
                    yield from leave(here, index, target)
            elif not hop.tap and here.sends_into(index):
                yield from send(here, index, target)
    yield from rejoin(here)
    yield from keep_out_neighbours(here)
