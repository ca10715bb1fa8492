"""What stays on the link: neighbour discovery and DHCP never enter a chain.

And what only looks as if it did: frames that a chain does not classify, although their destination
accepts them as if they had been sent in the usual way. They are dropped.
"""

from collections import defaultdict
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from portchain.core.protocols import (
    DHCP_PORTS,
    NEIGHBOUR_DISCOVERY_HOP_LIMIT,
    NEIGHBOUR_DISCOVERY_LENGTHS,
)
from portchain.dataplane.compile.context import PathOnHost
from portchain.dataplane.conjunction import build_flows
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, resubmit, set_field
from portchain.dataplane.match import covers_dhcp, covers_neighbour_discovery, header_matches
from portchain.dataplane.pipeline import (
    POSITION_DONE,
    REG_LENGTH,
    REG_PATH_POSITION,
    Priority,
)
from portchain.dataplane.plan import Classifier, Source

_OUTSIDE = f"{REG_PATH_POSITION}=0"
_STAY = (set_field(POSITION_DONE, REG_PATH_POSITION), resubmit("LOCAL_SWITCHING"))

_GROUP_FRAME = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"  # to a broadcast or multicast address
_MULTICAST = {"IPv4": ("ip", "nw_dst=224.0.0.0/4"), "IPv6": ("ipv6", "ipv6_dst=ff00::/8")}
_LIMITED_BROADCAST = "255.255.255.255"

_PRIORITY_TAG = "dl_vlan=0"
_TAG_TYPES = (0x8100, 0x88A8)

_FRAME_HEADERS = 14 + 40  # bytes of Ethernet and IPv6 headers
# Bits of REG_LENGTH.
_TOO_LONG, _LONG_ENOUGH, _MEASURED = 0, 1, 2


def link_traffic_flows(context: PathOnHost, *, coarse: bool = False) -> Iterator[Flow]:
    """Yield the flows that keep traffic of the link out of the chain, and frames from going around.

    All of them stand in Neutron's first table, ahead of those that classify.

    :param coarse: yield few flows, which drop such frames of the sources whatever else they match.
    """
    yield from _neighbour_discovery_flows(context)
    yield from _dhcp_flows(context)
    in_ports: defaultdict[Classifier, dict[str, None]] = defaultdict(dict)
    for source in context.path.sources:
        port = context.switch.ports.get(source.port_id)
        if source.host == context.switch.host and port is not None:
            classifier = context.path.classifiers[source.classifier]
            if coarse:
                classifier = Classifier(classifier.ethertype)
            in_port = f"in_port={port.ofport}"
            in_ports[classifier][in_port] = None
            yield from _tag_and_group_flows(in_port, source, classifier)
    for classifier, ports in in_ports.items():
        for header in header_matches(classifier):
            match = header | {_GROUP_FRAME, _OUTSIDE}
            yield from build_flows("LOCAL_SWITCHING", Priority.DISGUISED, match, sources=ports)


def _neighbour_discovery_flows(context: PathOnHost) -> Iterator[Flow]:
    """Keep unicast neighbour discovery out of chains that a classifier would lead it into.

    A host ignores a message with another hop limit, and a message that is too short (RFC 4861,
    section 7.1). One that is too long carries something else. The switch measures a message, and
    looks it up again; only if its length is right, it does not enter the chain.
    """
    if not any(covers_neighbour_discovery(one) for one in context.path.classifiers):
        return
    for icmp_type, (least, greatest) in NEIGHBOUR_DISCOVERY_LENGTHS.items():
        message = ("icmp6", f"icmp_type={icmp_type}", "icmp_code=0", _OUTSIDE)
        valid = (*message, f"nw_ttl={NEIGHBOUR_DISCOVERY_HOP_LIMIT}")
        yield build_flow(
            "LOCAL_SWITCHING",
            Priority.LINK_TRAFFIC,
            (*valid, f"{REG_LENGTH}=0"),
            f"check_pkt_larger({_FRAME_HEADERS + greatest})->{_bit(_TOO_LONG)}",
            f"check_pkt_larger({_FRAME_HEADERS + least - 1})->{_bit(_LONG_ENOUGH)}",
            f"load:0x1->{_bit(_MEASURED)}",
            resubmit("LOCAL_SWITCHING"),
        )
        right = 1 << _LONG_ENOUGH | 1 << _MEASURED
        match = (*valid, f"{REG_LENGTH}={right:#x}")
        yield build_flow("LOCAL_SWITCHING", Priority.LINK_TRAFFIC, match, *_STAY)


def _bit(number: int) -> str:
    return f"NXM_NX_{REG_LENGTH.upper()}[{number}]"


def _dhcp_flows(context: PathOnHost) -> Iterator[Flow]:
    """Keep the unicast messages of DHCP out, by which clients renew their leases."""
    for ethertype, (client, server) in DHCP_PORTS.items():
        udp = "udp" if ethertype == "IPv4" else "udp6"
        for ports in ((client, server), (server, client)):
            if any(covers_dhcp(one, ethertype, ports) for one in context.path.classifiers):
                match = (udp, f"tp_src={ports[0]}", f"tp_dst={ports[1]}", _OUTSIDE)
                yield build_flow("LOCAL_SWITCHING", Priority.LINK_TRAFFIC, match, *_STAY)


def _tag_and_group_flows(in_port: str, source: Source, classifier: Classifier) -> Iterator[Flow]:
    """Drop frames that Linux accepts although no flow classifies them, and let real ones stay.

    A host accepts datagrams to its own address in frames to a broadcast or multicast address;
    ``link_traffic_flows`` drops those. It also removes any number of priority tags (VLAN 0), of
    which the switch reads only one.
    """
    for tag_type in _TAG_TYPES:
        match = (in_port, _PRIORITY_TAG, f"dl_type={tag_type:#06x}", _OUTSIDE)
        yield build_flow("LOCAL_SWITCHING", Priority.DISGUISED, match)
    outside = {in_port, _GROUP_FRAME, _OUTSIDE}
    for group in _to_groups(source, classifier):
        yield build_flow("LOCAL_SWITCHING", Priority.TO_GROUP, (*group, *outside), *_STAY)


def _to_groups(source: Source, classifier: Classifier) -> Iterator[tuple[str, ...]]:
    """Match multicast and broadcast packets that the classifier's destinations contain."""
    prefixes = [ip_network(prefix) for prefix in classifier.destination_prefixes]
    if not prefixes or any(prefix.prefixlen == 0 for prefix in prefixes):
        yield _MULTICAST[classifier.ethertype]
    if classifier.ethertype == "IPv6":
        return
    for address in (*source.broadcasts, _LIMITED_BROADCAST):
        if not prefixes or any(ip_address(address) in prefix for prefix in prefixes):
            yield "ip", f"nw_dst={address}"
