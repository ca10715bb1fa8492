"""What chains need of the datapath of Open vSwitch, and what happens where it lacks it.

The datapath forwards packets: a module of the kernel, or a part of ovs-vswitchd. It does not have
everything that OpenFlow flows can ask for. docs/datapaths.md has the versions.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from portchain.dataplane.flow import Flow, SwitchEntry


@dataclass(frozen=True, slots=True, order=True)
class Feature:
    """Something that chains need and that a datapath may lack.

    :param name: what it is called.
    :param effect: what happens to packets where it is missing.
    :param shown_by: lines of ``ovs-appctl dpif/show-dp-features`` that show it, each with the least
        number that is enough. One of them is enough. "Yes" counts as 1.
    """

    name: str
    effect: str
    shown_by: tuple[tuple[str, int], ...]


FRAMES = Feature(
    "MPLS Label add",
    "every packet between hosts passes through ovs-vswitchd, which is many times slower",
    (("MPLS Label add", 1),),
)
MPLS = Feature("MPLS", "packets with MPLS labels may be lost", (("Max MPLS depth", 2),))
# Open vSwitch does not know of this one: the agent looks for the module.
SEGMENTATION = Feature(
    "the kernel's module mpls_gso",
    "large TCP packets of virtual machines (segmentation offload) are lost on their way to other "
    "hosts, and TCP is slow. Run: modprobe mpls_gso",
    (),
)
RECIRCULATION = Feature(
    "Recirc", "packets whose chain header is removed may be lost", (("Recirc", 1),)
)
# Open vSwitch does not ask for NSH. Linux has it since 4.15, and the action clone since 4.19.
NSH = Feature("NSH", "packets of NSH-aware functions may be lost", (("Clone action", 1),))
PACKET_LENGTH = Feature(
    "Check pkt length action",
    "neighbour discovery that a classifier matches passes through ovs-vswitchd",
    (("Check pkt length action", 1),),
)
# Open vSwitch uses nested actions "sample" in place of "clone", and discards copies without either.
COPIES = Feature(
    "Clone action", "taps may get no copies", (("Clone action", 1), ("Sample nesting", 4))
)
TRACKING = Feature(
    "CT state",
    "connections are not tracked, so neither chains nor security groups work",
    (("CT state", 1),),
)
ZONES = Feature(
    "CT zone",
    "connections are not tracked, so neither chains nor security groups work",
    (("CT zone", 1),),
)
FEATURES = frozenset(
    {FRAMES, MPLS, SEGMENTATION, RECIRCULATION, NSH, PACKET_LENGTH, COPIES, TRACKING, ZONES}
)


def _each(constructs: str, *features: Feature) -> dict[str, tuple[Feature, ...]]:
    return dict.fromkeys(constructs.split(), features)


NEEDS: Mapping[str, tuple[Feature, ...]] = {
    **_each("encap(mpls) decap(packet_type)", FRAMES, MPLS, RECIRCULATION),
    **_each("mpls mpls_label mpls_tc mpls_ttl mpls_bos", MPLS),
    **_each("push_mpls", MPLS, SEGMENTATION),
    **_each("pop_mpls", MPLS, RECIRCULATION),
    **_each("encap(nsh) nsh_mdtype nsh_np nsh_spi nsh_si nsh_ttl", NSH),
    **_each("check_pkt_larger", PACKET_LENGTH),
    **_each("clone", COPIES),
    **_each("ct_state", TRACKING),
    **_each("ct", TRACKING, ZONES),
    # Each datapath that has the above has these. ``encap(nsh)`` and ``encap(mpls)`` go before the
    # first two.
    **_each("encap(ethernet) decap push_vlan pop_vlan vlan_vid vlan_tci dl_vlan tun_id"),
    **_each("in_port pkt_mark dl_src dl_dst eth_src eth_dst dl_type ip ipv6 nw_proto nw_ttl"),
    **_each("tcp tcp6 udp udp6 sctp sctp6 icmp icmp6 icmp_type icmp_code tp_src tp_dst"),
    **_each("tcp_flags nw_frag"),
    **_each("nw_src nw_dst ipv6_src ipv6_dst NORMAL output IN_PORT"),
    **_each("arp arp_op arp_tpa nd_target controller"),
    # ovs-vswitchd does these itself, when it computes a flow for the datapath.
    **_each("conj_id conjunction learn multipath load move push pop set_field"),
    **_each("goto_table resubmit drop register"),
}
"""Fields that flows match or write, and their actions -> what they need of the datapath.

This lists everything that the pipeline uses; a test compares it with the flows of all plans.
"""

# Actions whose arguments are no actions. The first argument of some belongs to their name.
_ARGUMENTS = re.compile(
    r"\b(?:(?P<name>learn|multipath|conjunction|resubmit|ct|check_pkt_larger|controller)\("
    r"|(?P<header>(?:en|de)cap)\((?P<kind>\w*))(?:[^()]|\([^()]*\))*\)"
)
_ACTION = re.compile(r"(?:^|[,(])([a-zA-Z]\w*(?:\(\w+\)(?=,|\)|$))?)")
_WRITTEN = re.compile(r"set_field:[^,]*->(\w+)")
_REGISTER = re.compile(r"(?:pkt_|xx)?reg\d+")


def constructs(flow: Flow) -> set[str]:
    """Return the fields that a flow matches or writes, and its actions, as in ``NEEDS``."""
    plain = _ARGUMENTS.sub(_name, flow.actions)
    found = {word.partition("=")[0] for word in flow.key.match}
    found |= {*_ACTION.findall(plain), *_WRITTEN.findall(plain)}
    return {"register" if _REGISTER.fullmatch(name) else name for name in found}


def _name(action: re.Match[str]) -> str:
    """Return what an action is called in ``NEEDS``."""
    kind = action["kind"]
    return action["name"] or (f"{action['header']}({kind})" if kind else action["header"])


def parse_features(text: str) -> dict[str, int]:
    """Parse the output of ``ovs-appctl dpif/show-dp-features``.

    :returns: title of a line -> its number; 1 for "Yes", 0 for "No".
    """
    found = {}
    for line in text.splitlines():
        title, _, value = (part.strip() for part in line.partition(":"))
        value = {"Yes": "1", "No": "0"}.get(value, value)
        if value.isdigit():
            found[title] = int(value)
    return found


def lacking(found: Mapping[str, int]) -> frozenset[Feature]:
    """Return the features that a datapath lacks.

    A line that is missing proves nothing: Open vSwitch may call it something else.

    :param found: as ``parse_features`` returns it.
    """
    return frozenset(feature for feature in FEATURES if _is_lacking(feature, found))


def _is_lacking(feature: Feature, found: Mapping[str, int]) -> bool:
    known = [found[title] >= least for title, least in feature.shown_by if title in found]
    return bool(known) and not any(known)


def shortfall(entries: Iterable[SwitchEntry], lacks: Collection[Feature]) -> str:
    """Return what happens to the packets of a chain, because the datapath lacks what it needs.

    :param entries: all that the chain wants in the switch.
    :param lacks: what the datapath of the host lacks.
    :returns: empty if nothing is lacking.
    """
    if not lacks:
        return ""
    used = {name for entry in entries if isinstance(entry, Flow) for name in constructs(entry)}
    return describe({need for name in used for need in NEEDS.get(name, ()) if need in lacks})


# Series of Open vSwitch -> its first release in which ovs-vswitchd modifies the right entry of its
# own datapath when flows change. Earlier series never got the correction, later ones always had it.
_CORRECTED_IN = {(2, 17): 8, (3, 0): 5, (3, 1): 3}


def keeps_old_entries(version: str) -> bool:
    """Tell whether the userspace datapath of a release can keep entries of flows that are gone.

    If two entries overlap, these releases modify the wrong one of them. Packets that only the other
    one matches then go where flows of before sent them, until none has come for ten seconds
    (docs/datapaths.md).

    :param version: has the number of the release, such as ``3.1.0``.
    """
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        return False
    major, minor, patch = map(int, found.groups())
    if (major, minor) in _CORRECTED_IN:
        return patch < _CORRECTED_IN[major, minor]
    return (major, minor) < min(_CORRECTED_IN)


def describe(lacks: Iterable[Feature]) -> str:
    """Return what a datapath lacks and what happens because of it; empty if it lacks nothing."""
    texts = [f"{feature.name} ({feature.effect})" for feature in sorted(lacks)]
    return f"the datapath lacks {'; '.join(texts)}" if texts else ""
