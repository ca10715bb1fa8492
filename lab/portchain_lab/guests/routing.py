"""Routes and policy rules inside a virtual machine, as ip(8) commands. Pure."""

import ipaddress
from collections.abc import Sequence

from portchain_lab.guests import kinds
from portchain_lab.guests.vif import Nic

KERNEL_RULES = tuple(
    f"{family}rule add lookup {table} prio {priority}"
    for family in ("", "-6 ")
    for table, priority in (("main", 32766), ("default", 32767))
)
"""The kernel's own rules that ``ip rule flush`` deletes; only the one for table local survives."""

OWN_TRAFFIC_TABLE = 100
FORWARDED_TRAFFIC_TABLE = 200
"""Number of the first interface's routing table; each further interface has the next number."""


def default_route(nics: Sequence[Nic]) -> list[str]:
    """The command for the default route, which DHCP would provide.

    The first interface that has a gateway provides it. A VM that is itself the gateway gets none.
    """
    for nic in nics:
        if nic.gateway and nic.gateway not in {
            address.partition("/")[0] for address in nic.addresses
        }:
            family = "-6 " if ":" in nic.gateway else ""
            return [f"{family}route replace default via {nic.gateway} dev {nic.device}"]
    return []


def policy_routing(nics: Sequence[Nic], kind: str) -> list[str]:
    """The commands for policy routing.

    Packets of the VM itself leave by the interface that has their source address. A function of
    kind ``l3`` sends what it receives on one interface out of the next one; with a single
    interface, back out of the same one.
    """
    lines = []
    for index, nic in enumerate(nics):
        next_nic = nics[(index + 1) % len(nics)]
        if len(nics) > 1:
            lines += _table(nic, nic, OWN_TRAFFIC_TABLE + index, own=True)
        if kind == kinds.L3:
            lines += _table(nic, next_nic, FORWARDED_TRAFFIC_TABLE + index, own=False)
    return lines


def _table(nic: Nic, output: Nic, table: int, own: bool) -> list[str]:
    """One routing table that leads out of ``output``, and the rules that select it.

    :param own: select it for packets from the addresses of ``output``; otherwise for packets that
        ``nic`` received.
    """
    lines = []
    for address in output.addresses:
        interface = ipaddress.ip_interface(address)
        family = "-6 " if interface.version == 6 else ""
        lines.append(f"{family}route replace {interface.network} dev {output.device} table {table}")
        selector = f"from {interface.ip}" if own else f"iif {nic.device}"
        lines.append(f"{family}rule add {selector} lookup {table} prio {table}")
        if output.gateway and ipaddress.ip_address(output.gateway).version == interface.version:
            via = f"default via {output.gateway} dev {output.device}"
            lines.append(f"{family}route replace {via} table {table}")
    return lines
