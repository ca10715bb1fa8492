"""Plans and switches for tests, with readable identifiers."""

import uuid
from collections.abc import Collection
from dataclasses import replace

from portchain.core.function_kinds import find
from portchain.core.model import FunctionKind
from portchain.dataplane.host_switch import FROM_TUNNELS, Firewall, LocalPort, LocalSwitch, Wire
from portchain.dataplane.plan import ChainPlan, Classifier, EarlierPairs, Hop, Path, Source, Target

HOSTS = ("h1", "h2", "h3")
TUNNEL_IPS = {host: f"192.0.2.{number}" for number, host in enumerate(HOSTS, 1)}


def ident(name: str) -> str:
    """A UUID that is always the same for a name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def mac(name: str) -> str:
    """A unicast MAC address that is always the same for a name."""
    return "fa:16:3e:" + ":".join(
        f"{byte:02x}" for byte in uuid.uuid5(uuid.NAMESPACE_DNS, name).bytes[:3]
    )


def target(
    name: str, host: str, weight: int = 1, bridges: bool = False, encapsulation: str = ""
) -> Target:
    """A pair called ``name`` with ports ``name-in`` and ``name-out`` on a host."""
    return Target(
        pair_id=ident(name),
        host=host,
        tunnel_ip=TUNNEL_IPS[host],
        ingress_port=ident(f"{name}-in"),
        ingress_mac=mac(f"{name}-in"),
        egress_port=ident(f"{name}-out"),
        egress_mac=mac(f"{name}-out"),
        weight=weight,
        function=find(FunctionKind.L2 if bridges else FunctionKind.L3, encapsulation or None),
    )


def single(target: Target) -> Target:
    """The same function with one port for both."""
    return replace(target, egress_port=target.ingress_port, egress_mac=target.ingress_mac)


def tap(target: Target) -> Hop:
    """A hop whose target gets copies."""
    return Hop(99, (target,), tap=True)


def source(name: str = "vm", host: str = "h1", *addresses: str, number: int = 0) -> Source:
    """A port whose traffic the classifier with this number matches."""
    return Source(number, ident(name), host, TUNNEL_IPS[host], mac(name), addresses)


def classifier(**changes: object) -> Classifier:
    """The classifier of the specification: TCP 23 -> 100 between two prefixes."""
    fields: dict[str, object] = {
        "ethertype": "IPv4",
        "protocol": 6,
        "source_ports": (23, 23),
        "destination_ports": (100, 100),
        "source_prefixes": ("10.0.0.10/32",),
        "destination_prefixes": ("10.0.0.20/32",),
    }
    return Classifier(**{**fields, **changes})  # type: ignore[arg-type]


def chain(
    *hops: list[Target] | Hop,
    name: str = "pc1",
    path_id: int = 1,
    revision: int = 1,
    **changes: object,
) -> ChainPlan:
    """A chain through these hops whose source port ``vm`` is on host h1."""
    fields: dict[str, object] = {
        "classifiers": (classifier(),),
        "sources": (source("vm", "h1", "10.0.0.10"),),
    }
    path = Path(
        hops=tuple(
            hop if isinstance(hop, Hop) else Hop(number, tuple(hop))
            for number, hop in enumerate(hops, 1)
        ),
        **{**fields, **changes},  # type: ignore[arg-type]
    )
    return ChainPlan(ident(name), path_id, revision, (path,), generation=0, packet_hosts=HOSTS)


def after(plan: ChainPlan, *previous: ChainPlan, new_flows: bool = True) -> ChainPlan:
    """The plan with what the server says of the plans before it.

    :param previous: plans of the same groups, the oldest first.
    :param new_flows: as in ``EarlierPairs``.
    """
    paths = []
    for number, path in enumerate(plan.paths):
        hops = tuple(
            replace(
                hop,
                earlier_pairs=tuple(
                    EarlierPairs(weights_of(old.paths[number].hops[index]), new_flows)
                    for old in previous
                ),
            )
            for index, hop in enumerate(path.hops)
        )
        paths.append(replace(path, hops=hops))
    return replace(plan, paths=tuple(paths))


def weights_of(hop: Hop) -> tuple[tuple[str, int], ...]:
    """The pairs of a hop, with their weights."""
    return tuple(sorted((target.pair_id, target.weight) for target in hop.targets))


def switch(
    host: str, *port_names: str, firewall: Firewall = Firewall.OPENVSWITCH, first: int = 11
) -> LocalSwitch:
    """A host's switch with these ports plugged in as OpenFlow ports 11, 12, ...; the tunnels are
    101, 102, ...
    """
    return LocalSwitch(
        host=host,
        firewall=firewall,
        ports={ident(name): LocalPort(ofport, 1) for ofport, name in enumerate(port_names, first)},
        patch_to_tun=1,
        patch_to_int=1,
        tunnels={ip: 100 + n for n, (peer, ip) in enumerate(TUNNEL_IPS.items(), 1) if peer != host},
    )


NETWORK, GATE = 1000, 2000
"""Added to a port's number: those of the patch ports that lead to its network and its gate."""


def ovn_switch(
    host: str, *port_names: str, ungated: Collection[str] = (), unbound: Collection[str] = ()
) -> LocalSwitch:
    """A host's switch with br-chain, and ports and tunnels as those of ``switch``.

    :param ungated: names of ports without a gate. ``unbound``: of those whose gate is not bound.
    """
    plugged = switch(host, *port_names, firewall=Firewall.ELSEWHERE)
    ports = {}
    for name in port_names:
        port = plugged.ports[ident(name)]
        network, gate = NETWORK + port.ofport, GATE + port.ofport
        wire = Wire(network) if name in ungated else Wire(network, gate, name not in unbound)
        ports[ident(name)] = replace(port, vlan=0, wire=wire)
    return replace(
        plugged, ports=ports, patch_to_tun=FROM_TUNNELS, patch_to_int=None, has_br_chain=True
    )
