"""What was read of a host, for the checks. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from portchain.core.counters import Count
from portchain.dataplane.flow import Bridge, FlowKey, SwitchEntry
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan
from portchain.rpc.state_codec import AgentState


class HostKind(StrEnum):
    """Which agent programs the host's switch."""

    OVS = "ovs"
    """Neutron's Open vSwitch agent with our extension, or a controller in its place."""
    OVN = "ovn"
    """Neutron's OVN agent with our extension, or ``portchain-ovn-agent``."""


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """A bridge that chains need.

    :param role: None for OVN's br-int, which has no flow of ours.
    :param exists: in the database.
    :param refusals: version of OpenFlow that chains need -> why the bridge does not answer it.
    """

    name: str
    role: Bridge | None
    exists: bool = True
    refusals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """An interface of a bridge, as the database has it.

    :param ofport: OpenFlow port number, -1 if Open vSwitch cannot open it; None if it has none yet.
    :param error: why it cannot be opened.
    :param tag: VLAN tag of its port; None if it has none.
    :param wanted_tag: VLAN tag that Neutron's agent has noted for the port.
    :param port_id: the Neutron port that is plugged in; empty if it is none.
    :param remote_ip: of a tunnel, the address of the other end.
    :param mtu: in bytes; 0 if unknown.
    :param carrier: of a tunnel, whether the interface that it leaves by has a link: ``up``,
        ``down`` or empty for unknown.
    :param bfd: of a tunnel, the state that BFD has found out; empty if it is not in use.
    :param egress_mtu: of a tunnel, the MTU of the interface that it leaves by; 0 if unknown.
    """

    name: str
    bridge: str
    type: str = ""
    ofport: int | None = None
    error: str = ""
    admin_state: str = ""
    link_state: str = ""
    tag: int | None = None
    wanted_tag: int | None = None
    port_id: str = ""
    remote_ip: str = ""
    mtu: int = 0
    carrier: str = ""
    bfd: str = ""
    egress_mtu: int = 0

    @property
    def is_open(self) -> bool:
        """Whether Open vSwitch has opened it."""
        return self.ofport is not None and self.ofport > 0


@dataclass(frozen=True, slots=True)
class SwitchFacts:
    """The host's Open vSwitch.

    :param database_error: why its database does not answer; empty if it does.
    :param refused_address: address at which the agent looks for the database and which does not
        answer, although another one does.
    :param daemon_error: why ovs-vswitchd does not answer; empty if it does.
    :param bridges: those that chains need, whether they exist or not.
    :param local: as the agent sees it; None if that cannot be read, as ``local_error`` says.
    :param entries: our entries; None if they cannot be read, as ``entries_error`` says.
    :param counts: what our flows have counted.
    :param lacks_error: why it is not known what the datapath lacks; empty if it is.
    """

    database_error: str = ""
    refused_address: str = ""
    daemon_error: str = ""
    bridges: tuple[BridgeFacts, ...] = ()
    interfaces: tuple[InterfaceFacts, ...] = ()
    local: LocalSwitch | None = None
    local_error: str = ""
    entries: tuple[SwitchEntry, ...] | None = None
    entries_error: str = ""
    counts: Mapping[FlowKey, Count] = field(default_factory=dict)
    lacks_error: str = ""


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """The program that programs the switch.

    :param processes: ids of the host's processes of this kind -> name of the program.
    :param state: what it says of itself; None if it does not answer, as ``silence`` says.
    :param is_older: whether it answers, and its release is too old for this question.
    """

    processes: Mapping[int, str] = field(default_factory=dict)
    state: AgentState | None = None
    silence: str = ""
    is_older: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether it runs, as far as known."""
        return self.state is not None or self.is_older or bool(self.processes)


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The plans of the host.

    :param of_server: as the server has them; None if they cannot be had, as ``silence`` says.
    """

    of_server: tuple[ChainPlan, ...] | None = None
    silence: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was read.

    :param host: its name in Neutron.
    :param bus_error: why the message broker cannot be reached; empty if it can.
    :param sync_interval: seconds between two comparisons of the agent.
    """

    host: str
    kind: HostKind
    switch: SwitchFacts
    agent: AgentFacts = field(default_factory=AgentFacts)
    plans: PlanFacts = field(default_factory=PlanFacts)
    bus_error: str = ""
    sync_interval: int = 30

    @property
    def known_plans(self) -> tuple[ChainPlan, ...] | None:
        """The plans of the server or, if it does not answer, of the agent; None if neither does."""
        if self.plans.of_server is not None:
            return self.plans.of_server
        return self.agent.state.plans if self.agent.state is not None else None

    @property
    def plans_from(self) -> str:
        """Who said what the plans are; empty if nobody did."""
        if self.plans.of_server is not None:
            return "server"
        return "agent" if self.agent.state is not None else ""
