"""The decisions that a trace consists of."""

from dataclasses import dataclass
from enum import StrEnum

from portchain.dataplane.tracing.packet import Packet


class Decision(StrEnum):
    """What a host decides about a packet."""

    RECEIVED = "RECEIVED"
    """The packet has come from another host."""
    CLASSIFIED = "CLASSIFIED"
    """It enters a chain."""
    NOT_CLASSIFIED = "NOT_CLASSIFIED"
    """It enters none."""
    RETURNED = "RETURNED"
    """A function has returned it, and it goes on in its chain."""
    SELECTED = "SELECTED"
    """A port pair is selected."""
    COPIED = "COPIED"
    """A tap gets a copy."""
    FORWARDED = "FORWARDED"
    """It goes to another host."""
    LEFT = "LEFT"
    """It has passed its chain."""
    DELIVERED = "DELIVERED"
    """A port gets it."""
    DROPPED = "DROPPED"
    """It ends here."""
    LOST = "LOST"
    """The trace cannot follow it."""
    OBSERVED = "OBSERVED"
    """Where a packet that was really sent has been seen: the last step of live traces."""


class Reach(StrEnum):
    """Where packets leave a host's bridges."""

    PORT = "port"
    TUNNEL = "tunnel"
    PHYSICAL = "physical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Start:
    """Where a packet comes from. One of these is not empty.

    :param port_id: the Neutron port that sends it.
    :param peer: tunnel address of the host that sends it.
    :param network: name of the physical network that it comes from.
    """

    port_id: str = ""
    peer: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One decision.

    :param reason: why, in words.
    :param bridge: name of the bridge; ``table``: number of its table; None if no table decides.
    :param chain_id: UUID of the chain that the packet is in; empty if it is in none.
    :param reverse: whether it is on the path of the replies.
    :param hop: index of the hop, from 0.
    :param pair_id: the port pair, or the beginning of its id; empty if none is concerned.
    :param port_id: the port that the packet comes from or goes to.
    :param peer: tunnel address of the host, or name of the physical network, that it goes to.
    """

    decision: Decision
    reason: str
    bridge: str = ""
    table: int | None = None
    chain_id: str = ""
    reverse: bool = False
    hop: int | None = None
    pair_id: str = ""
    port_id: str = ""
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Exit:
    """A way by which a packet leaves a host.

    :param name: id of the port, address of the peer, name of the physical network, or of a bridge.
    :param packet: as it leaves.
    :param pair_id: the pair that gets it; empty if it is not for a function.
    """

    reach: Reach
    name: str
    packet: Packet
    pair_id: str = ""


@dataclass(frozen=True, slots=True)
class HostTrace:
    """What one host does with a packet.

    :param exits: several if it floods the packet; none if it drops the packet.
    """

    steps: tuple[Step, ...]
    exits: tuple[Exit, ...]
