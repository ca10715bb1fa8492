"""Whether Open vSwitch answers, and has the bridges that chains need. Pure."""

from collections.abc import Iterator

from portchain.dataplane.flow import Bridge, BridgeKind
from portchain.dataplane.interposing import BR_CHAIN
from portchain.doctor.checks.context import Context
from portchain.doctor.findings import Finding, Report, Severity
from portchain.doctor.snapshot import BridgeFacts, HostKind


def check(context: Context) -> Report:
    """Check the host's Open vSwitch."""
    return Report(tuple(_findings(context)))


def _findings(context: Context) -> Iterator[Finding]:
    facts = context.snapshot.switch
    if facts.database_error:
        yield Finding(
            severity=Severity.ERROR,
            compared="Open vSwitch's database (ovsdb-server)",
            found=f"it does not answer: {facts.database_error}",
            meaning="packets go on by the flows that the switch has, but no port is plugged in or "
            "out, and the agent can do nothing",
            action="start ovsdb-server (service openvswitch-switch or openvswitch), or correct "
            "ovsdb_connection in the agent's configuration",
        )
        return
    if facts.refused_address:
        yield Finding(
            severity=Severity.ERROR,
            compared="ovsdb_connection of the agent with Open vSwitch's database",
            found=f"the database does not answer at {facts.refused_address}, but at its local "
            "socket",
            meaning="the agent cannot read ports nor program the switch: packets go on by the "
            "flows of before",
            action=_listen(facts.refused_address),
        )
    if facts.daemon_error:
        yield Finding(
            severity=Severity.ERROR,
            compared="the switch (ovs-vswitchd)",
            found=f"it does not answer: {facts.daemon_error}",
            meaning="a datapath of the kernel forwards connections that it knows and drops the "
            "packets of all others; a userspace datapath forwards nothing",
            action="start ovs-vswitchd (service openvswitch-switch or openvswitch), or see its log",
        )
        return
    for bridge in facts.bridges:
        yield from _bridge(context, bridge)


def _listen(address: str) -> str:
    """Return how to have the database answer at an address in the notation of ovsdb(7)."""
    kind, _, place = address.partition(":")
    host, _, port = place.rpartition(":")
    if kind != "tcp" or not host:
        return "correct ovsdb_connection in the agent's configuration"
    return (
        f"run: ovs-vsctl set-manager ptcp:{port}:{host} (Neutron's agent does so when it starts), "
        "or correct ovsdb_connection"
    )


def _bridge(context: Context, bridge: BridgeFacts) -> Iterator[Finding]:
    if not bridge.exists:
        if bridge.name == BR_CHAIN and not any(True for _ in context.ports()):
            return  # the agent makes it before the first chain
        yield Finding(
            severity=Severity.ERROR,
            compared=f"bridge {bridge.name}",
            found="it does not exist",
            meaning=_without(bridge),
            action=_creator(context, bridge),
            may_pass=True,
        )
    for version, reason in bridge.refusals.items():
        yield Finding(
            severity=Severity.ERROR,
            compared=f"versions of OpenFlow of bridge {bridge.name}",
            found=f"it does not answer {version}: {reason}",
            meaning="the agent can neither read nor write its flows: changes of chains do not come "
            "into force",
            action=f"run: ovs-vsctl add bridge {bridge.name} protocols {version}, and restart "
            f"{context.agent}, which does so when it starts",
        )


def _without(bridge: BridgeFacts) -> str:
    role = bridge.role
    if role is None or role == Bridge.INT:
        return "no packet of this host gets into a chain or to a function"
    if role.kind is BridgeKind.TUN:
        return "packets of chains that go to other hosts by tunnels are dropped"
    return f"packets of chains do not get to other hosts by physical network {_network(role)}"


def _network(role: Bridge) -> str:
    return role.physical_network


def _creator(context: Context, bridge: BridgeFacts) -> str:
    if bridge.role is not None and bridge.role.kind is BridgeKind.PHYSICAL:
        return f"create it (ovs-vsctl add-br {bridge.name}), or correct bridge_mappings"
    if context.snapshot.kind is HostKind.OVN and bridge.role is None:
        return "start ovn-controller, which creates it"
    return f"start {context.agent}, which creates it"
