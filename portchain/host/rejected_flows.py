"""Finds the chains whose flows the switch rejects, so that all others can be programmed."""

from collections.abc import Mapping

from portchain.dataplane.arbitration import FRAME_GUARD
from portchain.dataplane.diff import order
from portchain.dataplane.flow import SwitchEntry
from portchain.dataplane.ledger import FlowLedger
from portchain.host.switch import Switch


def find_rejected(ledger: FlowLedger, switch: Switch) -> dict[str, str]:
    """Add the entries that are missing in a switch, as far as the switch accepts them.

    Removes nothing.

    :param ledger: the entries that the switch should hold.
    :returns: owner whose entries the switch rejects -> the switch's error.
    :raises Exception: the switch does not answer.
    """
    present = {entry.key: entry for entry in switch.dump_entries()}
    missing = {
        owner: [entry for entry in ledger.entries_of(owner) if present.get(entry.key) != entry]
        for owner in sorted(ledger.owners)
    }
    missing = {owner: entries for owner, entries in missing.items() if entries}
    # The flows of chains use these: without those of SLOT_BIT, the first pair of each set would
    # get all packets meanwhile.
    of_all = {FRAME_GUARD: missing.pop(FRAME_GUARD)} if FRAME_GUARD in missing else {}
    return _add(of_all, switch) | _add(missing, switch)


def _add(missing: Mapping[str, list[SwitchEntry]], switch: Switch) -> dict[str, str]:
    """Add the entries of all owners at once. If the switch rejects that, try each half by itself.

    Halving finds one rejected owner among n with about 2 log2(n) attempts.
    """
    entries = {entry.key: entry for of_owner in missing.values() for entry in of_owner}
    try:
        for batch in order(entries.values(), ()):
            switch.apply(batch)
        return {}
    except Exception as exc:
        if len(missing) == 1:
            switch.dump_entries()  # raises if the switch has gone: then nothing was rejected
            return dict.fromkeys(missing, str(exc))
    owners = list(missing)
    halves = owners[: len(owners) // 2], owners[len(owners) // 2 :]
    first, second = ({owner: missing[owner] for owner in half} for half in halves)
    return _add(first, switch) | _add(second, switch)
