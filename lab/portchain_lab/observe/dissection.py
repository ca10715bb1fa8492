"""Reads the IP packets in frames with scapy. ``packets`` imports this for frames that it cannot."""

# Once imported, these let scapy decode packets behind MPLS and NSH headers.
from scapy.contrib import mpls, nsh  # noqa: F401
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_Redirect, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from portchain_lab.observe.packets import TCP_ACK, TCP_SYN, FiveTuple, IpPacket, identity

_CHECKSUM_OFFSETS = {TCP: 16, UDP: 6}


def read(frame: bytes) -> IpPacket | None:
    """See ``packets.read``."""
    packet = Ether(frame)
    network = packet.getlayer(IP) or packet.getlayer(IPv6)
    if network is None or ICMPv6ND_Redirect in network:
        return None
    five_tuple = _five_tuple(network)
    number = 0 if IPv6 in network else int(network.id)
    checksum = next((at for layer, at in _CHECKSUM_OFFSETS.items() if layer in network), None)
    opens = TCP in network and network[TCP].flags & (TCP_SYN | TCP_ACK) == TCP_SYN
    return IpPacket(
        five_tuple,
        identity(five_tuple, number, bytes(network.payload), checksum),
        opens=int(network[TCP].seq) if opens else None,
        ttl=network.ttl if IP in network else network.hlim,
    )


def _five_tuple(network: Packet) -> FiveTuple:
    source, destination = str(network.src), str(network.dst)
    for layer, name in ((TCP, "tcp"), (UDP, "udp")):
        if layer in network:
            ports = network[layer]
            return FiveTuple(name, source, int(ports.sport), destination, int(ports.dport))
    if ICMP in network:
        number = int(network[ICMP].id or 0)
        return FiveTuple("icmp", source, number, destination, number)
    number = int(network.nh if IPv6 in network else network.proto)
    return FiveTuple(f"ip-{number}", source, 0, destination, 0)
