"""What the switch should hold, computed and compared by the functions that the agents use. Pure."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from portchain.dataplane.arbitration import FRAME_GUARD, FlowArbiter, Outcome
from portchain.dataplane.diff import diff
from portchain.dataplane.flow import EntryKey, Flow, SwitchEntry
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.resume import FoundFlows
from portchain.dataplane.transition import ChainTransition


@dataclass(frozen=True, slots=True)
class Differences:
    """The difference between entries that should be in the switch and those that are.

    :param total: how many should be there.
    :param missing: what is not there.
    :param changed: what should be there, and what is there in its place.
    """

    total: int
    missing: tuple[SwitchEntry, ...] = ()
    changed: tuple[tuple[SwitchEntry, SwitchEntry], ...] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """What the switch should hold.

    :param outcomes: chain id -> whether the host can realise it, and what it lacks for that.
    :param of_chain: chain id -> the entries for it.
    :param of_all: the flows that a host with chains needs once.
    :param everything: all entries.
    """

    outcomes: Mapping[str, Outcome]
    of_chain: Mapping[str, Sequence[SwitchEntry]]
    of_all: Sequence[SwitchEntry] = ()
    everything: Collection[SwitchEntry] = ()


def compute(
    plans: Collection[ChainPlan], local: LocalSwitch, entries: Collection[SwitchEntry]
) -> Desired:
    """Compute what the switch should hold, as an agent does that has just started.

    Changes of plans that are going on are left out: their flows go after some seconds.

    :param entries: our entries in the switch. Chains that have flows there have precedence.
    """
    arbiter = FlowArbiter()
    states = {plan.id: ChainTransition(plan) for plan in plans}
    active = FoundFlows(entries).path_ids
    outcomes = arbiter.recompute(states, list(states), local, active_at_start=active)
    of_chain: defaultdict[str, list[SwitchEntry]] = defaultdict(list)
    for owner in sorted(arbiter.ledger.owners - {FRAME_GUARD}):
        of_chain[owner.partition("/")[0]] += arbiter.ledger.entries_of(owner)
    of_all = arbiter.ledger.entries_of(FRAME_GUARD)
    return Desired(outcomes, of_chain, of_all, arbiter.ledger.entries)


def differences(wanted: Collection[SwitchEntry], entries: Collection[SwitchEntry]) -> Differences:
    """Compare what should be in the switch for one purpose with all that is there."""
    keys = {entry.key for entry in wanted}
    present = {entry.key: entry for entry in entries if entry.key in keys}
    missing: list[SwitchEntry] = []
    changed: list[tuple[SwitchEntry, SwitchEntry]] = []
    for batch in diff(wanted, present.values()):
        put: tuple[SwitchEntry, ...] = (*batch.put, *batch.suppress_flooding)
        for entry in put:
            if (found := present.get(entry.key)) is None:
                missing.append(entry)
            else:
                changed.append((entry, found))
    return Differences(len(keys), tuple(missing), tuple(changed))


def surplus(desired: Desired, entries: Collection[SwitchEntry]) -> list[SwitchEntry]:
    """Return our entries in the switch that should not be there at all."""
    present = {entry.key: entry for entry in entries}
    keys: list[EntryKey] = []
    for batch in diff(desired.everything, entries):
        keys += [*batch.remove, *batch.restore_flooding]
    return [present[key] for key in keys]


def numbers_of(entry: SwitchEntry) -> set[int]:
    """Return the numbers of the chains that an entry shows that it is for; perhaps none."""
    if not isinstance(entry, Flow):
        return set()
    found = FoundFlows((entry,))
    return (found.path_ids | found.places.keys() | found.returned) - {0}  # outside of chains
