"""Meters of what the switch gives to the host on behalf of health checks. Pure.

A function can return any number of packets that look like answers to its probes, and each of them
would cost ovs-vswitchd and the agent some work. So each port with such a flow has a meter, which
drops what is too much before ovs-vswitchd sees it. No port shares its meter: a function that sends
too much is the only one whose answers are lost.

Neutron's agent takes the smallest free numbers for the meters of its rate limits; these come down
from the largest.
"""

import re
from collections.abc import Collection, Iterable

from portchain.dataplane.flow import Flow
from portchain.dataplane.host_switch import LocalSwitch

ANSWERS_PER_SECOND = 200
"""More than the probes of twenty pairs at one port, at the shortest ``delay``."""

CONFIGURATION = (
    f"pktps,burst,bands=type=drop,rate={ANSWERS_PER_SECOND},burst_size={ANSWERS_PER_SECOND}"
)
"""Of each meter, as ovs-ofctl(8) reads it."""

_ACTION = re.compile(r"meter:(\d+)")  # the first of a flow's actions: OpenFlow demands that


def meter_of(ofport: int, switch: LocalSwitch) -> int | None:
    """Return the meter for what a port of br-int gives to the host; None if it can have none."""
    number = switch.largest_meter - ofport
    return number if number > 0 else None


def used_by(flows: Iterable[Flow]) -> set[int]:
    """Return the meters of flows."""
    found = (_ACTION.match(flow.actions) for flow in flows)
    return {int(one[1]) for one in found if one is not None}


def surplus(present: Collection[int], switch: LocalSwitch) -> set[int]:
    """Return the meters of ports that are not there any more.

    :param present: the meters that the switch has with our ``CONFIGURATION``.
    """
    ports = switch.ports.values()
    return set(present) - {meter_of(port.ofport, switch) or 0 for port in ports}
