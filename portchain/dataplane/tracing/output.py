"""Parses what ``ovs-appctl ofproto/trace`` and ``dpif/show`` print (ovs-vswitchd(8))."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_BRIDGE = re.compile(r'( *)bridge\("(.+)"\)')
_RULE = re.compile(r" *-+")
_VISIT = re.compile(r"( *)(\d+)\. (.*)")
_NOTE = re.compile(r" *(?:->|>>|>>>>) (.*)")
_DATAPATH = "Datapath actions: "
_COOKIE = re.compile(r"(?:, |^)cookie (0x[0-9a-f]+)$")
_PRIORITY = re.compile(r"(?:, |^)priority (\d+)$")
_DEFAULT_PRIORITY = 32768
_TABLE_WIDTH = 2
_PORT = re.compile(r"    (\S.*) (\d+)/(\d+|none): ")
_SHOWN_BRIDGE = re.compile(r"  (\S+):")


@dataclass(frozen=True, slots=True)
class Block:
    """What one bridge does with a packet that has entered it.

    :param number: of the block in the output.
    :param is_on_copy: whether the packet is a copy; the packet itself goes on elsewhere.
    """

    number: int
    bridge: str
    is_on_copy: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """A packet in a table.

    :param match: of the flow that matched, as Open vSwitch prints it; None if none matched.
    :param cookie: of the flow; 0 if it has none.
    """

    block: Block
    table: int
    match: str | None
    priority: int = _DEFAULT_PRIORITY
    cookie: int = 0

    @property
    def bridge(self) -> str:
        """The name of the bridge that has the table."""
        return self.block.bridge


@dataclass(slots=True)
class Action:
    """An action of a flow.

    :param visit: where the flow has matched.
    :param notes: what Open vSwitch says of the action.
    :param is_on_copy: whether the action is about a copy of the packet.
    """

    visit: Visit
    text: str
    notes: list[str] = field(default_factory=list)
    is_on_copy: bool = False


@dataclass(frozen=True, slots=True)
class PassEnd:
    """The end of one pass through the pipeline. The datapath can send the packet through again.

    :param datapath_actions: what the datapath does with the packet.
    """

    datapath_actions: str


Event = Visit | Action | PassEnd


def parse(text: str) -> list[Event]:
    """Return what happens to a packet, in order. Lines of other forms are ignored."""
    return list(_Parser().events(text))


@dataclass(slots=True)
class _Open:
    """A block or a visit whose lines may follow.

    :param indent: of its first line.
    :param inner: of a block, the indent of its first visit; None before that.
    :param copied: of a visit, how many of its next actions are those inside of ``clone``.
    """

    of: Block | Visit
    indent: int
    inner: int | None = None
    copied: int = 0
    last: Action | None = None


class _Parser:
    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._numbers = itertools.count()
        self._frozen: list[str] = []  # bridges whose packets the datapath sends through again
        self._resumes = ""

    def events(self, text: str) -> Iterator[Event]:
        for line in text.splitlines():
            if line.startswith(_DATAPATH):
                self._open.clear()
                self._resumes = self._frozen.pop(0) if self._frozen else ""
                yield PassEnd(line.removeprefix(_DATAPATH))
            elif found := _BRIDGE.fullmatch(line):
                self._enter(len(found[1]), found[2])
            elif found := _NOTE.fullmatch(line):
                if self._open and (action := self._open[-1].last) is not None:
                    action.notes.append(found[1])
            elif found := _VISIT.fullmatch(line):
                indent = len(found[1]) + len(found[2]) - max(_TABLE_WIDTH, len(found[2]))
                yield from self._visit(indent, int(found[2]), found[3])
            elif line.startswith("    ") and not _RULE.fullmatch(line):
                yield from self._act(len(line) - len(line.lstrip()), line.strip())

    def _enter(self, indent: int, bridge: str) -> None:
        while self._open and self._open[-1].indent > indent:
            self._open.pop()
        # Open vSwitch names the bridge where the trace has begun, not the one that resumes.
        bridge, self._resumes = self._resumes or bridge, ""
        self._open.append(_Open(Block(next(self._numbers), bridge, self._is_copying()), indent))

    def _is_copying(self) -> bool:
        """Return whether the action that has opened what follows is about a copy."""
        for one in reversed(self._open):
            if isinstance(one.of, Visit):
                return one.of.block.is_on_copy or (one.last is not None and one.last.is_on_copy)
        return False

    def _visit(self, indent: int, table: int, text: str) -> Iterator[Visit]:
        while self._open and _ends_before_visit(self._open[-1], indent):
            self._open.pop()
        block = next((o for o in reversed(self._open) if isinstance(o.of, Block)), None)
        if block is None or not isinstance(block.of, Block):
            return
        block.inner = indent if block.inner is None else block.inner
        visit = _read_visit(block.of, table, text)
        self._open.append(_Open(visit, indent))
        yield visit

    def _act(self, indent: int, text: str) -> Iterator[Action]:
        while self._open and self._open[-1].indent >= indent:
            self._open.pop()
        if not self._open or not isinstance(self._open[-1].of, Visit):
            return  # a rule about the trace itself, such as where it resumes
        place = self._open[-1]
        assert isinstance(place.of, Visit)
        is_on_copy = place.copied > 0 or place.of.block.is_on_copy
        action = Action(place.of, text, is_on_copy=is_on_copy)
        place.last = action
        if text.startswith("ct(") and "table=" in text:
            self._frozen.append(place.of.bridge)
        place.copied = max(place.copied - 1, 0) + _nested_actions(text)
        yield action


def _ends_before_visit(one: _Open, indent: int) -> bool:
    if isinstance(one.of, Visit):
        return one.indent >= indent
    return one.indent > indent or (one.inner is not None and one.inner > indent)


def _read_visit(block: Block, table: int, text: str) -> Visit:
    if text == "No match.":
        return Visit(block, table, None)
    cookie = _COOKIE.search(text)
    text = _COOKIE.sub("", text)
    priority = _PRIORITY.search(text)
    return Visit(
        block,
        table,
        _PRIORITY.sub("", text),
        int(priority[1]) if priority else _DEFAULT_PRIORITY,
        int(cookie[1], 16) if cookie else 0,
    )


def _nested_actions(text: str) -> int:
    """Return how many actions, printed next, are those inside of ``clone``."""
    return len(split(_inside_clone(text))) if text.startswith("clone(") else 0


def _inside_clone(text: str) -> str:
    return text.removeprefix("clone(").removesuffix(")")


def split(text: str) -> list[str]:
    """Divide a list of actions at the commas that are not in parentheses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]] if text else []


def datapath_outputs(actions: str) -> Iterator[int]:
    """Yield the ports of the datapath to which its actions send the packet or copies of it."""
    for action in split(actions):
        if action.isdigit():
            yield int(action)
        elif action.startswith("clone("):
            yield from datapath_outputs(_inside_clone(action))


def parse_ports(text: str) -> dict[int, tuple[str, int, str]]:
    """Parse what ``dpif/show`` prints.

    :returns: the datapath's number of a port -> bridge, OpenFlow port and name.
    """
    ports: dict[int, tuple[str, int, str]] = {}
    bridge = ""
    for line in text.splitlines():
        if found := _PORT.match(line):
            if found[3] != "none":
                ports[int(found[3])] = bridge, int(found[2]), found[1]
        elif found := _SHOWN_BRIDGE.fullmatch(line):
            bridge = found[1]
    return ports
