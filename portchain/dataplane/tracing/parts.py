"""The parts of a host's trace: a switch cannot trace all packets in one go."""

from dataclasses import dataclass

from portchain.dataplane.tracing.output import Visit
from portchain.dataplane.tracing.packet_state import PacketState
from portchain.dataplane.tracing.steps import Exit, Step


@dataclass(frozen=True, slots=True)
class Frozen:
    """A packet of which a trace lacks what the switch would know: an inner header, a learned flow.

    :param visit: the flow that has removed the header around it, or that needs to have learned.
    :param state: before that.
    :param actions: that the packet goes on with; empty if they are those of the flow.
    """

    visit: Visit
    state: PacketState
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explained:
    """What a switch has said of a packet.

    :param frozen: where the trace has to be continued; None if it is complete.
    """

    steps: tuple[Step, ...]
    exits: tuple[Exit, ...]
    frozen: Frozen | None = None
