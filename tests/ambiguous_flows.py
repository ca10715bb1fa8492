"""Finds flows between which a switch chooses arbitrarily."""

import ipaddress
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from portchain.dataplane.flow import Flow

# word -> the fields that it stands for: name -> (value, mask)
_ETHERTYPES = {"ip": 0x800, "ipv6": 0x86DD, "arp": 0x806, "rarp": 0x8035, "mpls": 0x8847}
_PROTOCOLS = {
    **{"icmp": ("ip", 1), "tcp": ("ip", 6), "udp": ("ip", 17), "sctp": ("ip", 132)},
    **{"icmp6": ("ipv6", 58), "tcp6": ("ipv6", 6), "udp6": ("ipv6", 17), "sctp6": ("ipv6", 132)},
}
_TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
_CT_FLAGS = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_FRAGMENTS = {"no": (0, 1), "yes": (1, 1), "first": (1, 3), "later": (3, 3), "not_later": (0, 2)}
_EXACT = -1

Fields = dict[str, tuple[int, int]]


def ambiguous(flows: Iterable[Flow]) -> Iterator[tuple[Flow, Flow]]:
    """Yield pairs of flows that one packet can match and that do different things with it.

    Only flows of one table with one priority count. Flows of conjunctions are left out.
    """
    tables: dict[tuple[object, ...], list[tuple[Fields, Flow]]] = defaultdict(list)
    for flow in flows:
        key = flow.key
        if key.clause is None and not any(word.startswith("conj_id") for word in key.match):
            tables[key.bridge, key.table, key.priority].append((_fields(key.match), flow))
    for members in tables.values():
        yield from _ambiguous_in(members)


def _ambiguous_in(members: list[tuple[Fields, Flow]]) -> Iterator[tuple[Flow, Flow]]:
    # Flows that match the same bits match the same packets only if they are the same.
    by_mask: dict[frozenset[tuple[str, int]], list[tuple[Fields, Flow]]] = defaultdict(list)
    for fields, flow in members:
        by_mask[frozenset((name, mask) for name, (_, mask) in fields.items())].append(
            (fields, flow)
        )
    for (one, some), (other, rest) in itertools.combinations(by_mask.items(), 2):
        first, second = dict(one), dict(other)
        common = {name: first[name] & second[name] for name in first.keys() & second.keys()}
        values: dict[tuple[int, ...], list[Flow]] = defaultdict(list)
        for fields, flow in some:
            values[_values(fields, common)].append(flow)
        for fields, flow in rest:
            for rival in values[_values(fields, common)]:
                if rival.actions != flow.actions:
                    yield rival, flow


def _values(fields: Fields, masks: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(fields[name][0] & mask for name, mask in sorted(masks.items()))


def _fields(match: frozenset[str]) -> Fields:
    fields: Fields = {}
    for word in match:
        name, _, value = word.partition("=")
        fields |= _named(word, name, value)
    return fields


def _named(word: str, name: str, value: str) -> Fields:
    if word in _ETHERTYPES:
        return {"dl_type": (_ETHERTYPES[word], _EXACT)}
    if word in _PROTOCOLS:
        family, protocol = _PROTOCOLS[word]
        return _named(family, family, "") | {"nw_proto": (protocol, _EXACT)}
    if name in ("nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "arp_tpa", "nd_target"):
        network = ipaddress.ip_network(value)
        return {name: (int(network.network_address), int(network.netmask))}
    if name in ("dl_src", "dl_dst"):
        return {name: _masked(value.replace(":", ""), 16)}
    if name == "tcp_flags":
        return {name: _flags(value, _TCP_FLAGS)}
    if name == "ct_state":
        return {name: _flags(value, _CT_FLAGS)}
    if name == "nw_frag":
        return {name: _FRAGMENTS[value]}
    if name == "dl_vlan":
        return {"vlan_tci": (0x1000 | int(value), 0x1FFF)}
    return {name: _masked(value, 0)}


def _masked(text: str, base: int) -> tuple[int, int]:
    value, _, mask = text.partition("/")
    number = int(mask, base) if mask else _EXACT
    return int(value, base) & number, number


def _flags(text: str, names: tuple[str, ...]) -> tuple[int, int]:
    """Read flags such as ``+syn-rst``."""
    value = mask = 0
    for part in text.replace("+", " +").replace("-", " -").split():
        bit = 1 << names.index(part[1:])
        mask |= bit
        value |= bit if part[0] == "+" else 0
    return value, mask
