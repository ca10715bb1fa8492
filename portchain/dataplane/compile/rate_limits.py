"""Packet rate limits of Neutron's QoS for packets that functions receive and return.

Neutron's agent limits packets with OpenFlow meters, in two tables at the beginning of br-int's
pipeline. It recognises a port's packets by MAC address: what the port sends by ``in_port`` and the
source, what it receives by VLAN and the destination. Packets of chains pass neither table and often
have other addresses. So they visit the tables with the port's address and VLAN, and get their own
back (docs/decisions/0054).
"""

from collections.abc import Iterator

from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import build_flow, push_vlan, resubmit, set_field
from portchain.dataplane.host_switch import LocalPort, LocalSwitch
from portchain.dataplane.pipeline import REG_METERING, Priority

_METER = (set_field(1, REG_METERING), resubmit("RATE_LIMIT"), set_field(0, REG_METERING))


def sent_actions(switch: LocalSwitch, mac: str) -> tuple[str, ...]:
    """Return the actions that meter a packet as one that a port sends; none without limits.

    :param mac: the port's MAC address. A function that returns frames with other source addresses
        does not escape its limit.
    """
    if not switch.has_rate_limits:
        return ()
    source = "NXM_OF_ETH_SRC[]"
    return (f"push:{source}", f"set_field:{mac}->eth_src", *_METER, f"pop:{source}")


def received_actions(switch: LocalSwitch, port: LocalPort, mac: str) -> tuple[str, ...]:
    """Return the actions that meter an untagged packet as one that a port receives.

    :param mac: the port's MAC address.
    """
    if not switch.has_rate_limits:
        return ()
    destination = "NXM_OF_ETH_DST[]"
    addressed = (f"push:{destination}", f"set_field:{mac}->eth_dst", *push_vlan(port.vlan))
    return (*addressed, *_METER, "pop_vlan", f"pop:{destination}")


def end_of_metering_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flow that ends a packet's visit to the tables with meters."""
    if switch.has_rate_limits:
        yield build_flow("TRANSIENT", Priority.METERED, (f"{REG_METERING}=0x1",))
