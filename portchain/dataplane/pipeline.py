"""The pipeline as data: where our rules stand, what they match and write, and where they may send a packet.

Our tables hang beside Neutron's: hook rules in a few of Neutron's tables divert chain traffic, everything else falls through
untouched. ``docs/pipeline.md`` walks through the tables; ``check`` raises for a rule that the declaration does not cover.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge, Flow

# --- Registers of the integration bridge. Neutron uses reg0 to reg7.

REG_PATH_POSITION = "reg8"
"""Where in which chain the packet is: hop index << 24 | path label."""

REG_TARGET = "reg9"
"""The first 32 bits of the chosen pair's id; 0 while none is chosen."""

REG_PAIR_SET = "reg10"
"""The set of weighted pairs to balance over; 0 if the flow was remembered, and nothing is left to decide."""

REG_SLOT = "reg11"
"""The hash slot of the flow (7 bits)."""

REG_DIGEST = "pkt_reg5"
REG_DIGEST_HALVES = (REG_PAIR_SET, REG_SLOT)
"""Both in one register of 64 bits, before either is written: what several fields are hashed to, one beside the other."""

# Neutron's openvswitch firewall: the port a packet came from, and its network's local VLAN.
REG_NEUTRON_PORT = "reg5"
REG_NEUTRON_NET = "reg6"

MAX_HOPS = 254  # The service index counts down from 255 and 0 is invalid (RFC 8300, 2.2).
FIRST_SERVICE_INDEX = 255
FIRST_NSH_TTL = 63  # Each forwarder takes one off and 0 is dropped (RFC 8300, 2.2).
MAX_NSH_HOPS = FIRST_NSH_TTL

_FORWARD_LABEL, _REVERSE_LABEL, _IPV6_LABEL = 0x10000, 0x20000, 0x40000
ODD_GENERATION = 0x80000
"""In a path's number and its label: every other list of groups that a chain had, so that hops of two lists are told apart."""

DONE = 0xFF000000
"""In ``REG_PATH_POSITION``: the packet has left its chain and must not be classified again."""


def path_label(path_id: int, reverse: bool = False) -> int:
    """The MPLS label of one direction of a chain: clear of the reserved labels 0..15, and the chain's number in its last
    four hex digits.

    :param path_id: 1..65535, with ``ODD_GENERATION`` or without.
    """
    return (_REVERSE_LABEL if reverse else _FORWARD_LABEL) | path_id


def function_label(label: int, ethertype: str) -> int:
    """The label of a path towards functions that understand MPLS: unlike between hosts there is an IP packet right behind it,
    and only the label can say of which family.
    """
    return label | (_IPV6_LABEL if ethertype == "IPv6" else 0)


def path_position(label: int, hop: int) -> int:
    """The content of ``REG_PATH_POSITION``.

    :param hop: index of the hop the packet is about to visit, from 0; the number of hops when it has visited all.
    """
    return hop << 24 | label


# --- Tables.


@dataclass(frozen=True, slots=True)
class Table:
    """One OpenFlow table.

    :param bridge: for a physical bridge without its network's name: it is declared for all of them.
    :param matches: fields and protocol words our rules may match there.
    :param writes: fields and registers our rules may write there.
    :param successors: names of the tables our rules may go on to.
    :param outputs: whether our rules may send the packet out.
    :param neutron: whether the table is Neutron's and our rules are guests in it.
    :param learns_into: names of the tables that our rules may make the switch learn entries in.
    :param max_flows: how many rules the table may hold before it forgets learned ones; None for any number.
    """

    name: str
    bridge: Bridge
    number: int
    matches: frozenset[str]
    writes: frozenset[str] = frozenset()
    successors: frozenset[str] = frozenset()
    outputs: bool = False
    neutron: bool = False
    learns_into: frozenset[str] = frozenset()
    max_flows: int | None = None


_HEADERS = frozenset(
    {"ip", "ipv6", "nw_proto", "tcp", "tcp6", "udp", "udp6", "sctp", "sctp6", "icmp", "icmp6"}
)
_CLASSIFIED = frozenset(
    {"in_port", "dl_dst", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "tp_src", "tp_dst"}
    | {"icmp_type", "icmp_code", "nw_frag"}
    | _HEADERS
)
_HOOK_WRITES = frozenset({REG_PATH_POSITION})
_HOOK_MATCHES = _CLASSIFIED | {REG_PATH_POSITION}
_NSH_WRITES = frozenset({"nsh_spi", "nsh_si", "nsh_ttl"})
_FRAME_MATCHES = frozenset(
    {"mpls", "vlan_tci", "dl_vlan", "dl_src"}
    | {"mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos"}
    | {"dl_type", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si", "nsh_ttl"}
)
_FRAME_WRITES = frozenset({"eth_dst", "eth_src", "mpls_label", "mpls_tc", "mpls_ttl"})


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


TABLES = {
    table.name: table
    for table in (
        # Guests in Neutron's tables, br-int.
        Table(
            "LOCAL_SWITCHING",
            Bridge.INT,
            0,
            _HOOK_MATCHES | _FRAME_MATCHES | {"icmp_type"},
            _set(REG_PATH_POSITION, REG_TARGET, REG_NEUTRON_PORT, REG_NEUTRON_NET, "eth_src"),
            _set(
                *("LOCAL_SWITCHING", "HOP", "FORWARD", "REJOIN", "BRANCH", "COPY"),
                *("TRANSIENT", "ACCEPT_OR_INGRESS"),
            ),
            neutron=True,
        ),
        Table(
            "TRANSIENT",
            Bridge.INT,
            60,
            _HOOK_MATCHES,
            _HOOK_WRITES,
            _set("HOP", "COPY", "TRANSIENT"),
            neutron=True,
        ),
        Table(
            "ACCEPT_OR_INGRESS",
            Bridge.INT,
            73,
            _HOOK_MATCHES | _set("ct_state"),
            _HOOK_WRITES,
            _set("HOP", "COPY", "ACCEPT_OR_INGRESS"),
            neutron=True,
        ),
        Table(
            "ACCEPTED_EGRESS",
            Bridge.INT,
            94,
            _HOOK_MATCHES,
            _HOOK_WRITES,
            _set("HOP", "COPY", "ACCEPTED_EGRESS"),
            neutron=True,
        ),
        # Our own, br-int.
        Table(
            "HOP",
            Bridge.INT,
            150,
            _HEADERS | {REG_PATH_POSITION},
            # The source address is a place to hash in, and put back.
            _set(REG_TARGET, REG_PAIR_SET, REG_SLOT, REG_DIGEST, "eth_src"),
            _set("AFFINITY", "BALANCE", "LEARN_AFFINITY", "FORWARD"),
        ),
        Table(
            "BALANCE",
            Bridge.INT,
            151,
            _set(REG_PAIR_SET, REG_TARGET, REG_SLOT),
            _set(REG_TARGET),
            _set("LEARN_AFFINITY", "FORWARD"),
        ),
        Table(
            "FORWARD",
            Bridge.INT,
            152,
            _set(REG_PATH_POSITION, REG_TARGET, "ip", "ipv6"),
            _FRAME_WRITES | _NSH_WRITES,
            outputs=True,
        ),
        Table(
            "REJOIN",
            Bridge.INT,
            153,
            _set(REG_PATH_POSITION, "dl_src"),
            _FRAME_WRITES | {REG_PATH_POSITION, REG_NEUTRON_PORT, REG_NEUTRON_NET, "in_port"},
            _set("TRANSIENT", "ACCEPT_OR_INGRESS"),
            outputs=True,
        ),
        Table(
            "BRANCH",
            Bridge.INT,
            149,
            _HOOK_MATCHES,
            _set(REG_PATH_POSITION, REG_NEUTRON_PORT, REG_NEUTRON_NET),
            _set("HOP", "COPY", "REJOIN", "TRANSIENT", "ACCEPT_OR_INGRESS"),
        ),
        Table(
            "COPY",
            Bridge.INT,
            154,
            _set(REG_PATH_POSITION, "ip", "ipv6"),
            _FRAME_WRITES | _NSH_WRITES,
            outputs=True,
        ),
        # The memory of flows, br-int: called by the tables above, and they go on where it returns.
        Table(
            "AFFINITY",
            Bridge.INT,
            155,
            frozenset(),  # it holds nothing but what the switch learns
            max_flows=1 << 16,
        ),
        Table(
            "LEARN_AFFINITY",
            Bridge.INT,
            156,
            _HEADERS | {REG_PATH_POSITION, REG_TARGET},
            learns_into=_set("AFFINITY"),
        ),
        # Guests in Neutron's tables, br-tun.
        Table(
            "TUNNEL_SWITCHING",
            Bridge.TUN,
            0,
            _set("in_port", "mpls", "vlan_tci", "mpls_label", "dl_dst", "tun_id"),
            _set("tun_id"),
            outputs=True,
            neutron=True,
        ),
        # Guests in Neutron's tables, physical bridges.
        Table(
            "PHYSICAL_SWITCHING",
            Bridge.physical(""),
            0,
            _set("in_port", "mpls", "vlan_tci", "dl_vlan", "mpls_label", "dl_dst", "dl_src"),
            _set("vlan_vid"),
            outputs=True,
            neutron=True,
        ),
    )
}

FLOW_LIMITS = {
    table.number: table.max_flows for table in TABLES.values() if table.max_flows is not None
}
"""How many rules tables of br-int may hold."""

_BY_PLACE = {(table.bridge.kind, table.number): table for table in TABLES.values()}


# --- Priorities: but for one, higher than Neutron's rules beside them, lower than its rule that drops the dead VLAN (65535).


class Priority:
    """Priorities of our rules, by what they do."""

    CLASSIFY_NEW = 321  # the first packet of a tracked connection is committed on its way
    CLASSIFY = 320
    CLASSIFY_UNGUARDED = (
        50  # below the firewall's rule for a port in table 60 (100), above NORMAL (1)
    )
    REPLY_OFFSET = 2  # so much below the three before: what can be a request is no reply
    NEIGHBOUR_DISCOVERY = 330  # neighbour discovery stays out of chains
    EXPIRED = 312  # from a function, with a header whose time to live is over
    RETURN_EXACT = 311  # from a function, source address known to belong to the chain's source port
    RETURN = 310
    RETURN_UNCHANGED = 309  # from a function that changes headers, with the header that went in
    CHAIN_FRAME = 301
    STRAY_FRAME = 300  # chain frames nobody here waits for, and what pretends to be one
    FROM_TUNNEL = 299  # chain frames from any tunnel: below what says more of br-int's own
    OTHER_FROM_L2_FUNCTION = 299  # from a function that bridges
    POSITION_AND_PORTS = 11  # packets with the ports that lb_fields names
    POSITION = 10
    BRANCH = (
        20  # into a chain that follows in a service graph; below it, the way of what none takes
    )


# --- Checking.

_WRITE = re.compile(r"(?:->|pop:|multipath\((?:\w+,){5})(?:NXM_OF_|NXM_NX_|OXM_OF_)?(\w+)")
_LEARN = re.compile(r"learn\(table=(\d+),[^)]*\)")
_GOTO = re.compile(r"(?:goto_table:|resubmit\(,)(\d+)")
_OUTPUT = re.compile(r"(?:^|[,(])(?:output:\d+|in_port|NORMAL)(?:[,)]|$)", re.ASCII)


class UndeclaredFlowError(ValueError):
    """A rule does something its table's declaration does not say."""


def check(flows: Iterable[Flow]) -> None:
    """Hold rules against the declaration.

    :raises UndeclaredFlowError: naming the rule and what is undeclared.
    """
    for flow in flows:
        _check(flow)


def _check(flow: Flow) -> None:
    table = _BY_PLACE.get((flow.key.bridge.kind, flow.key.table))
    if table is None:
        raise UndeclaredFlowError(f"no such table: {flow}")
    taught = {_name(table.bridge, int(number)) for number in _LEARN.findall(flow.actions)}
    written = {name.lower() for name in _WRITE.findall(_LEARN.sub("", flow.actions))}
    successors = {_name(table.bridge, int(number)) for number in _GOTO.findall(flow.actions)}
    found = (
        ("match", {word.partition("=")[0] for word in flow.key.match}, table.matches),
        ("write", written, table.writes),
        ("successor", successors, table.successors),
        ("learned table", taught, table.learns_into),
        (
            "output",
            {"output"} if _OUTPUT.search(flow.actions) else set(),
            {"output"} if table.outputs else set(),
        ),
    )
    for kind, used, declared in found:
        if not used <= declared:
            raise UndeclaredFlowError(
                f"{kind} {sorted(used - declared)} is not declared for {table.name}: {flow}"
            )


def _name(bridge: Bridge, number: int) -> str:
    table = _BY_PLACE.get((bridge.kind, number))
    return table.name if table else f"table {number}"
