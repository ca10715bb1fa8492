"""Whether packets of chains get from this host to the next one, and fit in there. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.interposing import BR_CHAIN
from portchain.dataplane.plan import ChainPlan, Segment, Source, Target
from portchain.dataplane.planning.mtu import TunnelEnd, Underlay, too_long_between_hosts
from portchain.doctor.checks.context import Context
from portchain.doctor.findings import Finding, Report, Severity
from portchain.doctor.snapshot import HostKind, InterfaceFacts
from portchain.doctor.words import listed


@dataclass(frozen=True, slots=True)
class Destination:
    """Another host that this one sends packets of chains to.

    :param address: of its tunnel endpoint; empty if it has none.
    :param segment: of the port there that they are for; None without a provider network.
    """

    host: str
    address: str
    segment: Segment | None = None


def check(context: Context) -> Report:
    """Check the ways to other hosts."""
    facts = context.snapshot.switch
    if context.plans is None or facts.database_error or facts.local is None:
        check_name = "tunnels to the other hosts of chains, and their MTU"
        return Report(unchecked=(context.unchecked(check_name),))
    chains: defaultdict[Destination, set[str]] = defaultdict(set)
    for plan in context.plans:
        for destination in destinations(plan, context.snapshot.host):
            chains[destination].add(plan.id)
    findings: list[Finding] = []
    reported: set[str] = set()
    for destination in sorted(chains, key=lambda one: (one.host, str(one))):
        if destination.host not in reported:
            new = list(_way(context, facts.local, destination, sorted(chains[destination])))
            reported.update(destination.host for _ in new)
            findings += new
    return Report((*findings, *_mtus(context, chains)))


def destinations(plan: ChainPlan, host: str) -> set[Destination]:
    """Return the hosts that a host sends packets of a chain to."""
    found: set[Destination] = set()
    for path in plan.paths:
        for index, hop in enumerate(path.hops):
            if any(sender.host == host for sender in path.senders_into(index)):
                found |= {
                    Destination(one.host, one.tunnel_ip, one.ingress_segment)
                    for one in hop.targets
                    if one.host != host
                }
        returning = (
            one
            for one in path.senders_into(len(path.hops))
            if isinstance(one, Target) and not one.is_origin
        )
        # Frames with the source address of their origin go on from there.
        if any(one.host == host for one in returning):
            found |= {_to_origin(one) for one in path.origins if one.host != host}
    return found


def _to_origin(origin: Source | Target) -> Destination:
    segment = origin.segment if isinstance(origin, Source) else origin.egress_segment
    return Destination(origin.host, origin.tunnel_ip, segment)


def _way(
    context: Context, local: LocalSwitch, to: Destination, chain_ids: list[str]
) -> Iterator[Finding]:
    lost = f"packets of {_chains(chain_ids)} that have to get to host {to.host} are dropped"
    tunnels = _tunnels(context, to.address)
    if to.address in local.tunnels:
        yield from _state(to, tunnels, chain_ids)
    elif tunnels:
        (first, *_) = tunnels
        yield Finding(
            severity=Severity.ERROR,
            compared=f"tunnel to host {to.host} ({to.address})",
            found=f"Open vSwitch cannot open interface {first.name}: "
            f"{first.error or f'its OpenFlow port is {first.ofport}'}",
            meaning=lost,
            action="correct what the error says; ovs-vswitchd's log has more",
            chain_ids=tuple(chain_ids),
            may_pass=True,
        )
    elif to.segment is None or to.segment.physical_network not in local.physical:
        yield Finding(
            severity=Severity.ERROR,
            compared=f"tunnel to host {to.host} ({to.address or 'which has no tunnel address'})",
            found=f"this host has none{_nor_network(to.segment)}",
            meaning=lost,
            action=_get_tunnel(context, to),
            chain_ids=tuple(chain_ids),
            may_pass=True,
        )


def _nor_network(segment: Segment | None) -> str:
    if segment is None:
        return ""
    return f", nor a bridge to physical network {segment.physical_network}"


def _get_tunnel(context: Context, to: Destination) -> str:
    if context.snapshot.kind is HostKind.OVN:
        return f"see the log of {context.agent}, which makes tunnels on br-chain"
    return (
        f"see whether the agent of host {to.host} is alive (openstack network agent list) and has "
        "local_ip and tunnel_types as this one, and this agent's log. With l2_population, a host "
        "has tunnels only to hosts with ports of the same networks. If somebody has deleted the "
        "tunnel's port, a restart of the agent makes it again"
    )


def _state(
    to: Destination, tunnels: Collection[InterfaceFacts], chain_ids: list[str]
) -> Iterator[Finding]:
    for one in tunnels:
        if one.carrier == "down":
            found = f"the interface that tunnel {one.name} leaves by has no link"
        elif one.bfd == "down":
            found = f"BFD says of tunnel {one.name} that the other end does not answer"
        else:
            continue
        yield Finding(
            severity=Severity.ERROR,
            compared=f"tunnel to host {to.host} ({to.address})",
            found=found,
            meaning=f"packets of {_chains(chain_ids)} to that host are lost",
            action=f"look at the network between this host and {to.address}",
            chain_ids=tuple(chain_ids),
            may_pass=True,
        )


def _tunnels(context: Context, address: str) -> list[InterfaceFacts]:
    """Return the tunnels of chains to an address: OVN has others of its own, on br-int."""
    on_ovn = context.snapshot.kind is HostKind.OVN
    return [
        one
        for one in context.snapshot.switch.interfaces
        if address and one.remote_ip == address and (one.bridge == BR_CHAIN or not on_ovn)
    ]


def _chains(chain_ids: Collection[str]) -> str:
    return f"{'chain' if len(chain_ids) == 1 else 'chains'} {listed(chain_ids)}"


def _mtus(context: Context, chains: dict[Destination, set[str]]) -> Iterator[Finding]:
    """Compare the longest packets of this host's ports with what its tunnels carry."""
    interfaces = context.snapshot.switch.interfaces
    mtus = {one.port_id: one.mtu for one in interfaces if one.port_id and one.mtu}
    for to in sorted(chains, key=lambda one: (one.host, str(one))):
        tunnels = [one for one in _tunnels(context, to.address) if one.egress_mtu]
        if not tunnels:
            continue
        mtu = min(one.egress_mtu for one in tunnels)
        end = TunnelEnd(to.address, frozenset(one.type for one in tunnels))
        ends = {context.snapshot.host: end, to.host: end}
        for plan in context.plans or ():
            if plan.id not in chains[to]:
                continue
            worst = too_long_between_hosts(plan, mtus, ends, Underlay(tunnels=mtu))
            if worst is not None and (worst.sender, worst.receiver) == (
                context.snapshot.host,
                to.host,
            ):
                yield Finding(
                    severity=Severity.WARNING,
                    compared=f"MTU of the tunnel to host {to.host} with what chain {plan.id} needs",
                    found=f"the interface that it leaves by has an MTU of {worst.available}; "
                    f"packets of {worst.mtu} bytes need {worst.needed}",
                    meaning=f"packets of the chain longer than {worst.longest} bytes are lost on "
                    f"the way to host {to.host}: connections open, and then hang",
                    action=f"raise the MTU between the hosts to {worst.needed}, or lower that of "
                    f"the networks to {worst.longest}",
                    chain_ids=(plan.id,),
                )
