"""What we put into a switch, as comparable values: OpenFlow rules in the notation of ovs-ofctl(8), and settings of ports.

Open vSwitch prints a rule in one canonical form. The compiler writes exactly that form, so "is this rule in the switch?" is a
comparison of values and no rule is ever rewritten for looking different. A test puts every kind of rule into a real
switch and reads it back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

# "portchn" in ASCII and the number of the rule layout. It never changes between starts: a restarted agent finds its rules.
COOKIE = 0x706F7274_63686E01
"""The cookie of every rule of ours, and the only sign of ownership: what carries it is ours, what does not is not."""

DROP = "drop"

_UNPRINTED_PREFIXES = ("cookie=", "duration=", "n_packets=", "n_bytes=", "idle_age=", "hard_age=")


class BridgeKind(StrEnum):
    """What a bridge is for in Neutron's wiring of a compute host."""

    INT = "br-int"
    TUN = "br-tun"
    PHYSICAL = "physical"


@dataclass(frozen=True, slots=True)
class Bridge:
    """An Open vSwitch bridge of a compute host that takes part in steering.

    :param physical_network: for a physical bridge the network it leads to; a host has one bridge for each.
    """

    kind: BridgeKind
    physical_network: str = ""

    INT: ClassVar["Bridge"]
    TUN: ClassVar["Bridge"]

    @classmethod
    def physical(cls, physical_network: str) -> "Bridge":
        """The bridge that leads to a physical network."""
        return cls(BridgeKind.PHYSICAL, physical_network)

    def __str__(self) -> str:
        return f"{self.kind} {self.physical_network}".strip()


Bridge.INT = Bridge(BridgeKind.INT)
Bridge.TUN = Bridge(BridgeKind.TUN)


@dataclass(frozen=True, slots=True)
class FlowKey:
    """What identifies a rule in a switch: adding another with the same key replaces it.

    :param match: ``field=value`` or protocol words in canonical notation.
    """

    bridge: Bridge
    table: int
    priority: int
    match: frozenset[str]


@dataclass(frozen=True, slots=True)
class Flow:
    """An OpenFlow rule.

    :param actions: the actions in canonical notation, e.g. ``set_field:0x1->reg9,goto_table:152``.
    :param contestable: whether others may want the same match to do something else; then nobody's packets are told apart by it,
        and what matches it is dropped.
    """

    key: FlowKey
    actions: str
    contestable: bool = field(default=False, compare=False)

    @property
    def match_text(self) -> str:
        """The match in the notation of ovs-ofctl; protocol words first because other fields depend on them."""
        words = sorted(self.key.match, key=lambda word: ("=" in word, word))
        return ",".join([f"table={self.key.table}", f"priority={self.key.priority}", *words])

    def __str__(self) -> str:
        return f"{self.key.bridge} {self.match_text},actions={self.actions}"


@dataclass(frozen=True, slots=True)
class NoFlood:
    """A port of br-int that the switch's NORMAL action does not flood to (docs/decisions/0012).

    :param ofport: OpenFlow port number.
    :param record: as in ``local.LocalPort``: the setting does not outlive the port.
    """

    ofport: int
    record: str = ""
    contestable: ClassVar[bool] = False

    @property
    def key(self) -> "NoFlood":
        """What identifies it, which is all of it."""
        return self

    def __str__(self) -> str:
        return f"{Bridge.INT} port {self.ofport} no-flood"


SwitchEntry = Flow | NoFlood
"""What a switch is to hold for us; each kind has a ``key``."""

EntryKey = FlowKey | NoFlood


def make_flow(
    bridge: Bridge,
    table: int,
    priority: int,
    match: Iterable[str],
    actions: Iterable[str],
    *,
    contestable: bool = False,
) -> Flow:
    """Build a rule from its parts; no actions means drop."""
    key = FlowKey(bridge, table, priority, frozenset(match))
    return Flow(key, ",".join(actions) or DROP, contestable)


def parse_dump(bridge: Bridge, text: str) -> list[Flow]:
    """Read what ``ovs-ofctl dump-flows`` printed.

    :param text: one rule a line; other lines are passed over.
    :raises ValueError: a rule whose parts cannot be told apart.
    """
    return [_parse_line(bridge, line) for line in text.splitlines() if " actions=" in line]


def _parse_line(bridge: Bridge, line: str) -> Flow:
    head, _, actions = line.strip().partition(" actions=")
    words = [
        word
        for word in head.replace(", ", ",").split(",")
        if not word.startswith(_UNPRINTED_PREFIXES)
    ]
    table, priority, match = 0, 32768, set()
    for word in (word.strip() for word in words):
        name, _, value = word.partition("=")
        if name == "table":
            table = int(value)
        elif name == "priority":
            priority = int(value)
        elif word:
            match.add(word)
    return Flow(FlowKey(bridge, table, priority, frozenset(match)), actions.strip())
