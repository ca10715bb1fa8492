"""Combines the stages: compiles a chain's plan for one host."""

from collections.abc import Collection, Iterator

from portchain.dataplane.compile import rate_limits, sfc_aware, transport, wiring
from portchain.dataplane.compile.classify import (
    classifier_flows,
    coarse_guard_flows,
    forwarded_traffic_flows,
    graph_ingress_flows,
    own_traffic_flows,
)
from portchain.dataplane.compile.context import (
    Compiled,
    PathOnHost,
    TooManyFlowsError,
    collect,
    distinct,
)
from portchain.dataplane.compile.forward import (
    local_delivery_flows,
    remote_delivery_flows,
    tap_copy_flows,
)
from portchain.dataplane.compile.labels import ambiguous_macs
from portchain.dataplane.compile.link_traffic import link_traffic_flows
from portchain.dataplane.compile.probes import peer_flows, probe_flows
from portchain.dataplane.compile.return_path import rejoin_flows, return_flows
from portchain.dataplane.compile.select_pair import (
    affinity_flows,
    check_supported,
    pair_selection_flows,
    slot_bit_flows,
)
from portchain.dataplane.flow import Flow, NoFlood
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import path_label
from portchain.dataplane.plan import ChainPlan, Hop, Target


def compile_chain(
    plan: ChainPlan,
    switch: LocalSwitch,
    *,
    remembered: Collection[tuple[bool, int]] = (),
) -> Compiled:
    """Compile the flows with which this host realises its part of a chain.

    Each chain is compiled by itself, so the work for a change does not depend on the number of
    chains.

    :param remembered: the hops at which flows still visit the pairs from before a change, each as
        its path's ``reverse`` and its index.
    :returns: flows for all bridges of the host.
    :raises UnsupportedPlanError: the plan needs a feature that this agent lacks, or too many flows.
    """
    classification, delivery = set[Flow](), set[Flow]()
    forwarding, affinity = set[Flow](), set[Flow]()
    no_flood: set[NoFlood] = set()
    missing: set[str] = set()
    for context in _paths_on_host(plan, switch, remembered):
        classification |= collect(classifier_flows(context), switch.limits)
        classification |= collect(forwarded_traffic_flows(context), switch.limits)
        delivery |= collect(_delivery(context), switch.limits)
        forwarding |= collect(_forwarding(context), switch.limits)
        affinity |= collect(_affinity(context), switch.limits)
        no_flood |= context.no_flood
        missing |= context.missing
    forwarding |= collect(probe_flows(plan.probes, switch), switch.limits)
    missing.update(wiring.missing_gates(plan, switch))
    return Compiled(
        classification=frozenset(classification),
        delivery=frozenset(delivery),
        forwarding=frozenset(forwarding),
        affinity=frozenset(affinity),
        no_flood=frozenset(no_flood),
        missing=tuple(sorted(missing)),
    )


def compile_visits(
    plan: ChainPlan, switch: LocalSwitch, *, returning: bool = False
) -> Iterator[Flow]:
    """Compile the flows that send packets to functions which return them, here or elsewhere.

    :param returning: as if functions that may only return packets got some, too.
    :raises UnsupportedPlanError: as ``compile_chain``.
    """
    for context in _paths_on_host(plan, switch):
        for index, hop in enumerate(context.path.hops):
            if hop.tap:
                continue
            check_supported(hop)
            for target in distinct(hop.functions if returning else hop.targets):
                if target.host == switch.host:
                    yield from local_delivery_flows(context, index, target)
                elif context.sends_into(index):
                    yield from remote_delivery_flows(context, index, target)


def compile_bypass_guard(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compile flows that drop the traffic of a chain which this host cannot realise.

    Losing a packet is better than letting it bypass the chain's functions. If the classifiers need
    too many flows, all IP packets of the chain's sources are dropped that no other chain takes.
    """
    classification, forwarding = set[Flow](), set[Flow]()
    for context in _paths_on_host(plan, switch):
        try:
            classification |= collect(classifier_flows(context, drop=True), switch.limits)
            classification |= collect(graph_ingress_flows(context, drop=True), switch.limits)
            classification |= collect(forwarded_traffic_flows(context), switch.limits)
            forwarding |= collect(link_traffic_flows(context), switch.limits)
            forwarding |= collect(own_traffic_flows(context), switch.limits)
        except TooManyFlowsError:
            classification |= set(coarse_guard_flows(context))
            forwarding |= set(link_traffic_flows(context, coarse=True))
    return Compiled(classification=frozenset(classification), forwarding=frozenset(forwarding))


def compile_frame_guard(switch: LocalSwitch) -> frozenset[Flow]:
    """Compile the flows that a host needs once, as soon as it has any chain.

    They keep chain frames out of Neutron's tables, and forged ones out of chains. One ends the
    visits of packets to the tables that limit packet rates, and some read the bit of a hash slot.
    On br-chain, they connect ports to their networks, and a host needs them as soon as a port is
    there.
    """
    metering = rate_limits.end_of_metering_flows(switch)
    return frozenset(
        (
            *transport.guard_flows(switch),
            *metering,
            *slot_bit_flows(),
            *wiring.wiring_flows(switch),
            *peer_flows(switch),
        )
    )


def _paths_on_host(
    plan: ChainPlan, switch: LocalSwitch, remembered: Collection[tuple[bool, int]] = ()
) -> Iterator[PathOnHost]:
    for path in plan.paths:
        label = path_label(plan.path_id, path.reverse)
        hops = frozenset(index for reverse, index in remembered if reverse == path.reverse)
        yield PathOnHost(
            path,
            plan.id,
            label,
            plan.generation,
            switch,
            plan.owner,
            hops,
            frozenset(plan.packet_hosts),
            ambiguous_macs(path),
        )


def _delivery(context: PathOnHost) -> Iterator[Flow]:
    for index, _, target in _targets_of_hops(context):
        if target.host == context.switch.host:
            yield from local_delivery_flows(context, index, target)
            yield from sfc_aware.forgery_flows(context, index, target)


def _forwarding(context: PathOnHost) -> Iterator[Flow]:
    yield from graph_ingress_flows(context)
    for index, hop in _hops_sent_into(context):
        yield from pair_selection_flows(context, index, hop)
    for index, hop, target in _targets_of_hops(context):
        sends, is_local = context.sends_into(index), target.host == context.switch.host
        if hop.tap and sends:
            yield from tap_copy_flows(context, index, target)
        if not hop.tap and is_local:
            yield from return_flows(context, index, target)
        elif not hop.tap and sends:
            yield from remote_delivery_flows(context, index, target)
    for index, hop in enumerate(context.path.hops):
        for target in set(distinct(hop.functions)).intersection(hop.returning):
            if target.host == context.switch.host:
                yield from return_flows(context, index, target)
    yield from rejoin_flows(context)
    yield from link_traffic_flows(context)
    yield from own_traffic_flows(context)


def _affinity(context: PathOnHost) -> Iterator[Flow]:
    for index, hop in _hops_sent_into(context):
        yield from affinity_flows(context, index, hop)


def _hops_sent_into(context: PathOnHost) -> Iterator[tuple[int, Hop]]:
    """Yield the hops for which this host selects a pair."""
    for index, hop in enumerate(context.path.hops):
        if context.sends_into(index) and hop.is_visited:
            yield index, hop


def _targets_of_hops(context: PathOnHost) -> Iterator[tuple[int, Hop, Target]]:
    for index, hop in enumerate(context.path.hops):
        for target in distinct(hop.targets):
            yield index, hop, target
