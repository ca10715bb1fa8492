"""Flow hashing: which packets at a hop are one flow, and how the switch hashes a flow to a slot.

The switch hashes a few bits of the header only, those that vary most: its datapath then needs no
entry for each flow, but one for each value of these bits (docs/decisions/0058).

Without ``lb_fields`` a flow is a connection of TCP or SCTP, identified by its 5-tuple, or all other
packets between two addresses: UDP datagrams can be fragmented, and the switch sees no ports in
fragments (docs/decisions/0049). With ``lb_fields`` a flow is all packets with the same values in
these fields.
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from portchain.core.protocols import SCTP, TCP, UDP
from portchain.dataplane import balance
from portchain.dataplane.flow_builder import set_field
from portchain.dataplane.match import protocol_words
from portchain.dataplane.pipeline import REG_DIGEST, REG_DIGEST_HALVES, REG_SLOT, Priority
from portchain.dataplane.plan import Classifier, opposite_field

_TRANSPORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_CONNECTIONS = (TCP, SCTP)
_IPV6_FRAGMENT = 44
"""What the switch takes for the protocol of the later fragments of an IPv6 packet."""
_ETHERTYPES = {"IPv4": "0x800", "IPv6": "0x86dd"}

# Names of the fields in the learn action, and in the multipath action for a single field.
_LEARNED_AS = {
    "eth_src": "NXM_OF_ETH_SRC[]",
    "eth_dst": "NXM_OF_ETH_DST[]",
    "tcp_src": "NXM_OF_TCP_SRC[]",
    "tcp_dst": "NXM_OF_TCP_DST[]",
    "udp_src": "NXM_OF_UDP_SRC[]",
    "udp_dst": "NXM_OF_UDP_DST[]",
    "sctp_src": "OXM_OF_SCTP_SRC[]",
    "sctp_dst": "OXM_OF_SCTP_DST[]",
}
_ADDRESSES_LEARNED_AS = {"IPv4": "NXM_OF_IP_{}[]", "IPv6": "NXM_NX_IPV6_{}[]"}

_SLOT = f"NXM_NX_{REG_SLOT.upper()}[0..{balance.SLOTS.bit_length() - 2}]"
_SCRATCH, _SCRATCH_BITS = "NXM_OF_ETH_SRC", 48
_DIGEST = f"OXM_OF_{REG_DIGEST.upper()}"

# How many of a field's low bits are hashed. Linux connects from ports of one parity.
_PORT_BITS = 8
_ADDRESS_BITS_BESIDE_PORTS = 4
_ADDRESS_BITS = 8


@dataclass(frozen=True, slots=True)
class FlowKind:
    """A kind of packets at a hop, and the fields that identify a flow among them.

    :param priority: of the flows that match this kind.
    :param ethertype: ``IPv4`` or ``IPv6``.
    :param protocol: IP protocol number; None for any.
    :param match: words that match packets of this kind.
    :param fields: names as in ``LB_FIELDS``; the order is the same in both directions of a chain.
    :param learned: what a learned flow matches, in the notation of the learn action; several, if
        the traffic flow needs several learned flows.
    """

    priority: int
    ethertype: str
    protocol: int | None
    match: tuple[str, ...]
    fields: tuple[str, ...]
    learned: tuple[tuple[str, ...], ...]


def flow_kinds(
    classifiers: tuple[Classifier, ...], lb_fields: tuple[str, ...], *, reverse: bool
) -> Iterator[FlowKind]:
    """Yield the kinds of flows at a hop that the switch can learn.

    :param lb_fields: names as in ``LB_FIELDS``; empty for connections, and UDP by addresses.
    :param reverse: whether the packets are replies, whose sources and destinations are swapped.
    """
    return iter(_flow_kinds(_Traffic.of(classifiers), lb_fields, reverse))


class _Traffic(NamedTuple):
    """What of classifiers matters here. Many have the same.

    :param transports: ethertypes and transport protocols that they match.
    :param ethertypes: all of them.
    """

    transports: tuple[tuple[str, int], ...]
    ethertypes: tuple[str, ...]

    @classmethod
    def of(cls, classifiers: tuple[Classifier, ...]) -> "_Traffic":
        return cls(tuple(_transports_of(classifiers)), tuple(_ethertypes_of(classifiers)))


@functools.lru_cache(maxsize=1024)
def _flow_kinds(
    traffic: _Traffic, lb_fields: tuple[str, ...], reverse: bool
) -> tuple[FlowKind, ...]:
    if lb_fields:
        return tuple(_kinds_by_fields(traffic, lb_fields, reverse=reverse))
    return tuple(_connection_kinds(traffic, reverse=reverse))


def _connection_kinds(traffic: _Traffic, *, reverse: bool) -> Iterator[FlowKind]:
    addresses = _ends("ip", reverse)
    for ethertype, protocol in traffic.transports:
        if protocol in _CONNECTIONS:
            fields = (*addresses, *_ends(_TRANSPORTS[protocol], reverse))
            yield _kind(ethertype, protocol, fields, Priority.POSITION_AND_PORTS)
        else:
            yield _kind(ethertype, protocol, addresses, Priority.POSITION)


def hashed_kinds(
    classifiers: tuple[Classifier, ...], lb_fields: tuple[str, ...], *, reverse: bool
) -> Iterator[FlowKind]:
    """Yield the kinds of packets that the switch hashes differently; together, all packets.

    TCP is by itself: it alone shows which packets are the first ones of a connection. Parameters
    as for ``flow_kinds``.
    """
    return iter(_hashed_kinds(_Traffic.of(classifiers), lb_fields, reverse))


@functools.lru_cache(maxsize=1024)
def _hashed_kinds(
    traffic: _Traffic, lb_fields: tuple[str, ...], reverse: bool
) -> tuple[FlowKind, ...]:
    return tuple(_find_hashed_kinds(traffic, lb_fields, reverse))


def _find_hashed_kinds(
    traffic: _Traffic, lb_fields: tuple[str, ...], reverse: bool
) -> Iterator[FlowKind]:
    kinds = list(_flow_kinds(traffic, lb_fields, reverse))
    if not lb_fields:
        kinds = [kind for kind in kinds if has_ports(kind)]
        for ethertype in traffic.ethertypes:
            kinds.append(_kind(ethertype, None, _ends("ip", reverse), Priority.POSITION))
    yield from kinds
    without_tcp = {ethertype for ethertype, protocol in traffic.transports if protocol == TCP}
    without_tcp -= {kind.ethertype for kind in kinds if kind.protocol == TCP}
    for kind in kinds:
        if kind.protocol is None and kind.ethertype in without_tcp:
            match = protocol_words(kind.ethertype, TCP)
            yield replace(kind, protocol=TCP, match=match, priority=Priority.POSITION_AND_PORTS)


def _kinds_by_fields(
    traffic: _Traffic, lb_fields: Iterable[str], *, reverse: bool
) -> Iterator[FlowKind]:
    ordered = sorted(lb_fields, key=opposite_field if reverse else str)
    ports = {protocol: _of_layer(ordered, name) for protocol, name in _TRANSPORTS.items()}
    of_all_packets = _of_layer(ordered, "eth", "ip")
    for ethertype, protocol in traffic.transports:
        if ports[protocol]:
            fields = (*of_all_packets, *ports[protocol])
            yield _kind(ethertype, protocol, fields, Priority.POSITION_AND_PORTS)
    by_protocol = any(ports.values())
    for ethertype in traffic.ethertypes:
        yield _kind(ethertype, None, of_all_packets, Priority.POSITION, by_protocol=by_protocol)


def has_ports(kind: FlowKind) -> bool:
    """Tell whether transport ports are among the fields that identify a flow of this kind."""
    return any(map(_is_port, kind.fields))


def _is_port(field: str) -> bool:
    return field.startswith(tuple(_TRANSPORTS.values()))


def fragment_matches(kinds: Iterable[FlowKind]) -> Iterator[tuple[str, ...]]:
    """Match the fragments whose flow the switch cannot tell, because ports identify it.

    The later fragments of IPv6 packets hide their protocol. They count as datagrams, because TCP
    and SCTP avoid fragments.
    """
    for kind in filter(has_ports, kinds):
        yield (*kind.match, "nw_frag=yes")
        if kind.match == protocol_words("IPv6", UDP):
            yield (*protocol_words("IPv6", None), "nw_frag=later")


@functools.lru_cache(maxsize=256)
def hash_fields(fields: tuple[str, ...], ethertype: str) -> tuple[str, ...]:
    """Return actions that hash some bits of some fields to ``REG_SLOT``.

    Open vSwitch hashes whole fields. So the actions collect the bits in ``REG_DIGEST``, move them
    to the frame's source address, hash that, and restore it.

    :param fields: names as in ``LB_FIELDS``; the order affects the hash.
    :param ethertype: ``IPv4`` or ``IPv6``.
    """
    moves, place = [], 0
    for field in fields:
        bits = _hashed_bits(field, fields)
        source = _learned_as(field, ethertype).replace("[]", f"[0..{bits - 1}]")
        moves.append(f"move:{source}->{_DIGEST}[{place}..{place + bits - 1}]")
        place += bits
    return (
        *(set_field(0, half) for half in REG_DIGEST_HALVES),
        *moves,
        f"push:{_SCRATCH}[]",
        f"move:{_DIGEST}[0..{_SCRATCH_BITS - 1}]->{_SCRATCH}[]",
        set_field(0, REG_SLOT),
        f"multipath(eth_src,0,modulo_n,{balance.SLOTS},0,{_SLOT})",
        f"pop:{_SCRATCH}[]",
    )


def _hashed_bits(field: str, fields: tuple[str, ...]) -> int:
    if _is_port(field):
        return _PORT_BITS
    return _ADDRESS_BITS_BESIDE_PORTS if any(map(_is_port, fields)) else _ADDRESS_BITS


def _kind(
    ethertype: str,
    protocol: int | None,
    fields: tuple[str, ...],
    priority: int,
    *,
    by_protocol: bool = False,
) -> FlowKind:
    match = protocol_words(ethertype, protocol)
    kind = FlowKind(priority, ethertype, protocol, match, fields, ())
    protocols = [""]
    if protocol is not None:
        protocols = [f"nw_proto={protocol}"]
    elif by_protocol:
        # Must not match packets that have ports: other learned flows match those.
        protocols = ["NXM_OF_IP_PROTO[]"]
    if ethertype == "IPv6" and protocols != [""] and not has_ports(kind):
        protocols.append(f"nw_proto={_IPV6_FRAGMENT}")
    ends = [_learned_as(field, ethertype) for field in fields]
    learned = tuple(
        (f"eth_type={_ETHERTYPES[ethertype]}", *filter(None, [name]), *ends) for name in protocols
    )
    return replace(kind, learned=learned)


def _learned_as(field: str, ethertype: str) -> str:
    layer, _, side = field.partition("_")
    if layer == "ip":
        return _ADDRESSES_LEARNED_AS[ethertype].format(side.upper())
    return _LEARNED_AS[field]


def _of_layer(fields: Iterable[str], *layers: str) -> tuple[str, ...]:
    return tuple(field for field in fields if field.partition("_")[0] in layers)


def _ends(layer: str, reverse: bool) -> tuple[str, str]:
    ends = ("dst", "src") if reverse else ("src", "dst")
    return f"{layer}_{ends[0]}", f"{layer}_{ends[1]}"


def _ethertypes_of(classifiers: Iterable[Classifier]) -> list[str]:
    return sorted({classifier.ethertype for classifier in classifiers})


def _transports_of(classifiers: Iterable[Classifier]) -> list[tuple[str, int]]:
    """Return the ethertypes and transport protocols that classifiers match."""
    return sorted(
        {
            (classifier.ethertype, protocol)
            for classifier in classifiers
            for protocol in _TRANSPORTS
            if classifier.protocol in (None, protocol)
        }
    )
