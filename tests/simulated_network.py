"""Several hosts' compiled rules as one network, in which packets move step by step while rules change between their steps.

It knows the few matches and actions that a plain chain of routing functions needs, and refuses any other: a packet's fate is
never guessed. The real switch has its own tests; this one can be stopped in any moment of a change.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.flow_builder import NO_VLAN, UNICAST
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.match import classifier_matches
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import Classifier
from tests.plans import mac

REGISTERS = ("reg8", "reg9", "reg10", "reg11")
IGNORED = {NO_VLAN, UNICAST, "mpls"}  # true of every packet here that gets to a rule with them
NEUTRON = TABLES["ACCEPT_OR_INGRESS"].number


@dataclass
class Packet:
    """A packet on its way.

    :param place: ``("port", host, port)`` when a machine has just sent it, ``("frame", host, label, mac, tc)`` when it has
        arrived from another host, ``("function", host, name)`` while a function has it; then how it ended: ``("delivered",)``,
        ``("direct",)`` around every function, ``("dropped", why)``, ``("looped", visited)``.
    :param visited: names of the functions that had it.
    :param since: when it was sent.
    """

    number: int
    classifier: Classifier
    place: tuple = ("port", "h1", "vm")
    visited: list[str] = field(default_factory=list)
    since: float = 0.0

    @property
    def is_under_way(self) -> bool:
        return self.place[0] in ("port", "frame", "function")


class Host:
    """One host's rules and ports."""

    def __init__(self, local: LocalSwitch, ports: dict[str, int]) -> None:
        self.local = local
        self.ports = ports  # name -> OpenFlow port
        self.flows: list[Flow] = []

    def hold(self, flows: Iterable[Flow]) -> None:
        self.flows = sorted(flows, key=lambda flow: -flow.key.priority)


def move(packet: Packet, hosts: dict[str, Host]) -> None:
    """Take a packet one step further: through one host's switch, or out of a function."""
    kind, host, *rest = packet.place
    here = hosts[host]
    fields = {"classifier": packet.classifier, "slot": packet.number % 128}
    if kind == "frame":
        label, address, tc = rest
        fields |= {"in_port": here.local.patch_to_tun, "mpls_label": label, "dl_dst": address, "mpls_tc": tc}  # fmt: skip
        table = 0
    else:
        # What a machine's own port sends is classified behind the firewall, what a function sends in the first table.
        port, table = (f"{rest[0]}-out", 0) if kind == "function" else (rest[0], NEUTRON)
        fields["in_port"] = here.ports[port]
    packet.place = _through(here, Bridge.INT, table, fields, hosts, packet)


def _through(here, bridge, table, fields, hosts, packet):
    while True:
        flow = next(
            (f for f in here.flows if (f.key.bridge, f.key.table) == (bridge, table) and _matches(f, fields)),
            None,
        )  # fmt: skip
        if flow is None:
            return _missed(here, bridge, table, fields)
        if flow.actions == "drop":
            return ("dropped", str(flow))
        table = None
        for action in re.findall(r"(?:[^,(]|\([^)]*(?:\([^)]*\))*[^)]*\))+", flow.actions):
            name, _, rest = action.partition(":")
            if name == "set_field":
                value, _, register = rest.partition("->")
                fields[register] = value if ":" in value else int(value, 0)
            elif action.startswith("multipath"):
                fields["reg11"] = fields["slot"]
            elif action.startswith("resubmit("):
                # A table that is asked in between: nobody remembers anything here, so it has nothing to say.
                pass
            elif name == "goto_table":
                table = int(rest)
            elif name == "output":
                return _out(here, bridge, int(rest), fields, hosts, packet)
            elif not action.startswith(("encap", "decap", "ct(commit")):
                raise AssertionError(f"action {action} of {flow}")
        if table == NEUTRON:
            return ("delivered",)


def _missed(here, bridge, table, fields):
    if (bridge, table) == (Bridge.INT, NEUTRON):
        return ("direct",)
    return ("dropped", f"no rule of table {table} on {bridge} of {here.local.host} for {fields}")


def _matches(flow: Flow, fields: dict) -> bool:
    headers = []
    for word in flow.key.match:
        name, _, value = word.partition("=")
        if word in IGNORED:
            continue
        if name == "ct_state":
            return False  # every connection is known already
        if name in REGISTERS or name in ("in_port", "mpls_label", "mpls_tc"):
            if fields.get(name, 0 if name in REGISTERS else None) != int(value, 0):
                return False
        elif name == "dl_dst":
            if fields.get("dl_dst") != value:
                return False
        elif name == "tun_id":
            return False
        else:
            headers.append(word)
    return not headers or frozenset(headers) in classifier_matches(fields["classifier"])


def _out(here, bridge, port, fields, hosts, packet):
    if bridge == Bridge.TUN:
        (address,) = [ip for ip, ofport in here.local.tunnels.items() if ofport == port]
        (peer,) = [name for name in hosts if address in TUNNELS[name]]
        return ("frame", peer, fields["mpls_label"], fields["dl_dst"], fields["mpls_tc"])
    if port == here.local.patch_to_tun and "eth_dst" in fields and "mpls_label" in fields:
        frame = {"in_port": here.local.patch_to_int, "mpls_label": fields["mpls_label"],
                 "mpls_tc": fields["mpls_tc"], "dl_dst": fields["eth_dst"]}  # fmt: skip
        return _through(
            here, Bridge.TUN, 0, frame | {"classifier": packet.classifier}, hosts, packet
        )
    (name,) = [name for name, ofport in here.ports.items() if ofport == port]
    function = name.removesuffix("-in")
    assert fields["eth_dst"] == mac(name), "at its own address"
    packet.visited.append(function)
    if len(packet.visited) > len(set(packet.visited)) * 4:
        return ("looped", packet.visited)
    return ("function", here.local.host, function)


TUNNELS = {f"h{n}": (f"192.0.2.{n}",) for n in (1, 2, 3)}
