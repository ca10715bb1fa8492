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
    :param common: text that identifies what is the same for all hosts, in a form that the driver
        chooses; empty if the driver does not know.
    :param hosts: the hosts that the plan may change anything for, if nothing common has changed;
        ``parts`` has no others. None for all.
    """

    chain_id: str
    revision: int
    parts: Mapping[str, str]
    down_reason: str = ""
    warning: str = ""
    packet_hosts: Collection[str] = ()
    common: str = ""
    hosts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class HostChanges:
    """What a recorded plan changes for hosts.

    :param notify: host -> the text of its part in the plan before, for the hosts whose part has
        changed; empty if it is not known.
    :param removed: the hosts that no longer take part.
    :param needs_all: nothing is recorded. The record is of some hosts, and something that is common
        to all has changed, or is not known.
    """

    notify: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    needs_all: bool = False


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What is known of a host, apart from its ports.

    :param address: of its tunnel endpoint; empty without tunnels.
    :param tunnel_types: such as ``vxlan``.
    :param minor_version: of the wire contract that it follows; 0 if unknown.
    """

    address: str = ""
    tunnel_types: frozenset[str] = frozenset()
    minor_version: int = 0


@dataclass(frozen=True, slots=True)
class PortChanges:
    """What events of ports have changed of a chain since a plan of it was realised.

    :param basis: text that identifies as of when events of the chain's ports are noted, and where
        the ports are that the chain names. A plan with another basis may differ for any host.
    :param hosts: where the ports are that have changed, or were before; None for any hosts.
    :param known_hosts: what is known of hosts with possible sources of the chain.
    :param events: ids of the events.
    """

    basis: str
    hosts: frozenset[str] | None = None
    known_hosts: Mapping[str, HostFacts] = field(default_factory=dict)
    events: tuple[int, ...] = ()
