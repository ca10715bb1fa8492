"""A network simulated from the compiled flows of several hosts.

Packets move step by step, and flows can change between the steps. The simulation knows the few
matches and actions that chains of SFC-unaware functions need, and raises an error for any other.
Functional tests use a real switch; this one can be stopped at any moment of a transition.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.flow_builder import NO_VLAN, UNICAST
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.match import classifier_matches
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import Classifier
from tests.plans import mac

REGISTERS = ("reg0", "reg8", "reg9", "reg10", "reg11", "reg13", "reg14", "reg15")
LABEL = ("mpls_label", "mpls_tc", "mpls_ttl")
IGNORED = {NO_VLAN, UNICAST, "mpls"}  # true of every packet that gets to a flow with them
MOST_CROSSINGS = 20
NEUTRON = TABLES["ACCEPT_OR_INGRESS"].number
# Tables that a packet continues in, wherever a flow sends it there. The simulation learns no flows
# and has no taps, so it skips the others.
CONTINUES_IN = {
    TABLES[name].number
    for name in ("ACCEPT_OR_INGRESS", "RETURNED", "REJOIN", "BRANCH", "HOP", "ARRIVED", "CHOICE")
}
SLOT_BIT = TABLES["SLOT_BIT"].number


@dataclass
class Packet:
    """A packet in flight.

    :param location: where the packet is; the first item is one of

        * ``("port", host, port)``: a VM has just sent it;
        * ``("frame", host, labels, mac)``: it has arrived from another host, with these labels,
          the top first, each with its traffic class and TTL;
        * ``("function", host, name, side)``: a function has it, and returns it at its port
          ``name-side``;
        * ``("delivered",)``, ``("delivered", "own")`` (past the port security of a function, as
          what it sends of its own), ``("direct",)`` (bypassed every function), ``("dropped",
          reason)``, ``("looped", visited)``: how it ended.
    :param visited: names of the functions that have had it.
    :param crossings: how often it has gone from one host to another.
    :param since: time at which it was sent.
    :param mac: the source MAC address of its frame.
    :param forged: the source MAC address that the function writes which has it; empty for the one
        that belongs there.
    """

    number: int
    classifier: "Classifier | Header"
    location: tuple = ("port", "h1", "vm")
    visited: list[str] = field(default_factory=list)
    crossings: int = 0
    since: float = 0.0
    mac: str = ""
    forged: str = ""

    @property
    def is_in_flight(self) -> bool:
        return self.location[0] in ("port", "frame", "function")


@dataclass(frozen=True)
class Header:
    """The header of one UDP or TCP packet, matched word by word as a switch does."""

    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int

    def matches(self, words: Iterable[str]) -> bool:
        return all(self._has(word) for word in words)

    def _has(self, word: str) -> bool:
        name, _, value = word.partition("=")
        if name in ("ip", "tcp", "udp"):
            return name == "ip" or {"tcp": 6, "udp": 17}[name] == self.protocol
        if name in ("nw_src", "nw_dst"):
            own = self.source if name == "nw_src" else self.destination
            return ip_address(own) in ip_network(value)
        if name in ("tp_src", "tp_dst"):
            number, _, mask = value.partition("/")
            own_port = self.source_port if name == "tp_src" else self.destination_port
            return (own_port ^ int(number, 0)) & int(mask or "0xffff", 0) == 0
        raise AssertionError(f"the simulation does not know {word}")


class Host:
    """The flows and ports of one host.

    ``bridging``: names of the functions that bridge. ``single``: of those with a single port.
    """

    def __init__(self, local: LocalSwitch, ports: dict[str, int]) -> None:
        self.local = local
        self.ports = ports  # name -> OpenFlow port
        self.flows: list[Flow] = []
        self.bridging: frozenset[str] = frozenset()
        self.single: frozenset[str] = frozenset()

    def install(self, flows: Iterable[Flow]) -> None:
        """Replace all flows."""
        self.flows = sorted(flows, key=lambda flow: -flow.key.priority)


def move(packet: Packet, hosts: dict[str, Host]) -> None:
    """Move a packet by one step: through the switch of a host, or out of a function."""
    kind, host_name, *rest = packet.location
    host = hosts[host_name]
    fields = {"classifier": packet.classifier, "slot": packet.number % 128, "labels": ()}
    if kind == "frame":
        labels, address = rest
        fields |= {"in_port": host.local.patch_to_tun, "labels": labels, "dl_dst": address}
        table = 0
    else:
        # Packets of a VM are classified behind the firewall, those of a function in table 0.
        port, table = ("-".join(rest), 0) if kind == "function" else (rest[0], NEUTRON)
        fields["in_port"] = host.ports[port]
        if packet.forged:
            packet.mac, packet.forged = packet.forged, ""
        elif kind == "port" or rest[0] not in host.bridging:
            packet.mac = mac(port)
    fields["dl_src"] = packet.mac
    packet.location = _through(host, Bridge.INT, table, fields, hosts, packet)


def _through(host, bridge, table, fields, hosts, packet):
    while True:
        flow = _first_match(host, bridge, table, fields)
        if flow is None:
            return _missed(host, bridge, table, fields, packet)
        if flow.actions == "drop":
            return ("dropped", str(flow))
        table = None
        for action in re.findall(r"(?:[^,(]|\([^)]*(?:\([^)]*\))*[^)]*\))+", flow.actions):
            name, _, rest = action.partition(":")
            if name == "set_field":
                value, _, register = rest.partition("->")
                if register in LABEL:
                    top, *below = fields["labels"]
                    changed = dict(zip(LABEL, top, strict=True)) | {register: int(value, 0)}
                    fields["labels"] = (tuple(changed.values()), *below)
                else:
                    fields[register] = value if ":" in value else int(value, 0)
            elif name == "push_mpls" or action == "encap(mpls)":
                fields["labels"] = ((0, 0, 0), *fields["labels"])
            elif name == "pop_mpls":
                fields["labels"] = fields["labels"][1:]
            elif action.startswith("decap(packet_type"):
                fields["labels"] = ()
            elif name == "move" and "MPLS_LABEL" in rest:
                fields["reg0"] = fields["labels"][0][0]
            elif action.startswith("multipath"):
                fields["reg11"] = fields["slot"]
            elif action == f"resubmit(,{SLOT_BIT})":
                fields["reg9"] = fields.get("reg9", 0) & ~1 | fields["xxreg0"] >> fields["slot"] & 1
            elif action.startswith("move:NXM_NX_REG9[0]->NXM_NX_REG9["):
                fields["reg9"] |= (fields["reg9"] & 1) << int(action.partition("->")[2][13:-1])
            elif action == "resubmit(,0)":
                table = 0
            elif action.startswith("resubmit("):
                number = int(action.rstrip(")").partition(",")[2])
                table = number if number in CONTINUES_IN else table
            elif name == "goto_table":
                table = int(rest)
            elif name == "output":
                port = fields["reg0"] if rest.startswith("NXM_NX_REG0") else int(rest)
                return _out(host, bridge, port, fields, hosts, packet)
            elif name not in ("move", "push", "pop") and not action.startswith(
                ("encap", "decap", "ct(commit")
            ):
                raise AssertionError(f"action {action} of {flow}")
        if table == NEUTRON:
            return ("delivered",)


def _first_match(host, bridge, table, fields):
    """The flow that a packet matches. Of two with one priority, a switch takes any."""
    found = [
        flow
        for flow in host.flows
        if (flow.key.bridge, flow.key.table) == (bridge, table) and _matches(flow, fields)
    ]
    rivals = [flow for flow in found if flow.key.priority == found[0].key.priority]
    assert len({flow.actions for flow in rivals}) <= 1, rivals
    return rivals[0] if rivals else None


def _missed(host, bridge, table, fields, packet):
    if (bridge, table) == (Bridge.INT, NEUTRON):
        return ("direct",)
    if (bridge, table) == (Bridge.INT, 0) and packet.location[0] == "function":
        # Neutron's flows take what the function sends of its own, and let it go to the destination.
        return ("delivered", "own")
    return (
        "dropped",
        f"no flow of table {table} on {bridge} of {host.local.host} matches {fields}",
    )


def _matches(flow: Flow, fields: dict) -> bool:
    headers = []
    for word in flow.key.match:
        name, _, value = word.partition("=")
        if word in IGNORED:
            continue
        if name == "ct_state":
            return False  # all connections are established
        if name == "nw_frag":
            if value != "no":
                return False  # no packet is a fragment
            continue
        if name == "tcp_flags":
            return False  # no packet begins a connection
        if word == "dl_vlan=0":
            return False  # no packet has a tag
        if name == "mpls_bos":
            if (len(fields["labels"]) == 1) != (value == "1"):
                return False
        elif name in LABEL:
            if not fields["labels"] or fields["labels"][0][LABEL.index(name)] != int(value, 0):
                return False
        elif name in REGISTERS or name == "in_port":
            if fields.get(name, 0 if name in REGISTERS else None) != int(value, 0):
                return False
        elif name in ("dl_dst", "dl_src"):
            if fields.get(name) != value:
                return False
        elif name == "tun_id":
            return False
        else:
            headers.append(word)
    if isinstance(fields["classifier"], Header):
        return fields["classifier"].matches(headers)
    packets = classifier_matches(fields["classifier"])
    any_protocol = {"IPv4": "ip", "IPv6": "ipv6"}[fields["classifier"].ethertype]
    return any(frozenset(headers) - {any_protocol} <= packet for packet in packets)


def _out(host, bridge, port, fields, hosts, packet):
    if bridge == Bridge.TUN:
        (address,) = [ip for ip, ofport in host.local.tunnels.items() if ofport == port]
        (peer,) = [name for name in hosts if address in TUNNELS[name]]
        packet.crossings += 1
        if packet.crossings > MOST_CROSSINGS:
            return ("looped", packet.visited)
        return ("frame", peer, fields["labels"], fields["dl_dst"])
    if port == host.local.patch_to_tun and fields["labels"]:
        frame = {"in_port": host.local.patch_to_int, "labels": fields["labels"],
                 "dl_dst": fields.get("eth_dst"), "classifier": packet.classifier}  # fmt: skip
        return _through(host, Bridge.TUN, 0, frame, hosts, packet)
    (name,) = [name for name, ofport in host.ports.items() if ofport == port]
    function, _, side = name.rpartition("-")
    if function not in host.bridging:
        assert fields["eth_dst"] == mac(name), "at its own address"
    packet.visited.append(function)
    if len(packet.visited) > len(set(packet.visited)) * 4:
        return ("looped", packet.visited)
    other_side = "out" if side == "in" else "in"
    return ("function", host.local.host, function, side if function in host.single else other_side)


TUNNELS = {f"h{n}": (f"192.0.2.{n}",) for n in (1, 2, 3)}
