"""Builds the packet that a live trace sends. Pure."""

import secrets
from ipaddress import ip_address

from os_ken.lib.packet import ether_types, ethernet, icmp, icmpv6, ipv4, ipv6, tcp, udp
from os_ken.lib.packet.packet import Packet as Serializer
from os_ken.lib.packet.packet_base import PacketBase

from portchain.core.protocols import ICMP, ICMPV6, TCP, UDP
from portchain.dataplane.tracing.packet import Packet

_PREFIX = b"portchain live trace "
"""For people who find the packet in a capture. It also makes the frame so long that nothing fills
it up: the token has to be at the end."""
_HOPS = 64
_WINDOW = 1024
_RANDOM_BITS = 16


def build(packet: Packet, token: bytes) -> bytes:
    """Return a packet as an Ethernet frame that ends with a token.

    :param packet: one that ``why_not_sendable`` has nothing against.
    """
    ends = {"src": packet.source, "dst": packet.destination}
    if ip_address(packet.source).version == 4:
        number = secrets.randbits(_RANDOM_BITS)
        header: PacketBase = ipv4.ipv4(
            proto=packet.protocol, ttl=_HOPS, identification=number, **ends
        )
        kind = ether_types.ETH_TYPE_IP
    else:
        header = ipv6.ipv6(nxt=packet.protocol, hop_limit=_HOPS, **ends)
        kind = ether_types.ETH_TYPE_IPV6
    made = Serializer()
    for layer in (ethernet.ethernet(packet.eth_dst, packet.eth_src, kind), header):
        made.add_protocol(layer)
    for part in _content(packet, _PREFIX + token):
        made.add_protocol(part)
    made.serialize()
    return bytes(made.data)


def _content(packet: Packet, data: bytes) -> tuple[PacketBase | bytes, ...]:
    ports = {"src_port": packet.source_port, "dst_port": packet.destination_port}
    number = secrets.randbits(_RANDOM_BITS)
    if packet.protocol == ICMP:
        return (icmp.icmp(data=icmp.echo(id_=number, seq=1, data=data)),)
    if packet.protocol == ICMPV6:
        echo = icmpv6.echo(id_=number, seq=1, data=data)
        return (icmpv6.icmpv6(type_=icmpv6.ICMPV6_ECHO_REQUEST, data=echo),)
    if packet.protocol == UDP:
        return (udp.udp(**ports), data)
    if packet.protocol == TCP:
        syn = tcp.tcp(bits=tcp.TCP_SYN, seq=secrets.randbits(32), window_size=_WINDOW, **ports)
        return (syn, data)
    return (data,)
