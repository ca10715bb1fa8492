"""When a switch refuses a bundle: whose rules are to blame."""

from collections.abc import Mapping

from portchain.dataplane.diff import order
from portchain.dataplane.flow import SwitchEntry
from portchain.dataplane.ledger import FlowLedger
from portchain.host.switch import Switch


def find_rejected(ledger: FlowLedger, switch: Switch) -> dict[str, str]:
    """Add what is missing in a switch, as far as it takes it. Nothing is removed.

    :param ledger: what the switch is to hold.
    :returns: owners whose rules the switch refuses -> what it says.
    :raises Exception: the switch does not answer.
    """
    present = {entry.key: entry for entry in switch.dump_entries()}
    missing = {
        owner: [entry for entry in ledger.entries_of(owner) if present.get(entry.key) != entry]
        for owner in sorted(ledger.owners)
    }
    return _add({owner: entries for owner, entries in missing.items() if entries}, switch)


def _add(missing: Mapping[str, list[SwitchEntry]], switch: Switch) -> dict[str, str]:
    """Add entries of all together; if that fails, of one half and of the other: one in many is found in few steps."""
    entries = {entry.key: entry for some in missing.values() for entry in some}
    try:
        for batch in order(entries.values(), ()):
            switch.apply(batch)
        return {}
    except Exception as exc:
        if len(missing) == 1:
            switch.dump_entries()  # or nobody was there to refuse it
            return dict.fromkeys(missing, str(exc))
    owners = list(missing)
    halves = owners[: len(owners) // 2], owners[len(owners) // 2 :]
    first, second = ({owner: missing[owner] for owner in half} for half in halves)
    return _add(first, switch) | _add(second, switch)
