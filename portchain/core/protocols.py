"""Protocol numbers that rules, plans and flows share."""

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
"""IP protocol numbers (IANA, Protocol Numbers)."""

HOP_BY_HOP = 0

IPV6_EXTENSION_HEADERS = (HOP_BY_HOP, 43, 44, 51, 60)
"""Hop-by-hop options, routing, fragment, authentication and destination options: numbers that IPv6
packets have before their protocol, and that Open vSwitch skips (RFC 8200, section 4).
"""

NEIGHBOUR_DISCOVERY = range(133, 138)
"""ICMPv6 types of neighbour discovery: router and neighbour solicitation and advertisement, and
redirect (RFC 4861, section 4).
"""

ROUTER_ADVERTISEMENT, NEIGHBOUR_ADVERTISEMENT = 134, 136

NEIGHBOUR_DISCOVERY_LENGTHS = {
    133: (8, 24),
    134: (16, 256),
    135: (24, 40),
    136: (24, 40),
    137: (40, 1240),
}
"""Type of neighbour discovery -> least and greatest length of the ICMPv6 message, in bytes.

The least are those of RFC 4861, section 4. The greatest leave room for the options that hosts send:
a link-layer address and a nonce (RFC 7527); for advertisements those of routers; for redirects the
redirected packet. Longer messages are no neighbour discovery, but carry something else.
"""

NEIGHBOUR_DISCOVERY_HOP_LIMIT = 255
"""A router has not forwarded the packet (RFC 4861, section 7.1)."""

DHCP_PORTS = {"IPv4": (68, 67), "IPv6": (546, 547)}
"""Ethertype -> UDP port of DHCP clients and of DHCP servers (RFC 2131, RFC 8415)."""
