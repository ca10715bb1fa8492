"""One path of a chain on one host: what all stages of the compiler share."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from portchain.core.counters import Counter, CounterKind
from portchain.dataplane.flow import Flow, NoFlood, SwitchEntry
from portchain.dataplane.flow_builder import goto, resubmit, set_field
from portchain.dataplane.host_switch import FlowLimits, LocalPort, LocalSwitch
from portchain.dataplane.pipeline import (
    POSITION_ARRIVED,
    REG_PATH_POSITION,
    REG_TARGET,
    path_position,
)
from portchain.dataplane.plan import Path, Target


class UnsupportedPlanError(ValueError):
    """A plan needs a feature that this agent lacks, because the server is newer."""


class TooManyFlowsError(UnsupportedPlanError):
    """A chain, or all chains of its project, need more flows than the operator allows."""


def collect(flows: Iterable[Flow], limits: FlowLimits) -> set[Flow]:
    """Return the flows of a chain as a set.

    :raises TooManyFlowsError: they are too many. The rest of them is not compiled, because that
        would take long.
    """
    found: set[Flow] = set()
    for flow in flows:
        found.add(flow)
        if limits.chain and len(found) > limits.chain:
            raise TooManyFlowsError(
                f"the chain needs more than {limits.chain} flows on a host, which is the limit "
                "max_chain_flows there. Use fewer or simpler classifiers, fewer groups, or fewer "
                "functions and sources on one host"
            )
    return found


@dataclass(frozen=True, slots=True)
class Compiled:
    """The flows of a chain on one host.

    They are grouped by what they do, because a transition to another plan replaces the groups one
    after the other (docs/decisions/0018).

    :param classification: divert packets into the chain.
    :param delivery: give packets to functions on this host, whichever host has sent them.
    :param forwarding: all between: select a pair, send to other hosts, accept what functions
        return.
    :param affinity: make the switch learn which pair a flow visits.
    :param no_flood: ports to which the switch must not flood.
    :param missing: what the host lacks at the moment to realise its part, such as a port or a
        tunnel; empty if nothing.
    """

    classification: frozenset[Flow] = frozenset()
    delivery: frozenset[Flow] = frozenset()
    forwarding: frozenset[Flow] = frozenset()
    affinity: frozenset[Flow] = frozenset()
    no_flood: frozenset[NoFlood] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def transit(self) -> frozenset[Flow]:
        """The flows for packets that are in the chain already."""
        return self.delivery | self.forwarding

    @property
    def flows(self) -> frozenset[Flow]:
        """All flows."""
        return self.classification | self.transit | self.affinity

    @property
    def entries(self) -> frozenset[SwitchEntry]:
        """Everything that the switch needs for the chain."""
        return self.flows | self.no_flood


@dataclass(frozen=True, slots=True)
class PathOnHost:
    """A path of a chain as one host sees it.

    :param label: the path's label, see ``pipeline.path_label``.
    :param generation: of the list of groups, as in ``ChainPlan``.
    :param chain_owner: as ``ChainPlan.owner``.
    :param remembered: indices of the hops at which flows still visit the pairs from before.
    :param packet_hosts: as ``ChainPlan.packet_hosts``.
    :param ambiguous_macs: addresses of ports that labels cannot tell apart.
    :param missing: what the host lacks; collected by the stages.
    :param no_flood: ports to which the switch must not flood; collected by the stages.
    """

    path: Path
    chain_id: str
    label: int
    generation: int | None
    switch: LocalSwitch
    chain_owner: str = ""
    remembered: frozenset[int] = frozenset()
    packet_hosts: frozenset[str] = frozenset()
    ambiguous_macs: frozenset[str] = frozenset()
    missing: set[str] = field(default_factory=set)
    no_flood: set[NoFlood] = field(default_factory=set)

    def counter(self, kind: CounterKind, subject: str) -> Counter | None:
        """Return what a flow of this path counts; None if older servers do not name the subject."""
        if not subject:
            return None
        return Counter(self.chain_id, self.path.reverse, str(kind), str(subject))

    def sends_into(self, index: int) -> bool:
        """Return whether this host has packets that are about to visit hop ``index``."""
        return self.switch.host in self.sender_hosts(index)

    def sender_hosts(self, index: int) -> frozenset[str]:
        """Return the hosts that have packets about to visit hop ``index``, or the path's end."""
        return frozenset(sender.host for sender in self.path.senders_into(index))

    @property
    def project_number(self) -> int:
        """A number of the chain's project, 32 bits; of the chain, if its project is unknown."""
        project = self.chain_owner or self.chain_id
        return int.from_bytes(hashlib.blake2b(project.encode(), digest_size=4).digest(), "big")

    @property
    def ethertypes(self) -> frozenset[str]:
        """The EtherTypes of the path's packets: ``IPv4``, ``IPv6``, or both."""
        return frozenset(classifier.ethertype for classifier in self.path.classifiers)

    @property
    def end(self) -> int:
        """The hop index of packets that have visited every hop."""
        return len(self.path.hops)

    def actions_into(self, index: int, *at_end: str) -> tuple[str, ...]:
        """Return the actions that send a packet to hop ``index``.

        If that is a tap, it gets a copy and the packet goes on. So does a packet that passes a hop.

        :param at_end: the actions if it visits no hop.
        """
        actions: list[str] = []
        for number, hop in enumerate(self.path.hops[index:], index):
            position = set_field(self.position(number), REG_PATH_POSITION)
            if hop.is_visited:
                return (*actions, position, goto("HOP"))
            if hop.tap:
                actions += (position, resubmit("COPY"))
        return (*actions, *at_end)

    def find_port(self, port_id: str) -> LocalPort | None:
        """Return a port of this host; if it is not plugged in, add that to ``missing``."""
        port = self.switch.ports.get(port_id)
        if port is None:
            self.missing.add(f"port {port_id} is not plugged in on host {self.switch.host}")
        return port

    def position(self, index: int) -> int:
        """Return the path position of packets that are about to visit hop ``index``.

        Packets at the end have visited all of their list, whichever it is.
        """
        generation = self.generation if index < self.end else None
        return path_position(self.label, index, generation)

    def match_position(self, index: int) -> str:
        """Match packets that are about to visit hop ``index``."""
        return at(self.position(index))

    def arrived_position(self, index: int) -> int:
        """Return the path position of packets from other hosts that visit hop ``index`` here."""
        return self.position(index) | POSITION_ARRIVED

    def match_target(self, index: int, target: Target) -> tuple[str, str]:
        """Match packets for which this host has selected ``target`` at hop ``index``."""
        return (self.match_position(index), for_target(target))


def at(position: int) -> str:
    """Match packets at a path position."""
    return f"{REG_PATH_POSITION}={position:#x}"


def for_target(target: Target) -> str:
    """Match packets for which ``target`` has been selected, here or by the host that sent them."""
    return f"{REG_TARGET}={target_number(target.pair_id):#x}"


def target_number(pair_id: str) -> int:
    """Return the first 32 bits of a pair's id. Registers name pairs by them."""
    return int(pair_id[:8], 16)


def distinct(targets: tuple[Target, ...]) -> Iterator[Target]:
    """Yield the targets, without those that share the number of another one.

    Two pairs in four billion do; only the first of them gets traffic then.
    """
    seen = set()
    for target in targets:
        if (number := target_number(target.pair_id)) not in seen:
            seen.add(number)
            yield target
