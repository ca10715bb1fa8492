"""Plans of many chains that all have a part on one host."""

import itertools
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from portchain.dataplane.host_switch import Firewall, LocalPort, LocalSwitch
from portchain.dataplane.plan import ChainPlan, Classifier, Hop, Path, Source, Target

HERE = "h0"
_TCP = 6


def ident(name: str) -> str:
    """Return a UUID that is always the same for a name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _mac(name: str) -> str:
    return "fa:16:3e:" + ":".join(
        f"{byte:02x}" for byte in uuid.uuid5(uuid.NAMESPACE_DNS, name).bytes[:3]
    )


def _tunnel_ip(host: int) -> str:
    number = host + 1
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@dataclass(frozen=True, slots=True)
class Cloud:
    """Chains with a classifier of their own and two groups of one or two pairs.

    Half of the sources and half of the functions are on the host ``HERE``.

    :param hosts: number of hosts.
    :param functions: number of functions that all chains share; 0: each chain has its own.
    :param machines: number of sources on each host; chains are spread over them.
    """

    hosts: int = 100
    functions: int = 0
    machines: int = 200

    def plan(self, number: int, *, revision: int = 1, pairs: int = 0) -> ChainPlan:
        """Return the plan of one chain.

        :param number: of the chain, from 0.
        :param pairs: how many pairs the first group has besides its own.
        """
        host = self._host(number)
        machine = number % self.machines
        name, address = f"vm{machine}@{host}", f"10.{64 + machine // 256}.{machine % 256}.10"
        port = 1024 + number % 60000
        classifier = Classifier(
            "IPv4", _TCP, None, (port, port), (f"{address}/32",), (), source_port_known=True
        )
        source = Source(0, ident(name), f"h{host}", _tunnel_ip(host), _mac(name), (address,))
        hops = tuple(
            Hop(
                number * 2 + group + 1,
                tuple(self._targets(number, group, pairs if group == 0 else 0)),
                returned_sources=(f"{address}/32",),
            )
            for group in (0, 1)
        )
        path = Path((classifier,), (source,), hops)
        hosts = {source.host, *(target.host for hop in hops for target in hop.targets)}
        return ChainPlan(
            ident(f"chain{number}"),
            number + 1,
            revision,
            (path,),
            serial=number + 1,
            owner=str(number // 100 + 1),
            generation=0,
            packet_hosts=tuple(sorted(hosts)),
        )

    def _host(self, number: int) -> int:
        return 0 if number % 2 == 0 else 1 + number % (self.hosts - 1)

    def _targets(self, number: int, group: int, more: int) -> Iterable[Target]:
        found = {}
        for pair in range(1 + (number + group) % 2 + more):
            if self.functions:
                index = (number * 7 + group * 3 + pair) % self.functions
                name, host = f"fn{index}", self._host(index)
            else:
                name, host = f"c{number}g{group}p{pair}", self._host(number + group + pair)
            ingress, egress = f"{name}-in", f"{name}-out"
            found[name] = Target(
                *(ident(name), f"h{host}", _tunnel_ip(host)),
                *(ident(ingress), _mac(ingress), ident(egress), _mac(egress)),
                return_macs=(_mac(egress),),
            )
        return found.values()

    def switch(self, plans: Iterable[ChainPlan]) -> LocalSwitch:
        """Return the host ``HERE`` with all ports of plans, and a tunnel to each host."""
        return LocalSwitch(
            HERE,
            Firewall.OPENVSWITCH,
            switch_ports(plans),
            patch_to_tun=1,
            patch_to_int=1,
            tunnels={address: number for number, address in tunnel_addresses(self).items()},
        )


def switch_ports(plans: Iterable[ChainPlan]) -> dict[str, LocalPort]:
    """Return the ports that plans have on the host ``HERE``."""
    ports: dict[str, None] = {}
    for path in itertools.chain.from_iterable(plan.paths for plan in plans):
        ports |= dict.fromkeys(one.port_id for one in path.sources if one.host == HERE)
        for target in itertools.chain.from_iterable(hop.targets for hop in path.hops):
            if target.host == HERE:
                ports |= dict.fromkeys((target.ingress_port, target.egress_port))
    return {port: LocalPort(number, 1, port) for number, port in enumerate(ports, 10)}


def tunnel_addresses(cloud: Cloud) -> dict[int, str]:
    """Return the port of each tunnel of the host ``HERE`` -> the address of the other host."""
    return {10 + host: _tunnel_ip(host) for host in range(1, cloud.hosts)}
