"""A host's plans and what is plugged in there -> the rules of its switch.

Each chain is compiled by itself, so the work for one change does not depend on how many chains there are. A packet's way
(``docs/pipeline.md`` has it with pictures)::

    source port -> Neutron's egress checks -> [classify] -> HOP -> BALANCE -> FORWARD -> function's ingress port
                                                             ^                    \\-> tunnel -> [arrive] -> FORWARD
                    function's egress port -> [return] ------/
                                                  \\-> after the last hop: on to Neutron's tables and the destination
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from portchain.dataplane import balance
from portchain.dataplane.flow import Flow, flow
from portchain.dataplane.match import addresses_within, classifier_matches
from portchain.dataplane.pipeline import (
    FIRST_SERVICE_INDEX,
    REG_NEUTRON_NET,
    REG_NEUTRON_PORT,
    REG_SET,
    REG_STEP,
    REG_TARGET,
    TABLES,
    Priority,
    path_label,
    step,
)
from portchain.dataplane.plan import ChainPlan, Hop, Target


class Firewall(StrEnum):
    """Where on the integration bridge Neutron has finished checking what a port sends."""

    OPENVSWITCH = "openvswitch"
    """Security groups are flows on the bridge: the checks end in tables 73 and 94."""

    ELSEWHERE = "elsewhere"
    """No security groups (noop), or they are enforced before the bridge (iptables): table 60."""


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A Neutron port that is plugged into this host's integration bridge.

    :param ofport: OpenFlow port number.
    :param vlan: local VLAN of its network, 1..4094.
    """

    ofport: int
    vlan: int


@dataclass(frozen=True, slots=True)
class LocalSwitch:
    """What the compiler has to know of a host's switch.

    :param host: the host's name in Neutron.
    :param ports: Neutron port id -> where it is plugged in.
    :param patch_to_tun: OpenFlow port of br-int that leads to br-tun; None without tunnels. ``patch_to_int`` the reverse.
    :param tunnels: IP address of the remote end -> OpenFlow port of br-tun.
    """

    host: str
    firewall: Firewall
    ports: Mapping[str, LocalPort] = field(default_factory=dict)
    patch_to_tun: int | None = None
    patch_to_int: int | None = None
    tunnels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of a chain on one host.

    :param missing: what the host lacks at the moment to carry its part of the chain; empty when all is there.
    """

    flows: frozenset[Flow]
    missing: tuple[str, ...] = ()


UNICAST = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"
"""ARP, DHCP discovery, neighbour discovery and multicast stay out of chains: they are about the link, not along a path."""

NO_VLAN = "vlan_tci=0x0000/0x1fff"
"""Frames between br-int and br-tun carry a VLAN tag unless they are ours, so a virtual machine cannot forge one."""

CHAIN_TUNNEL_ID = 0
"""Tunnel id of chain frames. Neutron numbers networks from 1, so no tenant's frame can carry it (docs/decisions/0002)."""

CHAIN_MAC = "0e:70:6f:72:74:63"
"""Source address of the outer Ethernet header between hosts: locally administered, nobody's."""

_TRACKED_NEW = "ct_state=+new-est"


def compile_chain(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute the rules with which this host takes its part in a chain.

    :returns: rules for both bridges; only what ``plan.hosts`` says this host is needed for.
    """
    build = _ChainOnHost(plan, switch)
    flows = frozenset(build.flows())
    return Compiled(flows, tuple(sorted(build.missing)))


def compile_guards(switch: LocalSwitch) -> frozenset[Flow]:
    """The rules a host needs once, as soon as it has any chain: chain frames go to our rules or nowhere."""
    flows = set()
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", "mpls", NO_VLAN)
        flows.add(_rule("LOCAL_SWITCHING", Priority.STRAY, match))
    if switch.patch_to_int is not None:
        match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN)
        flows.add(_rule("TUNNEL_SWITCHING", Priority.STRAY, match))
        for ofport in switch.tunnels.values():
            match = (f"in_port={ofport}", "mpls", _tunnel_id_match())
            flows.add(
                _rule("TUNNEL_SWITCHING", Priority.ARRIVE, match, f"output:{switch.patch_to_int}")
            )
    return frozenset(flows)


class _ChainOnHost:
    """The parts of one compilation share the plan, the switch and a list of what was missing."""

    def __init__(self, plan: ChainPlan, switch: LocalSwitch) -> None:
        self.plan = plan
        self.switch = switch
        self.missing: set[str] = set()

    def flows(self) -> Iterator[Flow]:
        yield from self._classify()
        for index, hop in enumerate(self.plan.hops):
            if self._sends_into(index):
                yield from self._choose(index, hop)
            for target in _distinct(hop.targets):
                if target.host == self.switch.host:
                    yield from self._deliver(index, target)
                    yield from self._return(index, target)
                elif self._sends_into(index):
                    yield from self._send(index, target)

    def _sends_into(self, index: int) -> bool:
        """Whether packets about to visit hop ``index`` can be on this host: from a source, or from the hop before."""
        senders = self.plan.sources if index == 0 else self.plan.hops[index - 1].targets
        return any(sender.host == self.switch.host for sender in senders)

    def _port(self, port_id: str) -> LocalPort | None:
        port = self.switch.ports.get(port_id)
        if port is None:
            self.missing.add(f"port {port_id} is not plugged in on host {self.switch.host}")
        return port

    def _classify(self) -> Iterator[Flow]:
        for source in self.plan.sources:
            # A source that is not plugged in sends nothing: the chain is complete without it, and classifies as it comes.
            port = self.switch.ports.get(source.port_id)
            if source.host != self.switch.host or port is None:
                continue
            enter = (_set_field(step(self.plan.path_id, 0), REG_STEP), _goto("HOP"))
            for words in classifier_matches(self.plan.classifiers[source.classifier]):
                yield from self._hook(words | {f"in_port={port.ofport}", UNICAST}, enter)

    def _hook(self, match: frozenset[str], enter: tuple[str, ...]) -> Iterator[Flow]:
        """Divert packets where Neutron has finished checking what the port sends, not before."""
        if self.switch.firewall is not Firewall.OPENVSWITCH:
            yield _rule("TRANSIENT", Priority.CLASSIFY, match, *enter)
            return
        # The firewall commits a new connection in the rules that we overtake here; its replies need that entry.
        commit = f"ct(commit,zone=NXM_NX_{REG_NEUTRON_NET.upper()}[0..15])"
        yield _rule(
            "ACCEPT_OR_INGRESS", Priority.CLASSIFY_NEW, match | {_TRACKED_NEW}, commit, *enter
        )
        yield _rule("ACCEPT_OR_INGRESS", Priority.CLASSIFY, match, *enter)
        # Replies of connections that others opened come here without passing ACCEPT_OR_INGRESS.
        yield _rule("ACCEPTED_EGRESS", Priority.CLASSIFY, match, *enter)
        # While the firewall has not taken charge of the port (its rules are lost when the switch restarts), packets would be
        # switched normally from here; below its rule, above NORMAL.
        yield _rule("TRANSIENT", Priority.CLASSIFY_UNGUARDED, match, *enter)

    def _choose(self, index: int, hop: Hop) -> Iterator[Flow]:
        match = (f"{REG_STEP}={step(self.plan.path_id, index):#x}",)
        weights = {target.pair_id: target.weight for target in _distinct(hop.targets)}
        slots = balance.deal_slots(weights)
        if len(set(slots)) <= 1:
            # Nobody to visit: drop, because a packet that skipped the function would be worse than a lost one.
            chosen = (
                (_set_field(target_number(slots[0]), REG_TARGET), _goto("FORWARD")) if slots else ()
            )
            yield _rule("HOP", Priority.STEP, match, *chosen)
            return
        number = balance.set_number(weights)
        spread = (
            f"multipath({_hash_fields(hop)},0,modulo_n,{balance.SLOTS},0,"
            f"NXM_NX_{REG_TARGET.upper()}[0..{balance.SLOTS.bit_length() - 2}])"
        )
        yield _rule(
            "HOP", Priority.STEP, match, _set_field(number, REG_SET), spread, _goto("BALANCE")
        )
        for slot, pair in enumerate(slots):
            words = (f"{REG_SET}={number:#x}", f"{REG_TARGET}={hex(slot) if slot else 0}")
            yield _rule(
                "BALANCE",
                Priority.STEP,
                words,
                _set_field(target_number(pair), REG_TARGET),
                _goto("FORWARD"),
            )

    def _forward_match(self, index: int, target: Target) -> tuple[str, ...]:
        return (
            f"{REG_STEP}={step(self.plan.path_id, index):#x}",
            f"{REG_TARGET}={target_number(target.pair_id):#x}",
        )

    def _deliver(self, index: int, target: Target) -> Iterator[Flow]:
        if (ingress := self._port(target.ingress_port)) is None or self._port(
            target.egress_port
        ) is None:
            return
        yield _rule(
            "FORWARD",
            Priority.STEP,
            self._forward_match(index, target),
            f"set_field:{target.ingress_mac}->eth_dst",
            f"output:{ingress.ofport}",
        )
        if self.switch.patch_to_tun is not None:
            match = (f"in_port={self.switch.patch_to_tun}", *_frame_match(self.plan, target))
            yield _rule(
                "LOCAL_SWITCHING",
                Priority.ARRIVE,
                match,
                "decap()",
                "decap(packet_type(ns=0,type=0))",
                _set_field(step(self.plan.path_id, index), REG_STEP),
                _set_field(target_number(target.pair_id), REG_TARGET),
                _goto("FORWARD"),
            )

    def _send(self, index: int, target: Target) -> Iterator[Flow]:
        tunnel = self.switch.tunnels.get(target.tunnel_ip)
        if tunnel is None or self.switch.patch_to_tun is None or self.switch.patch_to_int is None:
            self.missing.add(
                f"no tunnel from host {self.switch.host} to {target.host} ({target.tunnel_ip or 'no address'})"
            )
            return
        yield _rule(
            "FORWARD",
            Priority.STEP,
            self._forward_match(index, target),
            "encap(mpls)",
            f"set_field:{path_label(self.plan.path_id)}->mpls_label",
            f"set_field:{FIRST_SERVICE_INDEX - index}->mpls_ttl",
            "encap(ethernet)",
            f"set_field:{target.ingress_mac}->eth_dst",
            f"set_field:{CHAIN_MAC}->eth_src",
            f"output:{self.switch.patch_to_tun}",
        )
        match = (f"in_port={self.switch.patch_to_int}", *_frame_match(self.plan, target))
        yield _rule(
            "TUNNEL_SWITCHING",
            Priority.ARRIVE,
            match,
            f"set_field:{CHAIN_TUNNEL_ID}->tun_id",
            f"output:{tunnel}",
        )

    def _return(self, index: int, target: Target) -> Iterator[Flow]:
        """What the function sends back goes to the next hop, or after the last on to its destination."""
        if (egress := self._port(target.egress_port)) is None:
            return
        is_last = index + 1 == len(self.plan.hops)
        onward = self._leave(egress) if is_last else self._enter_next(index)
        for number, classifier in enumerate(self.plan.classifiers):
            known = [
                address
                for source in self.plan.sources
                if source.classifier == number
                for address in addresses_within(source.addresses, classifier)
            ]
            came_from = frozenset({f"in_port={egress.ofport}", UNICAST})
            if known and classifier.source_port_known:
                for words in classifier_matches(classifier, known):
                    yield _rule(
                        "LOCAL_SWITCHING", Priority.RETURN_EXACT, words | came_from, *onward
                    )
            for words in classifier_matches(classifier):
                yield _rule("LOCAL_SWITCHING", Priority.RETURN, words | came_from, *onward)

    def _enter_next(self, index: int) -> tuple[str, ...]:
        return (_set_field(step(self.plan.path_id, index + 1), REG_STEP), _goto("HOP"))

    def _leave(self, egress: LocalPort) -> tuple[str, ...]:
        """Rejoin Neutron's tables behind the egress checks: the chain vouches for what the function sends in its course.

        The function's port is not tracked: conntrack sees one direction only and would call the second packet invalid.
        """
        if self.switch.firewall is not Firewall.OPENVSWITCH:
            return (_goto("TRANSIENT"),)
        return (
            _set_field(egress.ofport, REG_NEUTRON_PORT),
            _set_field(egress.vlan, REG_NEUTRON_NET),
            _goto("ACCEPT_OR_INGRESS"),
        )


def target_number(pair_id: str) -> int:
    """The first 32 bits of a pair's id, which name it in registers: easy to find again in a dump."""
    return int(pair_id.replace("-", "")[:8], 16)


def _distinct(targets: tuple[Target, ...]) -> Iterator[Target]:
    """The targets whose numbers differ from all before them; two in four billion share one, and then the first serves."""
    seen = set()
    for target in sorted(targets, key=lambda target: target.pair_id):
        if (number := target_number(target.pair_id)) not in seen:
            seen.add(number)
            yield target


# lb_fields the switch can hash by alone; the empty set is the whole 5-tuple, the same for both directions of a flow.
HASH_FIELDS = {
    frozenset[str](): "symmetric_l3l4+udp",
    frozenset({"eth_src"}): "eth_src",
    frozenset({"ip_src"}): "nw_src",
    frozenset({"ip_dst"}): "nw_dst",
}


def _hash_fields(hop: Hop) -> str:
    return HASH_FIELDS[frozenset(hop.lb_fields)]


def _frame_match(plan: ChainPlan, target: Target) -> tuple[str, ...]:
    """A chain frame between hosts: the label says the chain, the outer destination the function."""
    return (
        "mpls",
        NO_VLAN,
        f"mpls_label={path_label(plan.path_id)}",
        f"dl_dst={target.ingress_mac}",
    )


def _tunnel_id_match() -> str:
    return f"tun_id={CHAIN_TUNNEL_ID:#x}" if CHAIN_TUNNEL_ID else "tun_id=0"


def _set_field(value: int, register: str) -> str:
    return f"set_field:{value:#x}->{register}" if value else f"set_field:0->{register}"


def _goto(name: str) -> str:
    return f"goto_table:{TABLES[name].number}"


def _rule(
    table_name: str, priority: int, match: frozenset[str] | tuple[str, ...], *actions: str
) -> Flow:
    table = TABLES[table_name]
    return flow(table.bridge, table.number, priority, match, actions)
