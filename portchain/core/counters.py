"""What a host counts of its chains: which packets, and how many of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class CounterKind(StrEnum):
    """What is counted; each packet of a chain counts at most once for each counter.

    The members are also words of the RPC contract and of the API.
    """

    CLASSIFIED = "classified"
    """Packets that a flow classifier of the chain has matched. Subject: the classifier's id."""
    IN = "in"
    """Packets that were given to a function, copies for taps included. Subject: the pair's id."""
    OUT = "out"
    """Packets of the chain that a function has returned. Subject: the pair's id."""
    LEARNED = "learned"
    """Flows, not packets, that stay at a pair because the switch has learned it, at the moment.
    Subject: the pair's id."""
    DROPPED = "dropped"
    """Packets that a flow of the chain drops. Subject: a ``DropReason``."""


class DropReason(StrEnum):
    """Why a flow of a chain drops packets."""

    NO_FUNCTION = "no_function"
    """The hop has no port pair that could take them."""
    FRAGMENT = "fragment"
    """A fragment does not show to which chain or pair it belongs (docs/decisions/0049)."""
    UNREALISED = "unrealised"
    """The host does not realise the chain as it is now; the packets would bypass it."""
    HEADER_UNCHANGED = "header_unchanged"
    """The function has returned them with a header that it should have changed."""


class Counter(NamedTuple):
    """What a flow counts.

    :param chain_id: UUID of the port chain.
    :param reverse: whether it is on the path of the replies.
    :param kind: a ``CounterKind``.
    :param subject: what it counts for, see ``CounterKind``.
    """

    chain_id: str
    reverse: bool
    kind: str
    subject: str


class Count(NamedTuple):
    """Packets, and their bytes (whole Ethernet frames, as the flow has seen them).

    :param packets: of ``CounterKind.LEARNED``, flows; their bytes are 0.
    """

    packets: int = 0
    bytes: int = 0

    def plus(self, other: "Count") -> "Count":
        """Return the sum."""
        return Count(self.packets + other.packets, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class HostCounts:
    """What hosts have counted of a chain.

    :param answers: host -> what it has counted, of those that answered.
    :param failures: host -> why it has not answered, for the chain's owner; it names no host.
    """

    answers: Mapping[str, Mapping[Counter, Count]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
