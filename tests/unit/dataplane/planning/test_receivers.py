"""Which packets a named destination port receives, and how they are known."""

from typing import Any

import pytest

from portchain.core.model import AddressPair, Port, PortRole
from portchain.dataplane.plan import Receiver
from portchain.dataplane.planning.receivers import received

MAC, VIRTUAL = "fa:16:3e:00:00:01", "00:00:5e:00:01:01"
FIXED = ("10.0.0.20", "10.1.0.20", "2001:db8::20")
ANY4, ANY6 = AddressPair("0.0.0.0/0", MAC), AddressPair("::/0", MAC)
BOTH = (MAC, VIRTUAL)


def port(*pairs: AddressPair, fixed_ips: tuple[str, ...] = FIXED, **changes: Any) -> Port:
    return Port("p", "net", "alice", MAC, fixed_ips, address_pairs=pairs, **changes)


def vip(prefix: str) -> AddressPair:
    return AddressPair(prefix, VIRTUAL)


OWN4 = ("10.0.0.20/32", "10.1.0.20/32")
OWN6 = ("2001:db8::20/128",)


@pytest.mark.parametrize(
    ("of", "ethertype", "prefix", "prefixes", "receiver"),
    [
        (None, "IPv4", None, ("255.255.255.255/32",), None),
        (None, "IPv6", None, ("::/128",), None),
        (port(fixed_ips=()), "IPv4", None, ("255.255.255.255/32",), None),
        (port(fixed_ips=()), "IPv6", None, ("::/128",), None),
        # Fixed addresses: those of the ethertype, and in the prefix.
        (port(), "IPv4", None, OWN4, None),
        (port(), "IPv6", None, OWN6, None),
        (port(), "IPv4", "10.0.0.0/24", OWN4[:1], None),
        (port(), "IPv4", "10.0.0.20/32", OWN4[:1], None),
        (port(), "IPv6", "2001:db8::/64", OWN6, None),
        # A virtual address: only the MAC address tells whether the port has it.
        (
            port(vip("10.0.0.99/32")), "IPv4", None,
            (*OWN4, "10.0.0.99/32"), Receiver(OWN4, BOTH, ("10.0.0.99/32",)),
        ),
        (port(vip("10.0.0.99/32")), "IPv6", None, OWN6, None),
        (
            port(vip("10.0.0.0/16")), "IPv4", "10.0.0.0/24",
            ("10.0.0.20/32", "10.0.0.0/24"), Receiver(OWN4[:1], BOTH, ("10.0.0.0/24",)),
        ),
        (
            port(vip("10.0.0.20/32")), "IPv4", None,
            OWN4, Receiver(OWN4, BOTH, ("10.0.0.20/32",)),
        ),
        # Ports that receive packets to any address.
        (port(ANY4), "IPv4", None, (), Receiver(OWN4, (MAC,), ())),
        (port(ANY4), "IPv6", None, OWN6, None),
        (port(ANY6), "IPv4", None, OWN4, None),
        (
            port(ANY4), "IPv4", "10.0.0.0/24",
            ("10.0.0.0/24",), Receiver(OWN4[:1], (MAC,), ("10.0.0.0/24",)),
        ),
        (port(port_security=False), "IPv4", None, (), Receiver(OWN4, (MAC,), ())),
        (port(role=PortRole.ROUTER), "IPv6", None, (), Receiver(OWN6, (MAC,), ())),
        # The user says that the port forwards packets to a prefix.
        (port(), "IPv4", "192.0.2.0/24", ("192.0.2.0/24",), Receiver((), (MAC,), ())),
        # The MAC addresses of groups are nobody's.
        (
            port(AddressPair("10.0.0.99/32", "01:00:5e:00:00:01")), "IPv4", None,
            (*OWN4, "10.0.0.99/32"), Receiver(OWN4, (MAC,), ("10.0.0.99/32",)),
        ),
    ],
)  # fmt: skip
def test_what_a_port_receives(
    of: Port | None,
    ethertype: str,
    prefix: str | None,
    prefixes: tuple[str, ...],
    receiver: Receiver | None,
) -> None:
    assert received(of, ethertype, prefix) == (prefixes, receiver)
