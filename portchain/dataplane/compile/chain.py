"""A host's plans and what is plugged in there -> the rules of its switch.

Each chain is compiled by itself, so the work for one change does not depend on how many chains there are. A packet's way
(``docs/pipeline.md`` has it with pictures)::

    source port -> Neutron's egress checks -> [classify] -> HOP -> BALANCE -> FORWARD -> function's ingress port
                                                             ^                    \\-> tunnel -> [arrive] -> FORWARD
                    function's egress port -> [return] ------/
                                                  \\-> after the last hop: on to Neutron's tables and the destination
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from portchain.dataplane import balance
from portchain.dataplane.flow import Flow
from portchain.dataplane.local import Firewall, LocalPort, LocalSwitch
from portchain.dataplane.match import (
    NEIGHBOUR_DISCOVERY,
    addresses_within,
    classifier_matches,
    takes_neighbour_discovery,
)
from portchain.dataplane.pipeline import (
    DONE,
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
from portchain.dataplane.plan import ChainPlan, Classifier, Hop, Path, Source, Target
from portchain.dataplane.write import (
    CHAIN_MAC,
    CHAIN_TUNNEL_ID,
    HASH_FIELDS,
    NO_VLAN,
    UNICAST,
    frame_match,
    goto,
    rule,
    set_field,
    tunnel_id_match,
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rules of a chain on one host.

    :param missing: what the host lacks at the moment to carry its part of the chain; empty when all is there.
    """

    flows: frozenset[Flow]
    missing: tuple[str, ...] = ()


_TRACKED_NEW = "ct_state=+new-est"

# The traffic class of a chain frame says what for it comes: the next function, or back to its origin after the last.
_ONWARD, _BACK = 0, 1


class UnsupportedPlanError(ValueError):
    """A plan asks for what this version cannot carry out: the server is ahead."""


def compile_chain(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute the rules with which this host takes its part in a chain.

    :returns: rules for both bridges; only what ``plan.hosts`` says this host is needed for.
    :raises UnsupportedPlanError: saying what is not supported.
    """
    flows: set[Flow] = set()
    missing: set[str] = set()
    for path in plan.paths:
        build = _PathOnHost(path, path_label(plan.path_id, path.reverse), switch)
        flows.update(build.flows())
        missing |= build.missing
    return Compiled(frozenset(flows), tuple(sorted(missing)))


def compile_held(plan: ChainPlan, switch: LocalSwitch) -> Compiled:
    """Compute rules that hold back the traffic of a chain that this host cannot carry: it is classified and goes nowhere.

    A packet that skipped its functions would be worse than a lost one.
    """
    flows: set[Flow] = set()
    for path in plan.paths:
        label = path_label(plan.path_id, path.reverse)
        build = _PathOnHost(path, label, switch)
        flows.update(build.classify())
        flows.update(build.neighbours())
    return Compiled(frozenset(flows))


def compile_guards(switch: LocalSwitch) -> frozenset[Flow]:
    """The rules a host needs once, as soon as it has any chain: chain frames go to our rules or nowhere."""
    flows = set()
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", "mpls", NO_VLAN)
        flows.add(rule("LOCAL_SWITCHING", Priority.STRAY, match))
    if switch.patch_to_int is not None:
        match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN)
        flows.add(rule("TUNNEL_SWITCHING", Priority.STRAY, match))
        for ofport in switch.tunnels.values():
            match = (f"in_port={ofport}", "mpls", tunnel_id_match())
            flows.add(
                rule("TUNNEL_SWITCHING", Priority.ARRIVE, match, f"output:{switch.patch_to_int}")
            )
    return frozenset(flows)


class _PathOnHost:
    """The parts of one compilation share the path, the switch and a list of what was missing."""

    def __init__(self, path: Path, label: int, switch: LocalSwitch) -> None:
        self.path = path
        self.label = label
        self.switch = switch
        self.missing: set[str] = set()

    def flows(self) -> Iterator[Flow]:
        yield from self.classify()
        for index, hop in enumerate(self.path.hops):
            if self._sends_into(index):
                yield from self._choose(index, hop)
            for target in _distinct(hop.targets):
                if target.host == self.switch.host:
                    yield from self._deliver(index, target)
                    yield from self._return(index, target)
                elif self._sends_into(index):
                    yield from self._send(index, target)
        yield from self._rejoin()
        yield from self.neighbours()

    def _sends_into(self, index: int) -> bool:
        """Whether packets about to visit hop ``index`` can be on this host: from a source, or from the hop before."""
        senders = self.path.sources if index == 0 else self.path.hops[index - 1].targets
        return any(sender.host == self.switch.host for sender in senders)

    def _port(self, port_id: str) -> LocalPort | None:
        port = self.switch.ports.get(port_id)
        if port is None:
            self.missing.add(f"port {port_id} is not plugged in on host {self.switch.host}")
        return port

    # Into the chain.

    def classify(self) -> Iterator[Flow]:
        """Divert what the plan's sources on this host send to the first hop."""
        for source in self.path.sources:
            # A source that is not plugged in sends nothing: the chain is complete without it, and classifies as it comes.
            port = self.switch.ports.get(source.port_id)
            if source.host != self.switch.host or port is None:
                continue
            enter = (set_field(step(self.label, 0), REG_STEP), goto("HOP"))
            for words in classifier_matches(self.path.classifiers[source.classifier]):
                match = words | {f"in_port={port.ofport}", UNICAST, f"{REG_STEP}=0"}
                yield from self._hook(match, enter)

    def _hook(self, match: frozenset[str], enter: tuple[str, ...]) -> Iterator[Flow]:
        """Divert packets where Neutron has finished checking what the port sends, not before."""
        if self.switch.firewall is not Firewall.OPENVSWITCH:
            yield rule("TRANSIENT", Priority.CLASSIFY, match, *enter)
            return
        # The firewall commits a new connection in the rules that we overtake here; its replies need that entry.
        commit = f"ct(commit,zone=NXM_NX_{REG_NEUTRON_NET.upper()}[0..15])"
        new = match | {_TRACKED_NEW}
        yield rule("ACCEPT_OR_INGRESS", Priority.CLASSIFY_NEW, new, commit, *enter)
        yield rule("ACCEPT_OR_INGRESS", Priority.CLASSIFY, match, *enter)
        # Replies of connections that others opened come here without passing ACCEPT_OR_INGRESS.
        yield rule("ACCEPTED_EGRESS", Priority.CLASSIFY, match, *enter)
        # While the firewall has not taken charge of the port (its rules are lost when the switch restarts), packets would be
        # switched normally from here; below its rule, above NORMAL.
        yield rule("TRANSIENT", Priority.CLASSIFY_UNGUARDED, match, *enter)

    # To a function.

    def _choose(self, index: int, hop: Hop) -> Iterator[Flow]:
        match = (f"{REG_STEP}={step(self.label, index):#x}",)
        weights = {target.pair_id: target.weight for target in _distinct(hop.targets)}
        slots = balance.deal_slots(weights)
        if len(set(slots)) <= 1:
            # Nobody to visit: drop, because a packet that skipped the function would be worse than a lost one.
            number = (set_field(target_number(slots[0]), REG_TARGET),) if slots else ()
            yield rule("HOP", Priority.STEP, match, *number, *((goto("FORWARD"),) if slots else ()))
            return
        set_number = balance.set_number(weights)
        if (fields := HASH_FIELDS.get(frozenset(hop.lb_fields))) is None:
            msg = f"this agent cannot balance by {', '.join(hop.lb_fields)}"
            raise UnsupportedPlanError(msg)
        spread = (
            f"multipath({fields},0,modulo_n,{balance.SLOTS},0,"
            f"NXM_NX_{REG_TARGET.upper()}[0..{balance.SLOTS.bit_length() - 2}])"
        )
        into_set = set_field(set_number, REG_SET)
        yield rule("HOP", Priority.STEP, match, into_set, spread, goto("BALANCE"))
        for slot, pair in enumerate(slots):
            words = (f"{REG_SET}={set_number:#x}", f"{REG_TARGET}={hex(slot) if slot else 0}")
            number = (set_field(target_number(pair), REG_TARGET),)
            yield rule("BALANCE", Priority.STEP, words, *number, goto("FORWARD"))

    def _forward_match(self, index: int, target: Target) -> tuple[str, ...]:
        return (
            f"{REG_STEP}={step(self.label, index):#x}",
            f"{REG_TARGET}={target_number(target.pair_id):#x}",
        )

    def _deliver(self, index: int, target: Target) -> Iterator[Flow]:
        ingress, egress = self._port(target.ingress_port), self._port(target.egress_port)
        if ingress is None or egress is None:
            return
        # A function that bridges gets the frame as the source sent it.
        readdress = () if target.bridges else (f"set_field:{target.ingress_mac}->eth_dst",)
        match = self._forward_match(index, target)
        yield rule("FORWARD", Priority.STEP, match, *readdress, f"output:{ingress.ofport}")
        yield from self._arrive(
            target.ingress_mac,
            _ONWARD,
            set_field(step(self.label, index), REG_STEP),
            set_field(target_number(target.pair_id), REG_TARGET),
            goto("FORWARD"),
        )

    # Between hosts.

    def _arrive(self, mac: str, mark: int, *then: str) -> Iterator[Flow]:
        if self.switch.patch_to_tun is not None:
            match = (
                f"in_port={self.switch.patch_to_tun}",
                *frame_match(self.label, mac),
                f"mpls_tc={mark}",
            )
            taken_off = ("decap()", "decap(packet_type(ns=0,type=0))")
            yield rule("LOCAL_SWITCHING", Priority.ARRIVE, match, *taken_off, *then)

    def _send(self, index: int, target: Target) -> Iterator[Flow]:
        table, match = "FORWARD", self._forward_match(index, target)
        yield from self._tunnel(
            table, match, target, mac=target.ingress_mac, index=index, mark=_ONWARD
        )

    def _tunnel(
        self,
        table: str,
        match: tuple[str, ...],
        to: Source | Target,
        *,
        mac: str,
        index: int,
        mark: int,
    ) -> Iterator[Flow]:
        """Send packets that ``match`` in ``table`` to another host, for the port with address ``mac``."""
        tunnel = self.switch.tunnels.get(to.tunnel_ip)
        here = (self.switch.patch_to_tun, self.switch.patch_to_int)
        if tunnel is None or None in here:
            where = f"{to.host} ({to.tunnel_ip or 'which has no tunnel address'})"
            self.missing.add(f"no tunnel from host {self.switch.host} to {where}")
            return
        yield rule(
            table,
            Priority.STEP,
            match,
            "encap(mpls)",
            f"set_field:{self.label}->mpls_label",
            f"set_field:{mark}->mpls_tc",
            f"set_field:{FIRST_SERVICE_INDEX - index}->mpls_ttl",
            "encap(ethernet)",
            f"set_field:{mac}->eth_dst",
            f"set_field:{CHAIN_MAC}->eth_src",
            f"output:{self.switch.patch_to_tun}",
        )
        frames = (f"in_port={self.switch.patch_to_int}", *frame_match(self.label, mac))
        by = (f"set_field:{CHAIN_TUNNEL_ID}->tun_id", f"output:{tunnel}")
        yield rule("TUNNEL_SWITCHING", Priority.ARRIVE, frames, *by)

    # From a function.

    def _return(self, index: int, target: Target) -> Iterator[Flow]:
        """What the function sends back goes to the next hop, or after the last on to its destination."""
        if (egress := self._port(target.egress_port)) is None:
            return
        onward = self._onward(index, target, egress)
        came_from = frozenset({f"in_port={egress.ofport}", UNICAST, f"{REG_STEP}=0"})
        for number, classifier in enumerate(self.path.classifiers):
            for priority, words in self._returned(number, classifier):
                yield rule("LOCAL_SWITCHING", priority, words | came_from, *onward)
        if target.bridges:
            # Both ends of a bridge in one network make a circle: what it bridges besides the chain, e.g. broadcasts, and what
            # it sends itself would go round for ever.
            for port_id in (target.ingress_port, target.egress_port):
                if (port := self._port(port_id)) is not None:
                    match = (f"in_port={port.ofport}",)
                    yield rule("LOCAL_SWITCHING", Priority.NOT_OF_A_CHAIN, match)

    def _returned(
        self, number: int, classifier: Classifier
    ) -> Iterator[tuple[int, frozenset[str]]]:
        known = [
            address
            for source in self.path.sources
            if source.classifier == number
            for address in addresses_within(source.addresses, classifier)
        ]
        if known and classifier.source_port_known:
            for words in classifier_matches(classifier, known):
                yield Priority.RETURN_EXACT, words
        for words in classifier_matches(classifier):
            yield Priority.RETURN, words

    def _onward(self, index: int, target: Target, egress: LocalPort) -> tuple[str, ...]:
        if index + 1 < len(self.path.hops):
            return (set_field(step(self.label, index + 1), REG_STEP), goto("HOP"))
        if not target.bridges:
            return self._leave(egress)
        return (set_field(step(self.label, index + 1), REG_STEP), goto("REJOIN"))

    def _leave(self, port: LocalPort) -> tuple[str, ...]:
        """Rejoin Neutron's tables behind the egress checks: the chain vouches for what the function sends in its course.

        The port is not tracked: conntrack sees one direction only and would call the second packet invalid.
        """
        if self.switch.firewall is not Firewall.OPENVSWITCH:
            return (set_field(DONE, REG_STEP), goto("TRANSIENT"))
        return (
            set_field(DONE, REG_STEP),
            set_field(port.ofport, REG_NEUTRON_PORT),
            set_field(port.vlan, REG_NEUTRON_NET),
            goto("ACCEPT_OR_INGRESS"),
        )

    def neighbours(self) -> Iterator[Flow]:
        """Keep unicast neighbour discovery out: it is about the link too, and a classifier cannot say "all but these"."""
        if any(takes_neighbour_discovery(classifier) for classifier in self.path.classifiers):
            for icmp_type in NEIGHBOUR_DISCOVERY:
                match = ("icmp6", f"icmp_type={icmp_type}", f"{REG_STEP}=0")
                again = f"resubmit(,{TABLES['LOCAL_SWITCHING'].number})"
                yield rule(
                    "LOCAL_SWITCHING", Priority.LINK, match, set_field(DONE, REG_STEP), again
                )

    def _rejoin(self) -> Iterator[Flow]:
        """A frame that still has the address of its origin goes on from there.

        Elsewhere, every learning switch on its way would take the function's place for the origin's.
        """
        end = len(self.path.hops)
        if not self.path.hops or not any(target.bridges for target in self.path.hops[-1].targets):
            return
        ends_here = any(target.host == self.switch.host for target in self.path.hops[-1].targets)
        for port_id, mac, origin in map(_place, self.path.origins):
            match = (f"{REG_STEP}={step(self.label, end):#x}", f"dl_src={mac}")
            if origin.host == self.switch.host:
                port = self.switch.ports.get(port_id)
                if port is None:
                    continue
                onward = [
                    re.sub(r"goto_table:(\d+)", r"resubmit(,\1)", action)
                    for action in self._leave(port)
                ]
                yield rule(
                    "REJOIN", Priority.STEP, match, f"set_field:{port.ofport}->in_port", *onward
                )
                at_end = set_field(step(self.label, end), REG_STEP)
                yield from self._arrive(mac, _BACK, at_end, goto("REJOIN"))
            elif ends_here:
                yield from self._tunnel("REJOIN", match, origin, mac=mac, index=end, mark=_BACK)


def _place(origin: Source | Target) -> tuple[str, str, Source | Target]:
    """The port and MAC address that an origin's frames come from."""
    if isinstance(origin, Source):
        return origin.port_id, origin.mac, origin
    return origin.egress_port, origin.egress_mac, origin


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
