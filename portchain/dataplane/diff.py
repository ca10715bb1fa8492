"""From what a switch should hold and what it holds to the operations that make it so, in a safe order."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge, EntryKey, Flow, FlowKey, NoFlood, SwitchEntry


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one bridge; those of rules take effect together, as one OpenFlow bundle.

    :param put: rules to add; one with the key of an existing rule replaces it without a gap.
    :param remove: keys of rules to delete.
    :param suppress_flooding: ports that are not to be flooded to any more. ``restore_flooding`` the reverse.
    """

    bridge: Bridge
    put: tuple[Flow, ...] = ()
    remove: tuple[FlowKey, ...] = ()
    suppress_flooding: tuple[NoFlood, ...] = ()
    restore_flooding: tuple[NoFlood, ...] = ()


def diff(desired: Iterable[SwitchEntry], actual: Iterable[SwitchEntry]) -> list[Batch]:
    """Compute what turns the actual content of a switch into the desired one.

    :param actual: what is ours in the switch.
    :returns: batches in the order in which to apply them; none if nothing differs.
    """
    wanted = {entry.key: entry for entry in desired}
    present = {entry.key: entry for entry in actual}
    put = [entry for key, entry in wanted.items() if present.get(key) != entry]
    remove = [key for key in present if key not in wanted]
    return order(put, remove)


def order(put: Collection[SwitchEntry], remove: Collection[EntryKey]) -> list[Batch]:
    """Arrange changes make-before-break: the way between hosts first, then what sends onto it, then the clean-up.

    A bundle is atomic on one bridge only, so the bridges towards other hosts get their new rules before and lose their old
    ones after br-int changes. Ports are suppress_floodinged from floods as long as any rule sends something there.
    """
    added: defaultdict[Bridge, list[Flow]] = defaultdict(list)
    gone: defaultdict[Bridge, list[FlowKey]] = defaultdict(list)
    for entry in put:
        if isinstance(entry, Flow):
            added[entry.key.bridge].append(entry)
    for key in remove:
        if isinstance(key, FlowKey):
            gone[key.bridge].append(key)
    outer = sorted((added.keys() | gone.keys()) - {Bridge.INT}, key=str)
    batches = (
        Batch(
            Bridge.INT,
            suppress_flooding=tuple(entry for entry in put if isinstance(entry, NoFlood)),
        ),
        *(Batch(bridge, put=tuple(added[bridge])) for bridge in outer),
        Batch(Bridge.INT, put=tuple(added[Bridge.INT]), remove=tuple(gone[Bridge.INT])),
        *(Batch(bridge, remove=tuple(gone[bridge])) for bridge in outer),
        Batch(
            Bridge.INT, restore_flooding=tuple(key for key in remove if isinstance(key, NoFlood))
        ),
    )
    return [batch for batch in batches if batch != Batch(batch.bridge)]
