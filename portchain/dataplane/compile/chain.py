"""The stages put together: a chain's plan on one host."""

from collections.abc import Iterator
from dataclasses import replace

from portchain.dataplane.compile import transport
from portchain.dataplane.compile.classify import (
    classifier_flows,
    graph_ingress_flows,
    neighbour_discovery_flows,
)
from portchain.dataplane.compile.context import Compiled, PathOnHost, distinct
from portchain.dataplane.compile.forward import (
    local_delivery_flows,
    remote_delivery_flows,
    tap_copy_flows,
)
from portchain.dataplane.compile.return_path import rejoin_flows, return_flows
from portchain.dataplane.compile.select_pair import affinity_flows, pair_selection_flows
from portchain.dataplane.flow import DROP, Flow, NoFlood
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import path_label
from portchain.dataplane.plan import ChainPlan, Hop, Target


def compile_chain(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute the rules with which this host takes its part in a chain.

    Each chain is compiled by itself, so the work for one change does not depend on how many chains there are.

    :returns: rules for all bridges; only what ``plan.hosts`` says this host is needed for.
    :raises UnsupportedPlanError: saying what is not supported.
    """
    entrance, delivery, onward, memory = set[Flow](), set[Flow](), set[Flow](), set[Flow]()
    no_flood: set[NoFlood] = set()
    missing: set[str] = set()
    for here in _paths_here(plan, switch):
        entrance.update(classifier_flows(here))
        delivery.update(_delivery(here))
        onward.update(_onward(here))
        memory.update(_memory(here))
        no_flood |= here.no_flood
        missing |= here.missing
    return Compiled(
        entrance=frozenset(entrance),
        delivery=frozenset(delivery),
        onward=frozenset(onward),
        memory=frozenset(memory),
        no_flood=frozenset(no_flood),
        missing=tuple(sorted(missing)),
    )


def compile_bypass_guard(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute rules that hold back the traffic of a chain that this host cannot carry: what would enter it goes nowhere.

    A packet that skipped its functions would be worse than a lost one.
    """
    entrance, onward = set[Flow](), set[Flow]()
    for here in _paths_here(plan, switch):
        entering = (*classifier_flows(here), *graph_ingress_flows(here))
        entrance.update(replace(flow, actions=DROP) for flow in entering)
        onward.update(neighbour_discovery_flows(here))
    return Compiled(entrance=frozenset(entrance), onward=frozenset(onward))


def compile_frame_guard(switch: LocalSwitch) -> frozenset[Flow]:
    """The rules a host needs once, as soon as it has any chain."""
    return frozenset(transport.frame_guard_flows(switch))


def _paths_here(plan: ChainPlan, switch: LocalSwitch) -> Iterator[PathOnHost]:
    for path in plan.paths:
        yield PathOnHost(path, plan.id, path_label(plan.path_id, path.reverse), switch)


def _delivery(here: PathOnHost) -> Iterator[Flow]:
    for index, _, target in _visits(here):
        if target.host == here.switch.host:
            yield from local_delivery_flows(here, index, target)


def _onward(here: PathOnHost) -> Iterator[Flow]:
    yield from graph_ingress_flows(here)
    for index, hop in _choices(here):
        yield from pair_selection_flows(here, index, hop)
    for index, hop, target in _visits(here):
        sends, is_here = here.sends_into(index), target.host == here.switch.host
        if hop.tap and sends:
            yield from tap_copy_flows(here, index, target)
        if not hop.tap and is_here:
            yield from return_flows(here, index, target)
        elif not hop.tap and sends:
            yield from remote_delivery_flows(here, index, target)
    yield from rejoin_flows(here)
    yield from neighbour_discovery_flows(here)


def _memory(here: PathOnHost) -> Iterator[Flow]:
    for index, hop in _choices(here):
        yield from affinity_flows(here, index, hop)


def _choices(here: PathOnHost) -> Iterator[tuple[int, Hop]]:
    """The hops for which a pair is chosen on this host."""
    for index, hop in enumerate(here.path.hops):
        if here.sends_into(index) and not hop.tap:
            yield index, hop


def _visits(here: PathOnHost) -> Iterator[tuple[int, Hop, Target]]:
    for index, hop in enumerate(here.path.hops):
        for target in distinct(hop.targets):
            yield index, hop, target
