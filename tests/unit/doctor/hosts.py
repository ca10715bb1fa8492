"""Snapshots of hosts for the tests of the checks: healthy ones, to be broken in one place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from portchain.core.function_kinds import L2
from portchain.core.model import HealthCheck
from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.plan import ChainPlan, Probe, Target
from portchain.doctor import desired
from portchain.doctor.checks import context_of, judge
from portchain.doctor.findings import Report
from portchain.doctor.snapshot import (
    AgentFacts,
    BridgeFacts,
    HostKind,
    InterfaceFacts,
    PlanFacts,
    Snapshot,
    SwitchFacts,
)
from portchain.rpc import contract
from portchain.rpc.state_codec import AgentState
from tests.plans import TUNNEL_IPS, chain, ident, mac, ovn_switch, switch, target

PORTS = ("vm", "a-in", "a-out")
CHAIN, VM, INGRESS, EGRESS = ident("pc1"), ident("vm"), ident("a-in"), ident("a-out")
PEER = TUNNEL_IPS["h2"]


def plan(**changes: Any) -> ChainPlan:
    """From a virtual machine on this host, through functions here and on h2."""
    first: Target = target("a", "h1")
    probe = Probe(first.pair_id, "h1", INGRESS, mac("a-in"), EGRESS, HealthCheck.L2, L2)
    made = chain([first], [target("b", "h2")], revision=3)
    return replace(made, probes=(probe,), **changes)


def healthy(plans: Sequence[ChainPlan] | None = None, local: LocalSwitch | None = None) -> Snapshot:
    """Host h1 with Neutron's Open vSwitch agent, on which nothing is wrong."""
    plans = (plan(),) if plans is None else tuple(plans)
    local = local or switch("h1", *PORTS)
    ports = [
        InterfaceFacts(
            *(f"tap-{name}", "br-int"),
            ofport=local.ports[ident(name)].ofport,
            admin_state="up",
            link_state="up",
            tag=1,
            wanted_tag=1,
            port_id=ident(name),
            mtu=1450,
        )
        for name in (*PORTS, "a2-in", "a2-out")
        if ident(name) in local.ports
    ]
    tunnels = [
        InterfaceFacts(
            *(f"vxlan-{ofport}", "br-tun", "vxlan", ofport),
            remote_ip=address,
            carrier="up",
            egress_mtu=1508,
        )
        for address, ofport in local.tunnels.items()
    ]
    bridges = (BridgeFacts("br-int", Bridge.INT), BridgeFacts("br-tun", Bridge.TUN))
    facts = SwitchFacts(
        bridges=bridges,
        interfaces=(*ports, *tunnels),
        local=local,
        entries=tuple(desired.compute(plans, local, ()).everything),
    )
    state = AgentState(
        contract.MINOR_VERSION,
        is_in_sync=True,
        compared_seconds=12,
        revisions={one.id: one.revision for one in plans},
        plans=tuple(plans),
    )
    agent = AgentFacts({4711: "neutron-openvswitch-agent"}, state)
    return Snapshot("h1", HostKind.OVS, facts, agent, PlanFacts(tuple(plans)))


def healthy_on_ovn() -> Snapshot:
    """The same host with OVN."""
    known = healthy(local=ovn_switch("h1", *PORTS))
    facts = replace(
        known.switch,
        bridges=(BridgeFacts("br-int", None), BridgeFacts("br-chain", Bridge.INT)),
        interfaces=tuple(
            replace(one, bridge="br-chain", tag=None, wanted_tag=None)
            for one in known.switch.interfaces
        ),
    )
    agent = replace(known.agent, processes={4711: "neutron-ovn-agent"})
    return replace(known, kind=HostKind.OVN, switch=facts, agent=agent)


def with_switch(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """The snapshot with other facts of the switch."""
    return replace(snapshot, switch=replace(snapshot.switch, **changes))


def with_state(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """The snapshot with another state of the agent."""
    assert snapshot.agent.state is not None
    state = replace(snapshot.agent.state, **changes)
    return replace(snapshot, agent=replace(snapshot.agent, state=state))


def with_interface(snapshot: Snapshot, name: str, **changes: Any) -> Snapshot:
    """The snapshot with another interface of a name."""
    return with_switch(
        snapshot,
        interfaces=tuple(
            replace(one, **changes) if one.name == name else one
            for one in snapshot.switch.interfaces
        ),
    )


def without_interface(snapshot: Snapshot, name: str) -> Snapshot:
    """The snapshot without an interface."""
    kept = tuple(one for one in snapshot.switch.interfaces if one.name != name)
    return with_switch(snapshot, interfaces=kept)


def report_of(snapshot: Snapshot) -> Report:
    """What the checks say."""
    return judge(context_of(snapshot))
