"""What drivers record of a chain's plan before they notify hosts, and what follows. Pure values."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan of a chain that hosts are about to be notified of.

    :param revision: the chain's revision in the plan.
    :param parts: host -> text that identifies what the host must know of the plan, in a form that
        the driver chooses. A host whose text is the same as before need not be notified. Empty if
        the driver does not know: then the host is always notified.
    :param down_reason: why the chain cannot carry traffic even if every host does its part; empty
        if it can.
    :param warning: what the owner should know although the chain carries traffic; empty if nothing.
    :param packet_hosts: the hosts that, by the plan, accept packets in MPLS.
    """

    chain_id: str
    revision: int
    parts: Mapping[str, str]
    down_reason: str = ""
    warning: str = ""
    packet_hosts: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class HostChanges:
    """What a recorded plan changes for hosts.

    :param notify: host -> the text of its part in the plan before, for the hosts whose part has
        changed; empty if it is not known.
    :param removed: the hosts that no longer take part.
    """

    notify: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
