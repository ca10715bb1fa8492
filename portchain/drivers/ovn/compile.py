"""From a chain's snapshot to its Northbound rows: a pure function.

A classified packet is redirected by an ACL of the source's port to a ``Network_Function``, whose
two ports are not functions but patches: behind them lie the wires that lead from function to
function. What is drawn here is drawn in docs/ovn.md.
"""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from portchain.core import availability
from portchain.core.model import VLAN, ChainSnapshot, PortChain, PortPair
from portchain.drivers.ovn import lanes as lanes_of
from portchain.drivers.ovn import match, rows, unusable
from portchain.drivers.ovn import probing as probing_of
from portchain.drivers.ovn.lanes import Lane, Wire
from portchain.drivers.ovn.probing import Probing
from portchain.drivers.ovn.rows import (
    PRIORITY,
    Acl,
    ChainRows,
    Child,
    Function,
    MovedPort,
    Patch,
)

HOLDING = PRIORITY + 1
"""Of the ACLs that hold back traffic of a chain that is refused, beside its classification of before."""
MECHANISM = "ovn"
"""Name of Neutron's mechanism driver whose ports are ours."""
_ANYTHING = "unknown"
# The ports of functions learn nothing of what passes: every address passes them in both directions.
_NO_LEARNING = {"lsp_learn_fdb": "false"}
# A patch learns all the same. What it learned is right for as long as its switch has this end of the chain: the number by which
# it is remembered is no other port's there, and another one at the other end.
_FIRST_PATCH, _LAST_PATCH = ({"requested-tnl-key": number} for number in ("30001", "30002"))
# Behind Neutron's own rules: what a security group drops does not get to a chain's.
_AFTER_SECURITY_GROUPS = {"apply-after-lb": "true"}
# What floods a network must not enter a chain by the patch.
_TOWARDS_NETWORK = {"is-nf": "true", "receive_multicast": "false"}
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


def compile_chain(
    snapshot: ChainSnapshot,
    at_work: Collection[str] = (),
    offline: Container[str] = (),
    probing: Probing = probing_of.USUAL,
) -> Compiled:
    """Compile a chain.

    :param at_work: ids of the pairs whose ports are on its wires now.
    :param offline: ids of the pairs that do not pass their health check.
    :param probing: how that is found out.

    Where some group has no pair that could take traffic, what is classified is dropped: ``obstacle`` says why. Groups that fail
    open are left out instead. Without sources nothing is, and there are no rows.
    """
    chain = snapshot.chain
    assessed = availability.assess(snapshot, offline=offline, fails_open=True)
    usable = unusable.usable(chain, assessed)
    sources = _sources(snapshot)
    visited = tuple(group for group in chain.port_pair_groups if group not in assessed.skipped)
    path = lanes_of.narrowed(replace(chain, port_pair_groups=visited), usable)
    lanes = lanes_of.deal(path, usable, at_work)
    networks = {snapshot.ports[port].network_id for port in sources}
    if lanes and len(networks) == 1:
        made = _Compiler(replace(snapshot, chain=path), lanes, usable, sources, *networks).rows()
    else:
        made, lanes = _held(snapshot, sources), ()
    return Compiled(
        _with_health(made, snapshot, path, probing),
        assessed.down_reason,
        "; ".join(unusable.cautions(path, lanes, sources, assessed)),
    )


def _held(snapshot: ChainSnapshot, sources: tuple[str, ...]) -> ChainRows:
    """The rows of a chain that has nobody to hand its traffic to: it is dropped."""
    chain = snapshot.chain
    matches = _classified(snapshot, sources, everyone=_anchored(chain))
    drops = tuple(_drop(PRIORITY, what) for what in matches)
    return replace(_bare(chain), sources=sources, classification=drops)


def _with_health(
    made: ChainRows, snapshot: ChainSnapshot, path: PortChain, probing: Probing
) -> ChainRows:
    """Add what checks functions, and switches for the ports of those that packets do not visit because they fail: each alone.

    Back on its network, a function that bridges could close a circle there.

    :param path: the chain as packets visit it.
    """
    chain = snapshot.chain
    idle = chain.function_ports - path.function_ports
    alone = [
        _function_port(snapshot, pair, name, _Place(rows.wire_name(chain.id, name)))
        for group in chain.port_pair_groups
        for pair in group.port_pairs
        for name in (pair.ingress, pair.egress)
        if name in idle & snapshot.ports.keys()
    ]
    probes = tuple(probing_of.probes(chain, probing))
    switches = [*(port.switch for port in alone), *(probe.switch for probe in probes)]
    return replace(
        made,
        keeps_functions=bool(idle and made.functions),
        switches={**made.switches, **dict.fromkeys(switches, ())},
        moved=(*made.moved, *_moved(alone)),
        children=(*made.children, *_children(alone)),
        probes=probes,
        checks=tuple(probing_of.checks(chain, probing)),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where something stands for a function's port, and how."""

    switch: str
    addresses: tuple[str, ...] = (_ANYTHING,)
    options: Mapping[str, str] = field(default_factory=lambda: _NO_LEARNING)


def _function_port(
    snapshot: ChainSnapshot,
    pair: PortPair,
    port: str,
    place: _Place,
) -> MovedPort | Child:
    """What stands on one of a chain's switches for a port of a pair."""
    if pair.correlation != VLAN:
        home = rows.home_of(snapshot.ports[port].network_id)
        return MovedPort(port, place.switch, home, place.addresses, place.options)
    other = pair.egress if port == pair.ingress else pair.ingress
    name, twin = (port_on_wire(snapshot.chain.id, pair, one) for one in (port, other))
    return Child(name, place.switch, port, None, twin, place.addresses, place.options)


def _moved(ports: Iterable[MovedPort | Child]) -> tuple[MovedPort, ...]:
    return tuple(port for port in ports if isinstance(port, MovedPort))


def _children(ports: Iterable[MovedPort | Child]) -> tuple[Child, ...]:
    return tuple(port for port in ports if isinstance(port, Child))


def port_on_wire(chain_id: str, pair: PortPair, port: str) -> str:
    """Name of what stands on a chain's wires for a port of a pair."""
    return rows.child_name(chain_id, port) if pair.correlation == VLAN else port


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
    snapshot: ChainSnapshot, sources: Sequence[str], *, everyone: str = ""
) -> Iterator[str]:
    """A match for what each classifier takes of the traffic of some sources.

    :param everyone: what matches all of the sources, if there is something short.
    """
    for classifier in snapshot.chain.flow_classifiers:
        own = [port for port in snapshot.sources[classifier.id] if port in sources]
        short = everyone if set(own) == set(sources) else ""
        if own:
            origin = short or match.from_ports(own)
            destination = snapshot.ports.get(classifier.logical_destination_port or "")
            yield f"{origin} && {match.classified(classifier, destination)}"


def _drop(priority: int, what: str) -> Acl:
    # Replies of connections from before: OVN drops those that a function was to get and that is there no more; the others
    # once their requests are dropped, by the mark that this leaves on the connection.
    return Acl(rows.FROM_PORT, priority, what, "drop", options=_AFTER_SECURITY_GROUPS)


class _Compiler:
    """What the parts of one chain's rows have in common."""

    def __init__(
        self,
        snapshot: ChainSnapshot,
        lanes: Sequence[Lane],
        usable: frozenset[str],
        sources: Sequence[str],
        network: str,
    ) -> None:
        self._snapshot = snapshot
        self._chain = snapshot.chain
        self._all_lanes = tuple(lanes)
        self._lanes = lanes_of.alive(lanes, usable)
        self._wires = lanes_of.wires(lanes)
        self._pairs = {pair.id: pair for lane in lanes for pair in lane.pairs}
        self._sources = tuple(sources)
        self._network = rows.home_of(network)
        self._pair_of = {
            port: pair for pair in self._pairs.values() for port in (pair.ingress, pair.egress)
        }
        by_address = any(group.lb_fields for group in self._chain.port_pair_groups)
        self._spread = match.spread(self._chain.flow_classifiers, by_address)

    def rows(self) -> ChainRows:
        functions = list(self._function_ports())
        return ChainRows(
            chain_id=self._chain.id,
            revision=self._chain.revision,
            anchor=rows.anchor_name(self._chain.id),
            project=self._chain.project_id,
            sources=self._sources,
            switches={self._switch(wire): tuple(self._wire_acls(wire)) for wire in self._wires},
            patches=tuple(self._patches()),
            moved=_moved(functions),
            children=_children(functions),
            functions=tuple(self._functions()),
            classification=tuple(self._classification()),
        )

    # Names.

    def _switch(self, wire: Wire) -> str:
        return rows.wire_name(self._chain.id, wire.name)

    def _patch(self, port: str, end: str) -> str:
        """Name of a patch's end: the one on the ``wire``, or on the ``net``."""
        return f"pc-{self._chain.id}-{port}-{end}"

    def _function(self, lane: Lane) -> str:
        return f"pc-{self._chain.id}-{lane.entry}-{lane.exit}"

    def _on_wire(self, port: str) -> str:
        return port_on_wire(self._chain.id, self._pair_of[port], port)

    # Ports.

    def _patches(self) -> Iterator[Patch]:
        for wire in self._wires:
            for port, options in ((wire.entry, _FIRST_PATCH), (wire.exit, _LAST_PATCH)):
                if port:
                    net, inner = self._patch(port, "net"), self._patch(port, "wire")
                    yield Patch(net, self._network, inner, (), _TOWARDS_NETWORK)
                    yield Patch(inner, self._switch(wire), net, (_ANYTHING,), options)

    def _function_ports(self) -> Iterator[MovedPort | Child]:
        answered = tuple(sorted({self._snapshot.ports[port].mac_address for port in self._sources}))
        for wire in self._wires:
            # Replies are sent straight to the last function; everything else floods its wire.
            addresses = (_ANYTHING,) if wire.ingresses else (_ANYTHING, *answered)
            options = _NO_LEARNING if wire.ingresses else _LAST
            for name in wire.egresses + wire.ingresses:
                if name in self._snapshot.ports:
                    place = _Place(self._switch(wire), addresses, options)
                    yield _function_port(self._snapshot, self._pair_of[name], name, place)

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
        ends = [self._patch(port, "wire") for port in (wire.entry, wire.exit) if port]
        if ends:
            one, other = *ends, *map(self._on_wire, wire.egresses + wire.ingresses)
            yield one, other, ""
            yield other, one, ""
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
            yield self._on_wire(before), self._on_wire(after), forward
            yield self._on_wire(after), self._on_wire(before), back

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
        lanes = {self._function(lane): lane for lane in self._all_lanes}
        for name, lane in lanes.items():
            yield Function(name, self._patch(lane.entry, "net"), self._patch(lane.exit, "net"))

    def _classification(self) -> Iterator[Acl]:
        buckets: dict[str, set[int]] = {}
        for lane in self._lanes:
            buckets.setdefault(self._function(lane), set()).update(lane.buckets)
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
