"""Whether the ports that plans name are plugged in, open, up, and on their network. Pure."""

from collections.abc import Iterator

from portchain.dataplane.gates import gated_ports
from portchain.doctor.checks.context import SOURCE, Context, PortOfPlans
from portchain.doctor.findings import Finding, Report, Severity
from portchain.doctor.snapshot import HostKind, InterfaceFacts

_DEAD_VLAN = 4095
_DOWN = "down"


def check(context: Context) -> Report:
    """Check the ports of this host."""
    facts = context.snapshot.switch
    if context.plans is None or facts.database_error or facts.local is None:
        return Report(unchecked=(context.unchecked("the ports of chains on this host"),))
    found = [one for port in context.ports() for one in _port(context, port)]
    return Report((*found, *_gates(context)))


def _port(context: Context, port: PortOfPlans) -> Iterator[Finding]:
    interfaces = context.interfaces_of(port.port_id)
    if not interfaces:
        yield _finding(
            port,
            "no interface of a bridge has its id (external_ids:iface-id)",
            port.effect,
            "start the virtual machine that has the port, or see why Nova has not plugged it in "
            "(nova-compute's log)",
        )
        return
    if len(interfaces) > 1:
        names = ", ".join(sorted(one.name for one in interfaces))
        yield _finding(
            port,
            f"several interfaces have its id: {names}",
            "flows lead to one of them, and packets may get to an interface that has gone",
            "delete those whose virtual machine has gone (ovs-vsctl del-port)",
        )
    interface = max(interfaces, key=lambda one: (one.is_open, one.bridge == context.chain_bridge))
    yield from _interface(context, port, interface)


def _interface(context: Context, port: PortOfPlans, interface: InterfaceFacts) -> Iterator[Finding]:
    name, bridge = interface.name, context.chain_bridge
    if interface.bridge != bridge:
        yield _finding(
            port,
            f"interface {name} is on bridge {interface.bridge}, and not on {bridge}",
            port.effect
            if context.snapshot.kind is HostKind.OVS
            else "packets of the port go by no chain; OVN drops those that would bypass one",
            f"see the log of {context.agent}, which moves it"
            if context.snapshot.kind is HostKind.OVN
            else f"plug it in on {bridge}",
            may_pass=True,
        )
    elif not interface.is_open:
        error = interface.error or f"its OpenFlow port is {interface.ofport}"
        yield _finding(
            port,
            f"Open vSwitch cannot open interface {name}: {error}",
            port.effect,
            "start the virtual machine again, or delete the interface if the device has gone "
            f"(ovs-vsctl del-port {name})",
            may_pass=True,
        )
    elif context.snapshot.kind is HostKind.OVS:
        yield from _tag(context, port, interface)
    elif (local := context.snapshot.switch.local) and port.port_id not in local.ports:
        yield _finding(
            port,
            f"interface {name} is not connected to its network: the patch port is missing",
            "all packets of the port are lost",
            f"see the log of {context.agent}, which makes the patch ports",
            may_pass=True,
        )
    if interface.is_open and _DOWN in (interface.admin_state, interface.link_state):
        what = "admin_state" if interface.admin_state == _DOWN else "link_state"
        yield _finding(
            port,
            f"interface {name} is down ({what})",
            port.effect,
            f"set it up (ip link set {name} up), or look at the virtual machine",
            may_pass=True,
        )


def _tag(context: Context, port: PortOfPlans, interface: InterfaceFacts) -> Iterator[Finding]:
    """Check the local VLAN: Neutron's agent notes it, and then sets it."""
    tag, wanted = interface.tag, interface.wanted_tag
    if tag == _DEAD_VLAN or (tag is None and wanted is None):
        has = f"has the tag of dead ports ({tag})" if tag else "has no VLAN tag"
        yield _finding(
            port,
            f"interface {interface.name} {has}: Neutron's agent has not wired it",
            "Neutron drops all packets of the port",
            f"see the log of {context.agent}: the port may be unbound, or its network unknown",
            may_pass=True,
        )
    elif tag != wanted and wanted is not None:
        yield _finding(
            port,
            f"interface {interface.name} has VLAN tag {tag}; Neutron's agent has noted {wanted}",
            "the port is on another network of this host than the flows of chains take it for, so "
            "packets are delivered wrongly or lost",
            f"restart {context.agent}, which sets the tag",
            may_pass=True,
        )


def _gates(context: Context) -> Iterator[Finding]:
    """Check that OVN has bound the gates of ports, on hosts of OVN."""
    local = context.snapshot.switch.local
    if local is None or not local.has_br_chain:
        return
    for plan in context.plans or ():
        for port_id in sorted(gated_ports(plan) & local.ports.keys()):
            wire = local.ports[port_id].wire
            if wire is not None and not wire.is_bound:
                yield Finding(
                    severity=Severity.ERROR,
                    compared=f"the gate of port {port_id} with OVN",
                    found="ovn-controller has not bound it to this host",
                    meaning="packets of the port that enter the chain are dropped behind OVN's "
                    "egress checks",
                    action="see whether ovn-controller runs and reaches its Southbound database; "
                    "ovn-nbctl show lists the gate",
                    chain_ids=(plan.id,),
                    may_pass=True,
                )


def _finding(
    port: PortOfPlans, found: str, meaning: str, action: str, *, may_pass: bool = False
) -> Finding:
    roles = ", ".join(sorted(port.roles))
    only_source = port.roles == {SOURCE}
    return Finding(
        severity=Severity.WARNING if only_source else Severity.ERROR,
        compared=f"port {port.port_id} ({roles})",
        found=found,
        meaning=meaning,
        action=action,
        chain_ids=port.chain_ids,
        may_pass=may_pass,
    )
