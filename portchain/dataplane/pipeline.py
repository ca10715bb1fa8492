"""The OpenFlow pipeline, declared as data: registers, tables, priorities.

Our tables stand beside Neutron's. A few flows in Neutron's own tables divert chain traffic into
ours; all other traffic passes Neutron's tables unchanged. ``docs/pipeline.md`` explains each
table. ``check`` raises an error for any flow that the declaration does not cover.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from portchain.dataplane.flow import Bridge, Flow

# --- Registers of the integration bridge. Neutron uses reg0 to reg7.

REG_PATH_POSITION = "reg8"
"""The path position of the packet: hop index << 24 | generation << 20 | path label. 0 outside of
chains."""

REG_TARGET = "reg9"
"""The first 32 bits of the selected port pair's id; 0 until a pair is selected."""

REG_PAIR_SET = "reg10"
"""Number of the set of weighted pairs to select from; 0 if flow affinity has selected one."""

REG_SLOT = "reg11"
"""The hash slot of the flow (7 bits)."""

REG_SLOT_BITS = "xxreg0"
"""``reg0`` to ``reg3`` as one 128-bit register: scratch space for one bit of each slot. Neutron's
values are restored."""

REG_CLAUSE = "reg12"
"""Always 0. Flows of a conjunction match it, so that none has the match of a flow that stands for
itself."""

REG_LENGTH = "reg13"
"""What has been measured of the packet's length; 0 if nothing has."""

REG_PROJECT = "reg14"
"""A number of the project whose chain a packet is in. Learned flows match it, so that a full table
evicts those of the project that has most."""

REG_OWN = "reg15"
"""1 if a function has sent the packet of its own, and not for a chain; 0 if nothing is known."""

REG_DIGEST = "pkt_reg5"
REG_DIGEST_HALVES = (REG_PAIR_SET, REG_SLOT)
"""``reg10`` and ``reg11`` as one 64-bit register: scratch space to hash several fields side by
side, before either register gets its value."""

REG_TUNNEL = "reg0"
"""On br-tun: the OpenFlow port of the tunnel that a packet of a chain goes into."""

REG_CHECKS = "reg4"
"""On br-chain: ``UNCHECKED`` before OVN's egress checks of the port, ``AT_CHECKS`` during them, and
0 for packets that need none or have passed them."""

UNCHECKED, AT_CHECKS = 1, 3
BEFORE_CHECKS = f"{REG_CHECKS}=0x1/0x1"
"""Matches both."""

REG_SENDER = REG_PROJECT
"""In front of a chain: OpenFlow port of the port that a packet is from. Learned flows match it, so
that a full table evicts those of the port that has most."""

REG_METERING = REG_SLOT
"""1 while a packet visits the tables that limit packet rates; its slot does not matter then."""

REG_CHECKED = REG_SLOT
"""1 while the source MAC address of a packet is checked that has an accepted source address; its
slot does not matter then."""

# Set by Neutron's openvswitch firewall: the port that sent a packet, and its network's local VLAN.
REG_NEUTRON_PORT = "reg5"
REG_NEUTRON_NET = "reg6"

MAX_HOPS = 254
"""The service index counts down from 255, and 0 is invalid (RFC 8300, section 2.2)."""

FIRST_SERVICE_INDEX = 255

FIRST_NSH_TTL = 63
"""Every forwarder decrements the TTL and drops the packet at 0 (RFC 8300, section 2.2)."""

MAX_NSH_HOPS = FIRST_NSH_TTL

_FORWARD_LABEL, _REVERSE_LABEL, _IPV6_LABEL = 0x10000, 0x20000, 0x40000

ODD_GENERATION = 0x80000
"""Flag in a path id and its label, set for every second list of groups of a chain: it keeps the
hops of the old list and the new list apart."""

POSITION_DONE = 0xFF000000
"""Value of ``REG_PATH_POSITION``: the packet has left its chain; do not classify it again."""


LEARNED_POSITION_SHIFT = 32
"""In cookies of learned flows, the bits of the pair's number below the position."""
POSITION_ARRIVED = 0x40000
"""Flag in ``REG_PATH_POSITION``: the packet has come from another host. It goes to a port of this
host, and never to one more host: two hosts that learn of a move at different times would send it to
and fro without an end."""

POSITION_BRANCHING = POSITION_ARRIVED
"""Flag in ``REG_PATH_POSITION`` while table RETURNED checks what the last function has returned, if
chains follow in a service graph. When that changes, packets go on by flows of the present plan
alone. Nothing that a function returns comes from another host, so the flags share a bit."""

POSITION_RETURNED = 0xFE000000
"""Value of ``REG_PATH_POSITION``: a function that routes has returned the packet at the end of its
chain. It is not accepted yet."""


def path_label(path_id: int, reverse: bool = False) -> int:
    """Return the MPLS label of one direction of a chain.

    The label avoids the reserved labels 0..15; its last four hex digits are the chain's number.

    :param path_id: 1..65535, with or without ``ODD_GENERATION``.
    """
    return (_REVERSE_LABEL if reverse else _FORWARD_LABEL) | path_id


POSITION_GENERATIONS = 16
"""So many successive lists of groups of a chain have different path positions."""

POSITION_WITHOUT_GENERATION = 0xFF0FFFFF
"""The bits of a path position that do not depend on the generation."""

_FRAME_GENERATIONS, _FRAME_INDICES = 13, 16


def frame_ttl(generation: int | None, index: int) -> int:
    """Return the MPLS TTL of a chain frame: which list of groups it follows, and where in it.

    Hosts learn of a change at different times, or not at all. A receiver with another list, or with
    the pair at another hop, must not take the frame (docs/decisions/0053). The TTL and the label's
    ``ODD_GENERATION`` together distinguish 26 successive lists.

    :param generation: as in ``ChainPlan``.
    :param index: index of the hop that the packet is about to visit.
    """
    if generation is None:
        return FIRST_SERVICE_INDEX - index  # as agents before contract 1.9 set it
    block = 1 + generation % _FRAME_GENERATIONS  # block 0 is theirs
    return FIRST_SERVICE_INDEX - block * _FRAME_INDICES - index % _FRAME_INDICES


def port_label(mac: str) -> int:
    """Return the MPLS label that names the port which a packet between hosts is for.

    Its five hex digits are the last ones of the port's MAC address.

    :param mac: ``xx:xx:xx:xx:xx:xx``.
    """
    return int(mac.replace(":", "")[-5:], 16)


def function_label(label: int, ethertype: str) -> int:
    """Return the label of a path as SFC-aware functions see it.

    Between hosts an Ethernet header follows the label. Towards a function an IP packet follows it
    directly, so the label itself has to say which IP version that is.

    :param ethertype: ``IPv4`` or ``IPv6``.
    """
    return label | (_IPV6_LABEL if ethertype == "IPv6" else 0)


def path_position(label: int, hop: int, generation: int | None = None) -> int:
    """Return the value of ``REG_PATH_POSITION`` for a packet that is about to visit a hop.

    :param hop: index of the hop, from 0; the number of hops once the packet has visited all.
    :param generation: as in ``ChainPlan``; None if it does not matter.
    """
    return hop << 24 | ((generation or 0) % POSITION_GENERATIONS) << 20 | label


# --- Tables.


@dataclass(frozen=True, slots=True)
class Table:
    """One OpenFlow table, and what our flows may do in it.

    :param bridge: a physical bridge has no network name here: the table exists on all of them.
    :param purpose: what our flows do there, as a sentence for ``docs/tables.md``.
    :param matches: fields and protocol words that our flows may match.
    :param writes: fields and registers that our flows may write.
    :param successors: names of the tables that our flows may resubmit or go to.
    :param outputs: whether our flows may output the packet.
    :param neutron: whether the table belongs to Neutron.
    :param learns_into: names of the tables into which our flows may learn flows.
    :param max_flows: above this number the switch evicts learned flows; None for no limit.
    """

    name: str
    bridge: Bridge
    number: int
    purpose: str
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
_HOOK_MATCHES = _CLASSIFIED | {REG_PATH_POSITION, REG_CLAUSE, "conj_id"}
_NSH_WRITES = frozenset({"nsh_spi", "nsh_si", "nsh_ttl"})
_TAG_MATCHES = frozenset({"vlan_tci", "dl_vlan"})
_FRAME_MATCHES = _TAG_MATCHES | frozenset(
    {"mpls", "dl_src"}
    | {"mpls_label", "mpls_tc", "mpls_ttl", "mpls_bos"}
    | {"dl_type", "nsh_mdtype", "nsh_np", "nsh_spi", "nsh_si", "nsh_ttl"}
)
_METER_WRITES = frozenset({REG_METERING, "eth_src", "eth_dst", "vlan_vid"})
_FRAME_WRITES = frozenset({"eth_dst", "eth_src", "mpls_label", "mpls_tc", "mpls_ttl"})


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


TABLES = {
    table.name: table
    for table in (
        # Our flows in Neutron's tables, br-int.
        Table(
            "LOCAL_SWITCHING",
            Bridge.INT,
            0,
            "Takes what functions return, and packets and chain frames from other hosts.",
            matches=_HOOK_MATCHES
            | _FRAME_MATCHES
            | {"nw_ttl", REG_LENGTH, REG_OWN}
            | {"arp", "arp_op", "arp_tpa", "nd_target"},
            writes=_set(
                *(REG_PATH_POSITION, REG_TARGET, REG_NEUTRON_PORT, REG_NEUTRON_NET, "eth_src"),
                *(REG_LENGTH, REG_OWN, REG_CHECKS, REG_SENDER, "in_port", "pkt_mark", "mpls_ttl"),
            )
            | _METER_WRITES,
            successors=_set(
                *("LOCAL_SWITCHING", "HOP", "FORWARD", "REJOIN", "BRANCH", "COPY"),
                *("ARRIVED", "RETURNED", "RATE_LIMIT", "TRANSIENT", "ACCEPT_OR_INGRESS"),
                "NEXT_HOPS",
            ),
            outputs=True,
            neutron=True,
        ),
        Table(
            "RATE_LIMIT",
            Bridge.INT,
            58,
            "Neutron's packet rate limits, and behind them those of bandwidth. No flow of ours.",
            matches=frozenset(),
            neutron=True,
        ),
        Table(
            "TRANSIENT",
            Bridge.INT,
            60,
            "Classifies what sources send, if Neutron's firewall is not on br-int.",
            matches=_HOOK_MATCHES | {REG_METERING, REG_CHECKS},
            writes=_HOOK_WRITES,
            successors=_set("HOP", "COPY", "TRANSIENT"),
            outputs=True,
            neutron=True,
        ),
        Table(
            "ACCEPT_OR_INGRESS",
            Bridge.INT,
            73,
            "Classifies what sources send, behind the egress rules of the openvswitch firewall.",
            matches=_HOOK_MATCHES | _set("ct_state"),
            writes=_HOOK_WRITES,
            successors=_set("HOP", "COPY", "ACCEPT_OR_INGRESS"),
            neutron=True,
        ),
        Table(
            "ACCEPTED_EGRESS",
            Bridge.INT,
            94,
            "Classifies replies of connections that the other side opened (openvswitch firewall).",
            matches=_HOOK_MATCHES,
            writes=_HOOK_WRITES,
            successors=_set("HOP", "COPY", "ACCEPTED_EGRESS"),
            neutron=True,
        ),
        # Our tables, br-chain only.
        Table(
            "TO_CHECKS",
            Bridge.INT,
            143,
            "Sends what enters a chain through OVN's egress checks of its port first (br-chain).",
            matches=_set("in_port"),
            writes=_set(REG_SENDER, "pkt_mark", "eth_dst"),
            learns_into=_set("NEXT_HOPS"),
            outputs=True,
        ),
        Table(
            "NEXT_HOPS",
            Bridge.INT,
            144,
            "Has learned flows: each knows a destination address that TO_CHECKS replaced.",
            matches=frozenset(),  # contains learned flows only
            max_flows=1 << 14,
        ),
        # Our tables, br-int.
        Table(
            "SLOT_BIT",
            Bridge.INT,
            145,
            "Reads the bit of the packet's hash slot.",
            matches=_set(REG_SLOT),
            writes=_set(REG_TARGET),
        ),
        Table(
            "CHOICE",
            Bridge.INT,
            146,
            "Selects the pair of a choice.",
            matches=_set(REG_PAIR_SET, REG_TARGET, REG_PATH_POSITION),
            writes=_set(REG_TARGET),
            successors=_set("LEARN_AFFINITY", "FORWARD"),
        ),
        Table(
            "ARRIVED",
            Bridge.INT,
            147,
            "Selects the port that packets from other hosts are for, by their second label.",
            matches=_set(REG_PATH_POSITION, "mpls", "mpls_label", "mpls_tc"),
            writes=_set(REG_PATH_POSITION, REG_TARGET),
            successors=_set("FORWARD", "REJOIN"),
        ),
        Table(
            "HOP",
            Bridge.INT,
            150,
            "Starts a hop: hashes the packet's traffic flow and looks for a learned pair.",
            matches=_HEADERS | {REG_PATH_POSITION, REG_CHECKS, "nw_frag", "tcp_flags"},
            # The source address serves as scratch space for hashing and is restored.
            writes=_set(REG_TARGET, REG_PAIR_SET, REG_SLOT, REG_DIGEST, REG_PROJECT, "eth_src")
            | {REG_CHECKS},
            successors=_set("AFFINITY", "BALANCE", "LEARN_AFFINITY", "FORWARD", "TO_CHECKS"),
        ),
        Table(
            "BALANCE",
            Bridge.INT,
            151,
            "Looks up which choice the hash slot has, unless a learned flow has selected a pair.",
            matches=_set(REG_PAIR_SET, REG_TARGET, REG_PATH_POSITION),
            writes=_set(REG_TARGET, REG_SLOT_BITS),
            successors=_set("SLOT_BIT", "CHOICE", "LEARN_AFFINITY", "FORWARD"),
        ),
        Table(
            "FORWARD",
            Bridge.INT,
            152,
            "Sends the packet to the selected function, here or on another host.",
            matches=_set(REG_PATH_POSITION, REG_TARGET, "ip", "ipv6") | _TAG_MATCHES,
            writes=_FRAME_WRITES | _NSH_WRITES | _METER_WRITES,
            successors=_set("RATE_LIMIT"),
            outputs=True,
        ),
        Table(
            "REJOIN",
            Bridge.INT,
            153,
            "Lets a frame with an unmodified source address continue from the port it came from.",
            matches=_set(REG_PATH_POSITION, "dl_src", "ip", "ipv6", "nw_src", "ipv6_src")
            | _TAG_MATCHES,
            writes=_FRAME_WRITES
            | {REG_PATH_POSITION, REG_NEUTRON_PORT, REG_NEUTRON_NET, "in_port"},
            successors=_set("REJOIN", "TRANSIENT", "ACCEPT_OR_INGRESS"),
            outputs=True,
        ),
        Table(
            "BRANCH",
            Bridge.INT,
            149,
            "Classifies packets at the end of a chain for the chains that follow (service graphs).",
            matches=_HOOK_MATCHES,
            writes=_set(REG_PATH_POSITION, REG_NEUTRON_PORT, REG_NEUTRON_NET),
            successors=_set("HOP", "COPY", "REJOIN", "TRANSIENT", "ACCEPT_OR_INGRESS"),
        ),
        Table(
            "RETURNED",
            Bridge.INT,
            148,
            "Accepts what functions return, if the chain's sources may send it (anti-spoofing).",
            matches=_set(REG_PATH_POSITION, REG_CHECKED, "in_port", "dl_src")
            | {"ip", "ipv6", "nw_src", "ipv6_src"}
            | {"udp", "udp6", "tp_src", "tp_dst", "icmp6", "icmp_type", "icmp_code", "nw_ttl"},
            writes=_set(REG_PATH_POSITION, REG_NEUTRON_PORT, REG_NEUTRON_NET, REG_OWN)
            | _METER_WRITES,
            successors=_set(
                *("LOCAL_SWITCHING", "RETURNED", "HOP", "COPY", "BRANCH", "REJOIN"),
                *("RATE_LIMIT", "TRANSIENT", "ACCEPT_OR_INGRESS"),
            ),
        ),
        Table(
            "COPY",
            Bridge.INT,
            154,
            "Sends a copy of the packet to a tap, here or on another host.",
            matches=_set(REG_PATH_POSITION, REG_CHECKS, "ip", "ipv6") | _TAG_MATCHES,
            writes=_FRAME_WRITES | _NSH_WRITES | _METER_WRITES | {REG_CHECKS},
            successors=_set("RATE_LIMIT", "TO_CHECKS"),
            outputs=True,
        ),
        # Flow affinity, br-int. The tables above resubmit to these and continue after them.
        Table(
            "AFFINITY",
            Bridge.INT,
            155,
            "Has the learned flows: each sets the pair that a traffic flow has visited.",
            matches=frozenset(),  # contains learned flows only
            max_flows=1 << 16,
        ),
        Table(
            "LEARN_AFFINITY",
            Bridge.INT,
            156,
            "Makes the switch learn which pair a traffic flow visits.",
            matches=_HEADERS | {REG_PATH_POSITION, REG_TARGET},
            learns_into=_set("AFFINITY"),
        ),
        # Our flows in Neutron's tables, br-tun.
        Table(
            "TUNNEL_SWITCHING",
            Bridge.TUN,
            0,
            "Moves packets and chain frames between br-int and the tunnels to other hosts.",
            matches=_set(
                *("in_port", "mpls", "vlan_tci", "mpls_label", "mpls_bos", "dl_dst", "tun_id"),
                "mpls_ttl",
            ),
            writes=_set("tun_id", REG_TUNNEL, "mpls_ttl"),
            outputs=True,
            neutron=True,
        ),
        # Our flows in Neutron's tables, physical bridges.
        Table(
            "PHYSICAL_SWITCHING",
            Bridge.physical(""),
            0,
            "Moves chain frames between br-int and a provider network, for hosts without a tunnel.",
            matches=_set(
                *("in_port", "mpls", "vlan_tci", "dl_vlan", "mpls_label", "mpls_bos"),
                *("dl_dst", "dl_src"),
            ),
            writes=_set("vlan_vid"),
            outputs=True,
            neutron=True,
        ),
    )
}

FLOW_LIMITS, BR_CHAIN_LIMITS = (
    {TABLES[name].number: limit for name in names if (limit := TABLES[name].max_flows) is not None}
    for names in (("AFFINITY",), ("AFFINITY", "NEXT_HOPS"))
)
"""Table number -> maximum number of flows, for tables of br-int and of br-chain."""

_BY_NUMBER = {(table.bridge.kind, table.number): table for table in TABLES.values()}


# --- Priorities.


class Priority:
    """Priorities of our flows, by what they do.

    All but one are above Neutron's flows in the same table, and below Neutron's flow that drops
    the dead VLAN (65535).
    """

    # Classification.
    CLASSIFY_NEW = 321  # the first packet of a connection, committed to conntrack
    CLASSIFY = 320
    # Below the firewall's flow for a port in table 60 (100), above Neutron's NORMAL (1).
    CLASSIFY_UNGUARDED = 50
    # Subtracted from the three above for replies: a packet that can be a request is no reply.
    REPLY_OFFSET = 10
    # Subtracted for each rank of a match, see ``match.sent_matches``.
    RANK_OFFSET = 2
    # As a rank, for drops of all that a source sends, because its chain is too large to classify:
    # below the flows of all chains.
    COARSE_RANK = 10
    # Added to replies' priorities for packets that a router forwards, and that are none.
    FORWARDED_OFFSET = 3
    # Subtracted for fragments of which the switch cannot tell whether they match: below all ranks.
    FRAGMENT_OFFSET = 15
    PROBE = 333  # answers to the probes of health checks
    METERED = 332  # has visited the tables that limit packet rates
    # In Neutron's first table, before anything is classified.
    TO_GROUP = 331  # broadcast and multicast: not part of chains
    LINK_TRAFFIC = 330  # neighbour discovery and DHCP: not part of chains
    DISGUISED = 329  # would go around the chain

    # From functions.
    OWN_TRAFFIC = 318  # a function's port is the source of a chain
    EXPIRED = 317  # NSH with a TTL of 0
    RETURN_EXACT = 315  # matches the addresses of the chain's source port, too
    RETURN = 312
    RETURN_UNCHANGED = 309  # a function that changes headers returns the original header
    HOLD_RETURNED_FRAGMENT = 308  # fragments that may belong to a chain, from a function
    OTHER_FROM_L2_FUNCTION = 299  # anything else from a function that bridges

    # Between hosts.
    CHAIN_FRAME = 301
    STRAY_FRAME = 300  # chain frames that no flow expects, and forged ones
    PEER_PROBE = 299  # probes from and to other hosts
    FROM_TUNNEL = 298  # chain frames from any tunnel; below all more specific flows
    FORGED = 297  # frames with a header, to a function that understands it

    # On br-chain, below all others of the table.
    WIRE = 10  # between a port, its network and its gate
    WIRE_TAGGED = 11  # packets with a VLAN tag, which no chain classifies
    ENTER = 40  # in HOP and COPY, above all others: packets that OVN has not checked

    # In our own tables.
    ANY_SOURCE = 9  # frames with a source MAC address that the plan does not name
    NOT_RETURNED = 9  # other packets of a function
    NO_PAIR = 9  # packets that no flow of their selection gives a pair
    POSITION = 10
    FORBIDDEN = 11  # messages of routers, DHCP servers and neighbours, from a function
    POSITION_AND_PORTS = 11  # packets whose transport ports identify their traffic flow
    ADDRESS = 11  # packets without a source MAC address, by their IP address
    OPENING = 12  # the first packets of TCP connections, after a change of their group
    FRAGMENT = 13  # fragments of such packets, in which the switch sees no ports
    COARSE_BRANCH = 12  # as COARSE_RANK
    BRANCH = 20  # into a following chain of a service graph; POSITION matches all others
    BRANCH_FRAGMENT = 15  # fragments that may belong to a following chain


# --- Checking.

_WRITE = re.compile(r"(?:->|pop:|multipath\((?:\w+,){5})(?:NXM_OF_|NXM_NX_|OXM_OF_)?(\w+)")
# Each begins with a literal: a lookbehind instead takes four times as long.
_VALUE = re.compile(r"set_field:[^,]*(?=->)|cookie=\w+")
_PORT = re.compile(r"output:\d+(?=\d)")
_LEARN = re.compile(r"learn\(table=(\d+),[^)]*\)")
_GOTO = re.compile(r"(?:goto_table:|resubmit\(,)(\d+)")
_OUTPUT = re.compile(
    r"(?:^|[,(])(?:output:(?:\d+|NXM_NX_REG\d+\[.*?\])|IN_PORT|NORMAL|controller\(.*?\))(?:[,)]|$)",
    re.ASCII,
)


class UndeclaredFlowError(ValueError):
    """A flow does something that its table's declaration does not allow."""


def check(flows: Iterable[Flow]) -> None:
    """Check flows against the declaration.

    :raises UndeclaredFlowError: names the flow and what is undeclared.
    """
    for flow in flows:
        key = flow.key
        table = _BY_NUMBER.get((key.bridge.kind, key.table))
        if table is None:
            raise UndeclaredFlowError(f"no such table: {flow}")
        for word in key.match:
            if (name := word.partition("=")[0]) not in table.matches:
                raise UndeclaredFlowError(f"match {name} is not declared for {table.name}: {flow}")
        if problem := _undeclared(table.name, _without_values(flow.actions)):
            raise UndeclaredFlowError(f"{problem} is not declared for {table.name}: {flow}")


def _without_values(actions: str) -> str:
    """Return actions without the values that they write: few different ones remain."""
    if "output:" in actions:
        actions = _PORT.sub("output:", actions)
    return _VALUE.sub("", actions)


@functools.lru_cache(maxsize=1 << 12)
def _undeclared(table_name: str, actions: str) -> str:
    """Return what actions do that a table's declaration does not allow; empty if nothing.

    :param actions: those of ``_without_values``.
    """
    table = TABLES[table_name]
    learned = {_name(table.bridge, int(number)) for number in _LEARN.findall(actions)}
    written = {name.lower() for name in _WRITE.findall(_LEARN.sub("", actions))}
    successors = {_name(table.bridge, int(number)) for number in _GOTO.findall(actions)}
    found = (
        ("write", written, table.writes),
        ("successor", successors, table.successors),
        ("learned table", learned, table.learns_into),
        (
            "output",
            {"output"} if _OUTPUT.search(actions) else set(),
            {"output"} if table.outputs else set(),
        ),
    )
    problems = (f"{kind} {sorted(used - known)}" for kind, used, known in found if used - known)
    return next(problems, "")


def _name(bridge: Bridge, number: int) -> str:
    table = _BY_NUMBER.get((bridge.kind, number))
    return table.name if table else f"table {number}"
