"""Compares the desired and the actual content of a switch, and orders the changes safely."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge, EntryKey, Flow, FlowKey, NoFlood, SwitchEntry


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one bridge; its flows change together, in one OpenFlow bundle.

    :param put: flows to add; a flow with the key of an existing one replaces it without a gap.
    :param remove: keys of flows to delete.
    :param suppress_flooding: ports to which the switch must stop flooding.
    :param forget_addresses: ports at which the switch must forget the addresses it has learned.
    :param restore_flooding: ports to which the switch may flood again.
    """

    bridge: Bridge
    put: tuple[Flow, ...] = ()
    remove: tuple[FlowKey, ...] = ()
    suppress_flooding: tuple[NoFlood, ...] = ()
    forget_addresses: tuple[NoFlood, ...] = ()
    restore_flooding: tuple[NoFlood, ...] = ()


def keys_of(batch: Batch) -> set[EntryKey]:
    """Return the keys of all entries that a batch changes."""
    entries: tuple[SwitchEntry, ...] = (*batch.put, *batch.suppress_flooding)
    return {*(entry.key for entry in entries), *batch.remove, *batch.restore_flooding}


def without(batches: Iterable[Batch], keys: Collection[EntryKey]) -> list[Batch]:
    """Return batches without their changes of some keys."""
    rest = [
        Batch(
            batch.bridge,
            put=tuple(flow for flow in batch.put if flow.key not in keys),
            remove=tuple(key for key in batch.remove if key not in keys),
            suppress_flooding=tuple(port for port in batch.suppress_flooding if port not in keys),
            forget_addresses=tuple(port for port in batch.forget_addresses if port not in keys),
            restore_flooding=tuple(port for port in batch.restore_flooding if port not in keys),
        )
        for batch in batches
    ]
    return [batch for batch in rest if batch != Batch(batch.bridge)]


def diff(desired: Iterable[SwitchEntry], actual: Iterable[SwitchEntry]) -> list[Batch]:
    """Compute the changes that turn the actual content of a switch into the desired content.

    :param actual: our entries in the switch.
    :returns: batches in the order in which to apply them; empty if nothing differs.
    """
    wanted = {entry.key: entry for entry in desired}
    present = {entry.key: entry for entry in actual}
    put = [entry for key, entry in wanted.items() if present.get(key) != entry]
    remove = [key for key in present if key not in wanted]
    return order(put, remove)


def order(put: Collection[SwitchEntry], remove: Collection[EntryKey]) -> list[Batch]:
    """Order changes so that they make before they break.

    A bundle is atomic on one bridge only. So the bridges towards other hosts get their new flows
    before br-int changes, and lose their old flows after it. Flooding to a port is suppressed
    before the first flow that needs that, and restored after the last one. The addresses behind
    the port are forgotten once flows keep the switch from learning them again.
    """
    added: defaultdict[Bridge, list[Flow]] = defaultdict(list)
    deleted: defaultdict[Bridge, list[FlowKey]] = defaultdict(list)
    for entry in put:
        if isinstance(entry, Flow):
            added[entry.key.bridge].append(entry)
    for key in remove:
        if isinstance(key, FlowKey):
            deleted[key.bridge].append(key)
    outer = sorted((added.keys() | deleted.keys()) - {Bridge.INT}, key=str)
    suppressed = tuple(entry for entry in put if isinstance(entry, NoFlood))
    batches = (
        Batch(Bridge.INT, suppress_flooding=suppressed),
        *(Batch(bridge, put=tuple(added[bridge])) for bridge in outer),
        Batch(Bridge.INT, put=tuple(added[Bridge.INT]), remove=tuple(deleted[Bridge.INT])),
        Batch(Bridge.INT, forget_addresses=suppressed),
        *(Batch(bridge, remove=tuple(deleted[bridge])) for bridge in outer),
        Batch(
            Bridge.INT, restore_flooding=tuple(key for key in remove if isinstance(key, NoFlood))
        ),
    )
    return [batch for batch in batches if batch != Batch(batch.bridge)]
