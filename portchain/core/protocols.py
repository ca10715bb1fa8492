"""Protocol numbers that rules, plans and flows share."""

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
"""IP protocol numbers (IANA, Protocol Numbers)."""

NEIGHBOUR_DISCOVERY = range(133, 138)
"""ICMPv6 types of neighbour discovery: router and neighbour solicitation and advertisement, and
redirect (RFC 4861, section 4).
"""
