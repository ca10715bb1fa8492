"""What flows of chains have dropped, and why. Pure."""

from collections import defaultdict

from portchain.core.counters import CounterKind, DropReason
from portchain.dataplane.flow import Flow, FlowKey
from portchain.doctor.checks.context import Context
from portchain.doctor.desired import Desired
from portchain.doctor.findings import Report

_REASONS = {
    DropReason.NO_FUNCTION: "the group has no pair that takes packets",
    DropReason.FRAGMENT: "a fragment does not show which chain or pair it belongs to",
    DropReason.UNREALISED: "this host does not realise the chain as it is now",
    DropReason.HEADER_UNCHANGED: "a function has returned the header that it should have changed",
}


def check(context: Context) -> Report:
    """Note drops. They are no findings: nobody knows here how long ago they were."""
    counts = context.snapshot.switch.counts
    dropped: defaultdict[tuple[str, str], int] = defaultdict(int)
    for chain_id, entries in (context.desired.of_chain if context.desired else {}).items():
        for flow in entries:
            if not isinstance(flow, Flow) or flow.counter is None or flow.key not in counts:
                continue
            if flow.counter.kind == CounterKind.DROPPED:
                dropped[chain_id, flow.counter.subject] += counts[flow.key].packets
    return Report(
        notes=tuple(
            f"chain {chain_id}: this host has dropped {packets} packets since its flows were "
            f"written, because {_because(subject)}"
            for (chain_id, subject), packets in sorted(dropped.items())
            if packets
        )
    )


def keys(desired: Desired) -> set[FlowKey]:
    """Return the flows whose counts this check needs."""
    flows = (entry for entry in desired.everything if isinstance(entry, Flow))
    return {flow.key for flow in flows if flow.counter and flow.counter.kind == CounterKind.DROPPED}


def _because(subject: str) -> str:
    return next((text for reason, text in _REASONS.items() if reason == subject), subject)
