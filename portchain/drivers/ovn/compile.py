"""From a chain's snapshot to its Northbound rows: a pure function.

A classified packet is redirected by an ACL of the source's port to a ``Network_Function``, whose
two ports are not functions but patches: behind them lie the wires that lead from function to
function. What is drawn here is drawn in docs/ovn.md.
"""

from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import dataclass, replace

from portchain.drivers.ovn import lanes as lanes_of
from portchain.drivers.ovn import match, rows
from portchain.drivers.ovn.lanes import Lane, Wire
from portchain.drivers.ovn.rows import PRIORITY, Acl, ChainRows, Function, MovedPort, Patch
from portchain.model import ChainSnapshot, PortChain, PortPair, PortPairGroup

HOLDING = PRIORITY + 1
"""Of the ACLs that hold back traffic of a chain that is refused, beside its classification of before."""
MECHANISM = "ovn"
"""Name of Neutron's mechanism driver whose ports are ours."""
_ANYTHING = "unknown"
# The two ends of a wire learn nothing of what passes: every address passes it in both directions.
_NO_LEARNING = {"lsp_learn_fdb": "false"}
# Behind Neutron's own rules: what a security group drops does not get to a chain's.
_AFTER_SECURITY_GROUPS = {"apply-after-lb": "true"}
# What floods a network must not enter a chain by the patch.
_TOWARDS_NETWORK = {**_NO_LEARNING, "is-nf": "true", "receive_multicast": "false"}
# A reply comes to the last function in the host of the source, out of the tunnel it has to take
# back: hosts send something back by the tunnel it came from only for ports with this option.
_LAST = {**_NO_LEARNING, "is-nf": "true"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A chain's rows.

    :param obstacle: why it cannot carry traffic at the moment; empty if it can.
    :param caution: what is amiss although it can.
    """

    rows: ChainRows
    obstacle: str = ""
    caution: str = ""


def compile_chain(snapshot: ChainSnapshot, at_work: Collection[str] = ()) -> Compiled:
    """Compile a chain.

    :param at_work: ids of the pairs whose ports are on its wires now.

    Where some group has no pair that could take traffic, what is classified is dropped: ``obstacle`` says why. Without
    sources nothing is, and there are no rows.
    """
    chain = snapshot.chain
    lanes = lanes_of.deal(chain, usable_pairs(snapshot), at_work)
    sources = _sources(snapshot)
    obstacle = "; ".join(_obstacles(snapshot, sources))
    networks = {snapshot.ports[port].network_id for port in sources}
    if lanes and len(networks) == 1:
        made = _Compiler(snapshot, lanes, sources, *networks).rows()
        return Compiled(made, obstacle, "; ".join(_cautions(chain, lanes)))
    # Without functions, nobody can say on which networks the sources are: those of before still count.
    blind = not chain.function_ports
    everyone = _anchored(chain)
    matches = (
        _classified(snapshot, sources, nobody=everyone)
        if blind
        else _classified(snapshot, sources, everyone=everyone)
    )
    held = replace(
        _bare(chain),
        sources=sources,
        keeps_sources=blind,
        classification=tuple(_drop(PRIORITY, what) for what in matches),
    )
    return Compiled(held, obstacle)


def hold_back(snapshot: ChainSnapshot, served: Container[str]) -> ChainRows:
    """What is to be put beside the rows of a chain that cannot be carried out as it is now.

    :param served: names of the sources whose traffic the chain's rows take already.
    :returns: sources and classification; all the rest is kept.
    """
    sources = [
        port
        for port in _sources(snapshot)
        if port not in served and snapshot.ports[port].mechanism == MECHANISM
    ]
    drops = tuple(_drop(HOLDING, what) for what in _classified(snapshot, sources))
    return replace(_bare(snapshot.chain), sources=tuple(sources), classification=drops)


def _bare(chain: PortChain) -> ChainRows:
    return ChainRows(chain.id, chain.revision, rows.anchor_name(chain.id), chain.project_id)


def _sources(snapshot: ChainSnapshot) -> tuple[str, ...]:
    found = {port for ports in snapshot.sources.values() for port in ports}
    return tuple(sorted(found & snapshot.ports.keys()))


def _anchored(chain: PortChain) -> str:
    """Match what comes from the ports of a chain's Port_Group."""
    return f"inport == @{rows.anchor_name(chain.id)}"


def _classified(
    snapshot: ChainSnapshot, sources: Sequence[str], *, everyone: str = "", nobody: str = ""
) -> Iterator[str]:
    """A match for what each classifier takes of the traffic of some sources.

    :param everyone: what matches all of the sources, if there is something short. ``nobody``: what takes the place of sources
        for a classifier without any; without it, such a classifier has no match.
    """
    for classifier in snapshot.chain.flow_classifiers:
        own = [port for port in snapshot.sources[classifier.id] if port in sources]
        short = everyone if set(own) == set(sources) else ""
        origin = (short or match.from_ports(own)) if own else nobody
        if origin:
            destination = snapshot.ports.get(classifier.logical_destination_port or "")
            yield f"{origin} && {match.classified(classifier, destination)}"


def _drop(priority: int, what: str) -> Acl:
    # Replies of connections from before: OVN drops those that a function was to get and that is there no more; the others
    # once their requests are dropped, by the mark that this leaves on the connection.
    return Acl(rows.FROM_PORT, priority, what, "drop", options=_AFTER_SECURITY_GROUPS)


class _Compiler:
    """What the parts of one chain's rows have in common."""

    def __init__(
        self, snapshot: ChainSnapshot, lanes: Sequence[Lane], sources: Sequence[str], network: str
    ) -> None:
        self._snapshot = snapshot
        self._chain = snapshot.chain
        self._all_lanes = tuple(lanes)
        self._lanes = lanes_of.alive(lanes, usable_pairs(snapshot))
        self._wires = lanes_of.wires(lanes)
        self._pairs = {pair.id: pair for lane in lanes for pair in lane.pairs}
        self._sources = tuple(sources)
        self._network = rows.home_of(network)
        by_address = any(group.lb_fields for group in self._chain.port_pair_groups)
        self._spread = match.spread(self._chain.flow_classifiers, by_address)

    def rows(self) -> ChainRows:
        return ChainRows(
            chain_id=self._chain.id,
            revision=self._chain.revision,
            anchor=rows.anchor_name(self._chain.id),
            project=self._chain.project_id,
            sources=self._sources,
            switches={self._switch(wire): tuple(self._wire_acls(wire)) for wire in self._wires},
            patches=tuple(self._patches()),
            moved=tuple(self._moved()),
            functions=tuple(self._functions()),
            classification=tuple(self._classification()),
        )

    # Names.

    def _switch(self, wire: Wire) -> str:
        return rows.wire_name(self._chain.id, wire.name)

    def _patch(self, port: str, end: str) -> str:
        """Name of a patch's end: the one on the ``wire``, or on the ``net``."""
        return f"pc-{self._chain.id}-{port}-{end}"

    def _function(self, first: PortPair, last: PortPair) -> str:
        return f"pc-{self._chain.id}-{first.ingress}-{last.egress}"

    # Ports.

    def _patches(self) -> Iterator[Patch]:
        for wire in self._wires:
            if wire.egresses and wire.ingresses:
                continue
            net, inner = self._patch(wire.name, "net"), self._patch(wire.name, "wire")
            yield Patch(net, self._network, inner, (), _TOWARDS_NETWORK)
            yield Patch(inner, self._switch(wire), net, (_ANYTHING,), _NO_LEARNING)

    def _moved(self) -> Iterator[MovedPort]:
        answered = tuple(sorted({self._snapshot.ports[port].mac_address for port in self._sources}))
        for wire in self._wires:
            # Replies are sent straight to the last function; everything else floods its wire.
            addresses = (_ANYTHING,) if wire.ingresses else (_ANYTHING, *answered)
            options = _NO_LEARNING if wire.ingresses else _LAST
            for name in wire.egresses + wire.ingresses:
                port = self._snapshot.ports.get(name)
                if port is not None:
                    home = rows.home_of(port.network_id)
                    yield MovedPort(name, self._switch(wire), home, addresses, options)

    # What goes where.

    def _wire_acls(self, wire: Wire) -> Iterator[Acl]:
        """Frames pass from a port only to those that come next in one of its lanes."""
        # The functions' own security groups have no say here, and nothing here needs a state.
        yield Acl(rows.FROM_PORT, PRIORITY, "1", "allow-stateless")
        yield Acl(rows.TO_PORT, PRIORITY, "1", "drop")
        for from_port, to_port, buckets in self._hand_overs(wire):
            terms = (match.from_ports([from_port]), match.to_port(to_port), buckets)
            text = " && ".join(term for term in terms if term)
            yield Acl(rows.TO_PORT, PRIORITY + 1, text, "allow-stateless")

    def _hand_overs(self, wire: Wire) -> Iterator[tuple[str, str, str]]:
        """From which port to which, and a match of the buckets if there are others for the port."""
        if not (wire.egresses and wire.ingresses):
            patch = self._patch(wire.name, "wire")
            yield patch, wire.name, ""
            yield wire.name, patch, ""
            return
        number = self._number(wire)
        steps: dict[tuple[str, str], set[int]] = {}
        through: dict[str, set[int]] = {}
        for lane in self._lanes:
            step = (lane.pairs[number].egress, lane.pairs[number + 1].ingress)
            if step[0] in wire.egresses:
                steps.setdefault(step, set()).update(lane.buckets)
                for port in step:
                    through.setdefault(port, set()).update(lane.buckets)
        for (before, after), buckets in steps.items():
            forward = "" if buckets == through[before] else self._spread.match(buckets)
            back = "" if buckets == through[after] else self._spread.match(buckets, replies=True)
            yield before, after, forward
            yield after, before, back

    def _number(self, wire: Wire) -> int:
        """The group, counted from 0, whose functions' egresses are on a wire."""
        return next(
            number
            for number, pairs in enumerate(
                zip(*(lane.pairs for lane in self._all_lanes), strict=True)
            )
            if any(pair.egress in wire.egresses for pair in pairs)
        )

    def _functions(self) -> Iterator[Function]:
        # One for each pair of ends, however many lanes lie between them; they stay while a lane has
        # no traffic, as the wires do.
        ends = ((lane.pairs[0], lane.pairs[-1]) for lane in self._all_lanes)
        for first, last in dict.fromkeys(ends):
            yield Function(
                self._function(first, last),
                self._patch(first.ingress, "net"),
                self._patch(last.egress, "net"),
            )

    def _classification(self) -> Iterator[Acl]:
        buckets: dict[str, set[int]] = {}
        for lane in self._lanes:
            name = self._function(lane.pairs[0], lane.pairs[-1])
            buckets.setdefault(name, set()).update(lane.buckets)
        everyone = _anchored(self._chain)
        for what in _classified(self._snapshot, self._sources, everyone=everyone):
            for function, some in buckets.items():
                which = self._spread.match(some)
                yield Acl(
                    rows.FROM_PORT,
                    PRIORITY,
                    f"{what} && {which}" if which else what,
                    "allow-related",
                    function,
                    _AFTER_SECURITY_GROUPS,
                )


# Why not.


def usable_pairs(snapshot: ChainSnapshot) -> frozenset[str]:
    """Ids of the pairs that can take traffic."""
    return frozenset(
        pair.id
        for group in snapshot.chain.port_pair_groups
        for pair in group.port_pairs
        if not _why_unusable(snapshot, pair)
    )


def _why_unusable(snapshot: ChainSnapshot, pair: PortPair) -> str:
    for side, port_id in (("ingress", pair.ingress), ("egress", pair.egress)):
        port = snapshot.ports.get(port_id)
        if port is None:
            return f"its {side} port {port_id} no longer exists"
        if not port.host:
            return f"its {side} port {port.name or port_id} is not bound to a host"
        if not port.plugged:
            return f"its {side} port {port.name or port_id} is DOWN on host {port.host}"
    return "" if pair.weight else "its weight is 0"


def _obstacles(snapshot: ChainSnapshot, sources: Sequence[str]) -> Iterator[str]:
    usable = usable_pairs(snapshot)
    for group in snapshot.chain.port_pair_groups:
        if not any(pair.id in usable for pair in group.port_pairs):
            yield f"{_label(group)} has no pair that takes traffic{_why_nobody(snapshot, group)}"
    if snapshot.chain.flow_classifiers and not any(snapshot.ports[port].host for port in sources):
        yield "No port whose traffic the flow classifiers name is bound to a host"


def _cautions(chain: PortChain, lanes: Sequence[Lane]) -> Iterator[str]:
    for group in lanes_of.standing_by(chain, lanes):
        yield (
            f"{_label(group)} is not balanced, because OVN cannot do it between groups with fewer pairs: "
            "one pair takes all flows, the others stand by"
        )


def _label(group: PortPairGroup) -> str:
    return f"Port pair group {group.name or group.id}"


def _why_nobody(snapshot: ChainSnapshot, group: PortPairGroup) -> str:
    """In brackets; empty for a group of another project: whom it is shared with sees no pairs, ports and hosts."""
    if group.project_id != snapshot.chain.project_id:
        return ""
    reasons = (
        f"{pair.name or pair.id}: {_why_unusable(snapshot, pair)}" for pair in group.port_pairs
    )
    return f" ({'; '.join(reasons) or 'it is empty'})"
