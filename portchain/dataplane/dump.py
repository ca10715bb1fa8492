"""What a switch has printed of its flows, and a quick look whether that is what it should hold.

Comparing entries takes parsing them. But a switch prints a flow that nobody has touched as it did
before. So it is enough to parse the lines that were not there the last time.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping

from portchain.dataplane.flow import Bridge, EntryKey, Flow, NoFlood, SwitchEntry, parse_flow

_PART = 1 << 20
"""Characters that are divided into lines at a time."""

Changes = Mapping[EntryKey, tuple[SwitchEntry | None, SwitchEntry | None]]
"""Key -> its entry before and after; None for none."""


class Dump:
    """Our entries in a switch. Iterating parses them.

    :param flows: bridge -> what ``ovs-ofctl dump-flows --no-stats`` printed: one flow a line; other
        lines are ignored.
    :param settings: our settings of ports.
    """

    def __init__(self, flows: Mapping[Bridge, str], settings: Iterable[NoFlood] = ()) -> None:
        self.settings = frozenset(settings)
        self._flows = flows

    def __iter__(self) -> Iterator[SwitchEntry]:
        yield from self.settings
        for bridge in self._flows:
            for line in self.lines(bridge):
                yield parse_flow(bridge, line)

    @property
    def bridges(self) -> Iterable[Bridge]:
        """The bridges that were read."""
        return self._flows.keys()

    def lines(self, bridge: Bridge) -> Iterator[str]:
        """Yield the lines of a bridge that are flows; not all at once, because of the memory."""
        text, start = self._flows[bridge], 0
        while start < len(text):
            end = text.find("\n", start + _PART) + 1 or len(text)
            yield from (line for line in text[start:end].splitlines() if " actions=" in line)
            start = end


class VerifiedDump:
    """A dump of which is known that it was what the switch should hold.

    Keeps a hash of each line, because text takes much memory.
    """

    def __init__(self, dump: Dump) -> None:
        self._settings = dump.settings
        self._lines = {bridge: array("q", map(hash, dump.lines(bridge))) for bridge in dump.bridges}

    def differs_by(self, dump: Dump, changes: Changes) -> bool:
        """Return whether a later dump is the verified one with some changes, and no others.

        :param changes: all changes of what the switch should hold since this dump.
        """
        effective = [(old, new) for old, new in changes.values() if old != new]
        gone = {old for old, _ in effective if old is not None}
        come = {new for _, new in effective if new is not None}
        if dump.bridges != self._lines.keys() or _has_any(dump, gone):
            return False
        found: set[SwitchEntry] = set(dump.settings - self._settings)
        missing = len(self._settings - dump.settings)
        for bridge in dump.bridges:
            known = set(self._lines[bridge])
            missing += len(known)
            for line in dump.lines(bridge):
                if hash(line) in known:
                    missing -= 1
                else:
                    found.add(parse_flow(bridge, line))
        return found == come and missing == len(gone)


def _has_any(dump: Dump, entries: Collection[SwitchEntry]) -> bool:
    """Return whether a dump has one of some entries. Parses the lines with their actions only."""
    actions = {entry.actions for entry in entries if isinstance(entry, Flow)}
    return not dump.settings.isdisjoint(entries) or (
        bool(actions)
        and any(
            parse_flow(bridge, line) in entries
            for bridge in dump.bridges
            for line in dump.lines(bridge)
            if line.rpartition(" actions=")[2] in actions
        )
    )
