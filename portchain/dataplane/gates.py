"""Gates: where packets leave and enter OVN's pipeline, behind the checks of a Neutron port.

On hosts of ML2/OVN, chains are steered on a bridge of their own, in front of br-int. A port's gate
is a logical port on the network of that port, bound to the same host. Packets that a source sends
to its gate come out of it behind the source's port security and egress rules. What goes in there
is forwarded as if the port had sent it and OVN had checked it.
"""

import hashlib
from collections.abc import Iterator

from portchain.dataplane.host_switch import HostNeeds
from portchain.dataplane.plan import ChainPlan, Path, Source, Target

_PREFIX = "pc-gate-"

_OCTET = 0x0E
"""Locally administered and unicast; Neutron's own addresses (``base_mac``) begin otherwise."""


def gate_name(port_id: str) -> str:
    """Return the name of the logical port that is a Neutron port's gate."""
    return f"{_PREFIX}{port_id}"


def is_gate(name: str) -> bool:
    """Return whether a logical port is a gate."""
    return name.startswith(_PREFIX)


def gate_mac(port_id: str) -> str:
    """Return the MAC address of a Neutron port's gate.

    Host and server compute it by themselves. Two gates of one network have the same address with
    a probability of one in 10^12.
    """
    digest = hashlib.blake2b(port_id.encode(), digest_size=5).digest()
    return ":".join(f"{byte:02x}" for byte in (_OCTET, *digest))


def gated_ports(plan: ChainPlan) -> frozenset[str]:
    """Return the ids of the Neutron ports that need a gate for a chain.

    These are its sources, in both directions of a symmetric chain, and the egress ports of all
    functions that give frames a new source MAC address: packets go on from there behind the last
    function. A function that is not the last one has its gate already when the order changes.
    """
    return frozenset(port_id for path in plan.paths for port_id in _gated_ports(path))


def _gated_ports(path: Path) -> set[str]:
    ends = {
        end.port_id if isinstance(end, Source) else end.egress_port
        for end in (*path.sources, *path.origins)
    }
    functions = {
        target.egress_port
        for hop in path.hops
        if not hop.tap
        for target in hop.functions
        if target.is_origin
    }
    return ends | functions


def needs_of(plan: ChainPlan, host: str) -> HostNeeds:
    """Return what a chain needs of the switch of a host with br-chain.

    :param host: the host's name in Neutron.
    """
    gated = gated_ports(plan)
    ports: set[str] = set()
    peers: set[str] = set()
    for end, port_ids in _ends(plan):
        if end.host == host:
            ports |= {*port_ids, *map(gate_name, gated.intersection(port_ids))}
        elif end.tunnel_ip:
            peers.add(end.tunnel_ip)
    return HostNeeds(frozenset(ports), frozenset(peers))


def _ends(plan: ChainPlan) -> Iterator[tuple[Source | Target, tuple[str, ...]]]:
    """Yield the sources and targets of a chain, each with the ports whose packets it steers.

    If the chain follows another one in a service graph, its packets come from that one's last
    functions, and may continue from that one's sources.
    """
    for path in plan.paths:
        origins = (origin for entry in path.entries for origin in entry.origins)
        for source in (*path.senders, *origins):
            yield source, (source.port_id,)
        for hop in path.hops:
            for target in hop.functions:
                egress = () if hop.tap else (target.egress_port,)
                yield target, (target.ingress_port, *egress)
