"""Two tenants behind a function that they share: their world, and an oracle.

Chains are planned and compiled, and packets go through the flows. The oracle knows requests only;
it says at which ports each packet may be seen.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

from portchain.core import rules
from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
    FlowClassifier,
    FunctionKind,
    Port,
    PortChain,
    PortPair,
)
from portchain.core.model import PortPairGroup as Group
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.planning import ambiguity, attribution, limits
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, ident, mac, switch
from tests.simulated_network import Header, Host, Packet, move

UDP = 17
PROVIDER, T1, T2 = "provider", "t1", "t2"
# Two VMs and two functions of each tenant, and the provider's function. The tenants' networks are
# their own, so their addresses may be the same.
VMS = ("t1vm1", "t1vm2", "t2vm1", "t2vm2")
FUNCTIONS = ("t1f1", "t1f2", "t2f1", "t2f2", "shared")
SIDES = ("in", "out")
NO_CHAIN: tuple[bool, list[str]] = (False, [])
FUNCTION_ADDRESSES = {
    f"{name}-{side}": f"10.0.0.{10 + 2 * number + out}"
    for number, name in enumerate(FUNCTIONS)
    for out, side in enumerate(SIDES)
}


@dataclass(frozen=True)
class World:
    """VMs and functions.

    :param addresses: of the VMs.
    :param owner: who owns the shared function.
    :param mappings: how functions change headers, by name.
    :param bridging: names of the functions that bridge; all others route.
    :param single: names of the functions with a single port.
    """

    addresses: dict[str, str]
    owner: str = PROVIDER
    mappings: dict[str, dict[str, Any]] = field(default_factory=dict)
    bridging: frozenset[str] = frozenset()
    single: frozenset[str] = frozenset()

    @property
    def ports(self) -> dict[str, Port]:
        found = {}
        for name, address in {**self.addresses, **FUNCTION_ADDRESSES}.items():
            function = name.partition("-")[0]
            owner = self.owner_of(function)
            translated = self.mappings.get(function, {}).get("source_ip_prefix")
            found[ident(name)] = Port(
                ident(name), ident(f"net-{owner}"), owner, mac(name), (address,), "h1",
                plugged=True, name=name, network_project_id=owner,
                address_pairs=(AddressPair(translated, mac(name)),) if translated else (),
            )  # fmt: skip
        return found

    def owner_of(self, name: str) -> str:
        return self.owner if name == "shared" else name[:2]

    def group(self, name: str) -> Group:
        owner = self.owner_of(name)
        side = "in" if name in self.single else "out"
        pair = PortPair(
            ident(name), owner, ident(f"{name}-in"), ident(f"{name}-{side}"), name,
            kind=FunctionKind.L2 if name in self.bridging else FunctionKind.L3,
        )  # fmt: skip
        mapping = self.mappings.get(name, {})
        return Group(
            ident(f"g-{name}"), owner, FUNCTIONS.index(name) + 1, (pair,), name,
            egress_n_tuple=mapping, shared=name == "shared",
        )  # fmt: skip

    def chain(
        self, project: str, groups: tuple[str, ...], symmetric: bool = False, **classifier: Any
    ) -> ChainSnapshot:
        number = (T1, T2).index(project) + 1
        fc = FlowClassifier(ident(f"fc-{project}"), project, protocol=UDP)
        fc = replace(fc, **classifier)
        chain = PortChain(
            ident(f"pc-{project}"), project, number, tuple(map(self.group, groups)), (fc,),
            symmetric=symmetric, serial=number,
        )  # fmt: skip
        ends = [name for name in VMS if name.startswith(project)]
        return ChainSnapshot(
            chain,
            self.ports,
            {fc.id: tuple(self._sources(fc, ends))},
            {fc.id: tuple(self._destinations(fc, ends))} if symmetric else {},
        )

    def linked(
        self, project: str, first: str, groups: tuple[str, ...], **classifier: Any
    ) -> list[ChainSnapshot]:
        """Return two chains of a service graph: all that the VMs send, then a classifier's part.

        :param first: the function of the first chain. ``groups``: of the second chain.
        """
        before = self.chain(project, (first,), source_prefix="10.0.0.0/29")
        after = self.chain(project, groups, **classifier)
        renamed = replace(
            before.chain,
            id=ident(f"before {before.chain.id}"),
            chain_id=before.chain.chain_id + 10,
            flow_classifiers=tuple(
                replace(fc, id=ident(f"before {fc.id}")) for fc in before.chain.flow_classifiers
            ),
        )
        sources = {ident(f"before {fc}"): ports for fc, ports in before.sources.items()}
        return [
            replace(before, chain=renamed, sources=sources, successors=(after.chain,)),
            replace(
                after,
                sources=dict.fromkeys(after.sources, ()),
                predecessors=(renamed,),
                senders=tuple(port for ports in sources.values() for port in ports),
            ),
        ]

    def _sources(self, fc: FlowClassifier, ends: list[str]) -> Iterator[str]:
        if fc.logical_source_port:
            yield fc.logical_source_port
            return
        for name in ends:
            is_target = fc.logical_destination_port == ident(name) or (
                fc.destination_prefix == f"{self.addresses[name]}/32"
            )
            if _is_in(self.addresses[name], fc.source_prefix) and not is_target:
                yield ident(name)

    def _destinations(self, fc: FlowClassifier, ends: list[str]) -> Iterator[str]:
        if fc.logical_destination_port:
            yield fc.logical_destination_port
            return
        yield from (ident(n) for n in ends if _is_in(self.addresses[n], fc.destination_prefix))

    # The oracle.

    def functions_for(
        self, chain: ChainSnapshot, sender: str, header: Header
    ) -> tuple[bool, list[str]]:
        """Whether a packet is a request, and the functions that it must visit, in their order."""
        (fc,) = chain.chain.flow_classifiers
        names = [group.name for group in chain.chain.port_pair_groups]
        if ident(sender) in chain.sources[fc.id] and self._is_request(fc, header):
            return True, names
        answered = Header(
            header.destination, header.source, header.protocol, header.destination_port,
            header.source_port,
        )  # fmt: skip
        asked_by = (
            [self.addresses[n] for n in VMS if ident(n) == fc.logical_source_port]
            if fc.logical_source_port
            else [answered.source]
        )
        is_reply = self._is_request(fc, answered) and answered.source in asked_by
        if chain.chain.symmetric and ident(sender) in chain.destinations[fc.id] and is_reply:
            return False, names[::-1]
        return NO_CHAIN

    def functions_along(
        self, chains: list[ChainSnapshot], sender: str, header: Header
    ) -> tuple[bool, list[str]]:
        """As `functions_for`, of a project's chains: one, or two in a row of a service graph."""
        if not chains:
            return NO_CHAIN
        is_request, names = self.functions_for(chains[0], sender, header)
        for following in chains[1:] if is_request else ():
            for name in names:
                header = self._changed(header, name)
            (fc,) = following.chain.flow_classifiers
            if self._is_request(fc, header):
                names = names + [group.name for group in following.chain.port_pair_groups]
        return is_request, names

    def _is_request(self, fc: FlowClassifier, header: Header) -> bool:
        low, high = fc.destination_ports or (0, 65535)
        if target := fc.logical_destination_port:
            is_target = header.destination in [self.addresses[n] for n in VMS if ident(n) == target]
        else:
            is_target = _is_in(header.destination, fc.destination_prefix)
        in_range = low <= header.destination_port <= high
        return in_range and is_target and _is_in(header.source, fc.source_prefix)

    def _changes(self, chain: ChainSnapshot) -> bool:
        return any(group.name in self.mappings for group in chain.chain.port_pair_groups)

    # The switch.

    def hosts(self, chains: list[ChainSnapshot], last_first: bool = False) -> dict[str, Host]:
        names = [*self.addresses, *FUNCTION_ADDRESSES]
        local = switch("h1", *names)
        host = Host(local, {name: local.ports[ident(name)].ofport for name in names})
        flows = []
        for chain in reversed(chains) if last_first else chains:
            flows += compile_chain(plan_chain(chain, TUNNEL_IPS).plan, local).flows
        host.install(flows)
        host.bridging, host.single = self.bridging, self.single
        return {"h1": host}

    def functions_visited(
        self, hosts: dict[str, Host], header: Header, *location: str
    ) -> tuple[list[str], str]:
        """Send a packet; return the functions that it visits, and how it ended."""
        packet = Packet(0, header, location=(location[0], "h1", *location[1:]))
        while packet.is_in_flight and len(packet.visited) < 9:
            if packet.location[0] == "function" and packet.visited:
                assert isinstance(packet.classifier, Header)
                packet.classifier = self._changed(packet.classifier, packet.visited[-1])
            move(packet, hosts)
        return packet.visited, str(packet.location[0])

    def _changed(self, header: Header, function: str) -> Header:
        mapping = self.mappings.get(function, {})
        if "source_ip_prefix" in mapping:
            header = replace(header, source=str(ip_network(mapping["source_ip_prefix"])[0]))
        if "destination_port_range_min" in mapping:
            header = replace(header, destination_port=mapping["destination_port_range_min"])
        return header

    def check_packets(self, chains: list[ChainSnapshot]) -> None:
        """Every packet visits the functions of its own project's chain; others visit none."""
        headers = [
            (name, Header(self.addresses[name], f"10.0.0.{target}", UDP, source_port, port))
            for name in VMS
            for target in (1, 2, 3, 10, 18)
            for source_port, port in ((40, 50), (40, 51), (50, 40))
        ]
        sides = ("in",) if "shared" in self.single else SIDES
        own = [
            Header(FUNCTION_ADDRESSES[f"shared-{side}"], f"10.0.0.{target}", UDP, *ports)
            for side in sides
            for target in (1, 2, 3)
            for ports in ((40, 50), (40, 51), (50, 40))
        ]
        hosts_in_order = [self.hosts(chains, last_first) for last_first in (False, True)]
        for hosts, (sender, header) in itertools.product(hosts_in_order, headers):
            mine = [chain for chain in chains if chain.chain.project_id == sender[:2]]
            is_request, wanted = self.functions_along(mine, sender, header)
            if mine and mine[0].chain.symmetric and not is_request and self._changes(mine[0]):
                continue  # a function restores what it changed only for connections that it knows
            visited, end = self.functions_visited(hosts, header, "port", sender)
            assert visited == wanted, (sender, header, visited, wanted)
            assert end == ("delivered" if wanted else "direct"), (sender, header)
        for hosts, side, header in itertools.product(hosts_in_order, sides, own):
            visited, _ = self.functions_visited(hosts, header, "function", "shared", side)
            entered = {self.owner_of(name) for name in visited} - {self.owner}
            assert not entered, f"{entered} took the function's own {header} from {side}"
            assert not visited or self.owner != PROVIDER, "the provider has no chain"


def _is_in(address: str, prefix: str | None) -> bool:
    return prefix is None or ip_address(address) in ip_network(prefix)


def is_accepted(chain: ChainSnapshot, others: list[ChainSnapshot]) -> bool:
    return are_accepted([chain], others)


def are_accepted(own: list[ChainSnapshot], others: list[ChainSnapshot]) -> bool:
    """Tell whether the rules accept the chains of one project beside those of the other one."""
    try:
        rules.check_no_function_twice(own, "port_pair_groups")
        for each in own:
            rules.check_port_chain(each.chain)
            rules.check_ports_in_a_row(each.chain, each.successors)
            limits.check_chain(each)
        attribution.check_isolated(own, others)
        ambiguity.check_unambiguous(own, others)
    except rules.Violation:
        return False
    return True
