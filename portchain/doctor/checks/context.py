"""What all checks need. Pure."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge
from portchain.dataplane.interposing import BR_CHAIN
from portchain.dataplane.plan import ChainPlan
from portchain.doctor.desired import Desired
from portchain.doctor.findings import Unchecked
from portchain.doctor.snapshot import HostKind, InterfaceFacts, Snapshot
from portchain.doctor.words import BridgeNames

AGENTS = {
    HostKind.OVS: "neutron-openvswitch-agent",
    HostKind.OVN: "neutron-ovn-agent or portchain-ovn-agent",
}
"""What programs the switch of a host."""


@dataclass(frozen=True, slots=True)
class Context:
    """A snapshot, and what follows from it.

    :param plans: the host's plans; None if nobody could be asked.
    :param desired: what the switch should hold; None if that cannot be known.
    """

    snapshot: Snapshot
    plans: tuple[ChainPlan, ...] | None
    desired: Desired | None

    @property
    def bridge_names(self) -> BridgeNames:
        """Role of a bridge -> its name."""
        bridges = self.snapshot.switch.bridges
        return {one.role: one.name for one in bridges if one.role is not None}

    @property
    def agent(self) -> str:
        """The name of the host's agent."""
        return AGENTS[self.snapshot.kind]

    @property
    def has_agent(self) -> bool:
        """Whether something is about to put right what is wrong with flows and ports."""
        state = self.snapshot.agent.state
        return self.snapshot.agent.is_alive and (state is None or not state.failure)

    def repair(self, does: str) -> str:
        """Return what to do about flows that are not as they should be.

        :param does: what the agent does with them, e.g. ``deletes them``.
        """
        if not self.snapshot.agent.is_alive:
            return f"start {self.agent}: it {does} when it starts"
        if not self.has_agent:
            return f"see what {self.agent} says in its log: it cannot program the switch"
        seconds = self.snapshot.sync_interval
        return (
            f"run this again after {seconds} s: {self.agent} compares all flows that often and "
            f"{does}. If it does not, see its log. If they are wrong again and again, find out who "
            "changes flows of this bridge"
        )

    def unchecked(self, check: str) -> Unchecked:
        """Return that a check needs plans or the switch, and why they are not known."""
        facts = self.snapshot.switch
        if facts.database_error:
            return Unchecked(check, "Open vSwitch's database does not answer", "see above")
        if facts.local is None:
            return Unchecked(check, f"the ports are not known: {facts.local_error}", "see above")
        if self.plans is None:
            reason = f"neither the server nor the agent says what the plans are: {self._silence}"
            action = (
                "find out why the Neutron server and the agent do not answer on the message "
                "broker, and run this again"
            )
            return Unchecked(check, reason, action)
        return Unchecked(check, f"the flows are not known: {facts.entries_error}", "see above")

    @property
    def _silence(self) -> str:
        return self.snapshot.bus_error or self.snapshot.plans.silence

    def ports(self) -> Iterator["PortOfPlans"]:
        """Yield the Neutron ports of this host that plans name."""
        host = self.snapshot.host
        roles: defaultdict[str, set[str]] = defaultdict(set)
        chains: defaultdict[str, set[str]] = defaultdict(set)
        for plan in self.plans or ():
            for port_id, role in _roles(plan, host):
                roles[port_id].add(role)
                chains[port_id].add(plan.id)
        for port_id in sorted(roles):
            yield PortOfPlans(port_id, frozenset(roles[port_id]), tuple(sorted(chains[port_id])))

    def interfaces_of(self, port_id: str) -> list[InterfaceFacts]:
        """Return the interfaces at which a Neutron port is plugged in."""
        return [one for one in self.snapshot.switch.interfaces if one.port_id == port_id]

    @property
    def chain_bridge(self) -> str:
        """The name of the bridge that has the ports of chains."""
        if self.snapshot.kind is HostKind.OVN:
            return BR_CHAIN
        return self.bridge_names.get(Bridge.INT, "br-int")


SOURCE, INGRESS, EGRESS = "source", "ingress port of a function", "egress port of a function"


@dataclass(frozen=True, slots=True)
class PortOfPlans:
    """A Neutron port of this host that plans name.

    :param roles: what it is for chains.
    :param chain_ids: the chains.
    """

    port_id: str
    roles: frozenset[str]
    chain_ids: tuple[str, ...]

    @property
    def effect(self) -> str:
        """What happens to packets while no packet passes the port."""
        if INGRESS in self.roles:
            return "its function gets no packets: those that are for it are dropped"
        if EGRESS in self.roles:
            return "its function gets no packets, because it could not return them"
        return "it sends nothing, so nothing of it is in the chain"


def _roles(plan: ChainPlan, host: str) -> Iterator[tuple[str, str]]:
    for path in plan.paths:
        for sender in path.sources:
            if sender.host == host:
                yield sender.port_id, SOURCE
        for hop in path.hops:
            for target in hop.functions:
                if target.host == host:
                    yield target.ingress_port, INGRESS
                    if not hop.tap:
                        yield target.egress_port, EGRESS
