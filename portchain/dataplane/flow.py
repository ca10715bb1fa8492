"""What portchain puts into a switch, as comparable values: OpenFlow flows and port settings.

Flows use the notation of ovs-ofctl(8). Open vSwitch prints each flow in one canonical form, and
the compiler writes exactly that form. So comparing values shows whether a flow is in the switch,
and no flow is rewritten because it merely looks different. A functional test puts every kind of
flow into a real switch and reads it back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar, NamedTuple

from portchain.core.counters import Counter

# "portchn" in ASCII and the version of the flow layout. It stays the same across restarts, so that
# a restarted agent finds its flows.
COOKIE = 0x706F7274_63686E01
"""The cookie of all our flows, and the only sign of ownership: portchain never touches a flow
without it."""

DROP = "drop"

_NOT_OF_MATCH = {"cookie", "duration", "n_packets", "n_bytes", "idle_age", "hard_age", ""}


class BridgeKind(StrEnum):
    """The role of a bridge on a compute host of Neutron's."""

    INT = "br-int"
    TUN = "br-tun"
    PHYSICAL = "physical"

    __hash__ = str.__hash__  # keys of flows are hashed often


class _BridgeFields(NamedTuple):
    kind: BridgeKind
    physical_network: str = ""


class Bridge(_BridgeFields):
    """An Open vSwitch bridge that takes part in steering.

    :param physical_network: of a physical bridge, the physical network that it is connected to.
    """

    __slots__ = ()
    INT: ClassVar["Bridge"]
    TUN: ClassVar["Bridge"]

    @classmethod
    def physical(cls, physical_network: str) -> "Bridge":
        """Return the bridge that is connected to a physical network."""
        return cls(BridgeKind.PHYSICAL, physical_network)

    def __str__(self) -> str:
        return f"{self.kind} {self.physical_network}".strip()


Bridge.INT = Bridge(BridgeKind.INT)
Bridge.TUN = Bridge(BridgeKind.TUN)


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of a conjunction, to which a flow belongs (see ``conjunction``).

    :param number: from 1; ``count``: how many clauses the conjunction has.
    :param common: the words that the flows of all clauses match.
    :param ports: field -> range, for the port ranges that the conjunction matches.
    :param conj_id: the conjunction's number; 0 in the first clause, whose flow identifies what is
        matched: of several owners, only one can have it, with one number.
    """

    number: int
    count: int
    common: frozenset[str]
    ports: tuple[tuple[str, tuple[int, int]], ...]
    conj_id: int = 0


class FlowKey(NamedTuple):
    """What identifies a flow in a switch: a new flow with the same key replaces the old one.

    :param match: words such as ``field=value`` or ``tcp``, in canonical notation.
    :param clause: the clause that the flow belongs to; None in a switch, where flows that differ
        only in this are one.
    """

    bridge: Bridge
    table: int
    priority: int
    match: frozenset[str]
    clause: Clause | None = None

    @property
    def in_switch(self) -> "FlowKey":
        """The key that the flow has in a switch."""
        return self if self.clause is None else self._replace(clause=None)


@dataclass(frozen=True, slots=True)
class Flow:
    """An OpenFlow flow.

    :param actions: in canonical notation, e.g. ``set_field:0x1->reg9,goto_table:152``.
    :param contestable: whether two chains may have this flow with different actions. The switch
        then drops the packets, because the match does not identify their chain.
    :param project: the project whose packets a function returns, as in ``ChainPlan.owner``; empty
        for all other flows. No flow of another project may take one of these packets elsewhere,
        whatever its priority.
    :param counter: what its packets count for; None for nothing. Not part of the switch's flow.
    """

    key: FlowKey
    actions: str
    contestable: bool = field(default=False, compare=False)
    project: str = field(default="", compare=False)
    counter: Counter | None = field(default=None, compare=False)

    def __hash__(self) -> int:
        return hash((self.key.match, self.actions))

    @property
    def match_text(self) -> str:
        """The match for ovs-ofctl; protocol words first because other fields depend on them."""
        words = sorted(self.key.match, key=lambda word: ("=" in word, word))
        return ",".join([f"table={self.key.table}", f"priority={self.key.priority}", *words])

    def __str__(self) -> str:
        return f"{self.key.bridge} {self.match_text},actions={self.actions}"


@dataclass(frozen=True, slots=True)
class NoFlood:
    """A port of br-int to which the NORMAL action sends nothing: it does not flood to the port
    (docs/decisions/0012), and knows no address behind it (docs/decisions/0050).

    :param ofport: OpenFlow port number.
    :param record: as in ``host_switch.LocalPort``. A port that is plugged in again has lost the
        setting, so it has to compare as a different entry.
    """

    ofport: int
    record: str = ""
    contestable: ClassVar[bool] = False

    @property
    def key(self) -> "NoFlood":
        """The entry itself."""
        return self

    def __str__(self) -> str:
        return f"{Bridge.INT} port {self.ofport} no-flood"


SwitchEntry = Flow | NoFlood
"""Something that portchain puts into a switch; each kind has a ``key``."""

EntryKey = FlowKey | NoFlood


def make_flow(
    bridge: Bridge,
    table: int,
    priority: int,
    match: Iterable[str],
    actions: Iterable[str],
    *,
    contestable: bool = False,
    project: str = "",
    counter: Counter | None = None,
) -> Flow:
    """Build a flow from its parts; no actions means drop."""
    key = FlowKey(bridge, table, priority, frozenset(match))
    return Flow(key, ",".join(actions) or DROP, contestable, project, counter)


def parse_dump(bridge: Bridge, text: str) -> list[Flow]:
    """Parse the output of ``ovs-ofctl dump-flows``.

    :param text: one flow a line; other lines are ignored.
    :raises ValueError: a line is malformed.
    """
    return [parse_flow(bridge, line) for line in text.splitlines() if " actions=" in line]


def parse_flow(bridge: Bridge, line: str) -> Flow:
    """Parse one line of the output of ``ovs-ofctl dump-flows``.

    :raises ValueError: it is malformed.
    """
    head, _, actions = line.partition(" actions=")
    before, _, after = head.partition("priority=")
    # The switch prints the match last, behind the priority unless that is the default.
    table, match = _parse_words(before)
    priority = 32768
    if after:
        first, *words = after.replace(" ", "").split(",")
        priority, match = int(first), match.union(words) if match else frozenset(words)
    return Flow(FlowKey(bridge, table, priority, match), actions.strip())


@lru_cache(maxsize=256)
def _parse_words(text: str) -> tuple[int, frozenset[str]]:
    """Parse what is printed before a flow's priority: without statistics, few different texts.

    :returns: the table, and the words of the match.
    :raises ValueError: it is malformed.
    """
    table, match = 0, []
    for word in text.replace(" ", "").split(","):
        name = word.partition("=")[0]
        if name == "table":
            table = int(word[6:])
        elif name not in _NOT_OF_MATCH:
            match.append(word)
    return table, frozenset(match)
