"""Wiring of br-chain: connects ports with their networks and gates on OVN's br-int.

A bridge of ours stands between a host's ports and br-int (docs/decisions/0062). What enters a chain
is first sent through OVN's egress checks of its port, to the port's gate, and classified again when
it comes out there.
"""

from collections.abc import Iterator

from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import NO_VLAN, build_flow, goto, resubmit, set_field
from portchain.dataplane.gates import gate_mac, gated_ports
from portchain.dataplane.host_switch import FROM_TUNNELS, LocalPort, LocalSwitch
from portchain.dataplane.pipeline import (
    AT_CHECKS,
    POSITION_DONE,
    REG_CHECKS,
    REG_PATH_POSITION,
    REG_SENDER,
    TABLES,
    UNCHECKED,
    Priority,
)
from portchain.dataplane.plan import ChainPlan

_TAGGED = "vlan_tci=0x1000/0x1000"
_DESTINATION = "NXM_OF_ETH_DST[]"
_SENDER = f"NXM_NX_{REG_SENDER.upper()}[]"
_MARK = "NXM_NX_PKT_MARK[]"

_NEXT_HOP_IDLE = 600
"""Seconds for which br-chain remembers a destination address that no packet had."""


def missing_gates(plan: ChainPlan, switch: LocalSwitch) -> Iterator[str]:
    """Yield which gates of a chain OVN has not bound to this host."""
    for port_id in gated_ports(plan) & switch.ports.keys():
        wire = switch.ports[port_id].wire
        if wire is not None and not wire.is_bound:
            yield f"OVN has not bound the gate of port {port_id} to host {switch.host}"


def wiring_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flows that connect the ports of br-chain, whatever chains there are."""
    if not switch.has_br_chain:
        return
    yield from _entrance_flows()
    for tunnel in switch.tunnels.values():
        # Packets of chains are the same from any tunnel.
        seem = f"set_field:{FROM_TUNNELS}->in_port"
        match = (f"in_port={tunnel}", "mpls", NO_VLAN)
        yield build_flow("LOCAL_SWITCHING", Priority.WIRE, match, seem, resubmit("LOCAL_SWITCHING"))
    for port_id, port in switch.ports.items():
        yield from port_flows(port_id, port)


def _entrance_flows() -> Iterator[Flow]:
    """Yield the flows that hold packets at the entrance of chains until OVN has checked them."""
    unchecked, at_checks = (f"{REG_CHECKS}={value:#x}" for value in (UNCHECKED, AT_CHECKS))
    send = (set_field(AT_CHECKS, REG_CHECKS), resubmit("TO_CHECKS"))
    for table in ("HOP", "COPY"):
        yield build_flow(table, Priority.ENTER, (unchecked,), *send)
        # Sent once already, or come out of the gate with a destination that nobody remembers.
        yield build_flow(table, Priority.ENTER, (at_checks,))


def port_flows(port_id: str, port: LocalPort) -> Iterator[Flow]:
    """Yield the flows that connect one port with its network and its gate.

    :param port_id: of the Neutron port.
    """
    if port.wire is None:
        return
    sent, network, gate = f"in_port={port.ofport}", port.wire.network, port.wire.gate
    to_network = f"output:{network}"
    classify = (set_field(UNCHECKED, REG_CHECKS), goto("TRANSIENT"))
    yield build_flow("LOCAL_SWITCHING", Priority.WIRE, (sent,), *classify)
    # OVN drops packets with a tag, or knows them as those of a trunk's subport.
    yield build_flow("LOCAL_SWITCHING", Priority.WIRE_TAGGED, (sent, _TAGGED), to_network)
    unchecked = (sent, f"{REG_CHECKS}={UNCHECKED:#x}")
    yield build_flow("TRANSIENT", Priority.WIRE, unchecked, to_network)
    received = (f"in_port={network}",)
    yield build_flow("LOCAL_SWITCHING", Priority.WIRE, received, f"output:{port.ofport}")
    if gate is not None:
        yield from _gate_flows(port_id, port.ofport, network, gate)


def _gate_flows(port_id: str, ofport: int, network: int, gate: int) -> Iterator[Flow]:
    """Yield the flows that send packets to a port's gate, and take what comes out of it.

    A patch port keeps no register, but the packet's mark. It has as much of the destination address
    as it can hold; a learned flow knows the rest.
    """
    alias, sender = gate_mac(port_id), set_field(ofport, REG_SENDER)
    learn = (
        f"table={TABLES['NEXT_HOPS'].number}",
        f"idle_timeout={_NEXT_HOP_IDLE}",
        f"priority={Priority.POSITION}",
        *(_SENDER, _MARK, f"load:{_DESTINATION}->{_DESTINATION}"),
        f"load:0->NXM_NX_{REG_CHECKS.upper()}[]",
    )
    yield build_flow(
        "TO_CHECKS",
        Priority.POSITION,
        (f"in_port={ofport}",),
        *(sender, f"move:NXM_OF_ETH_DST[0..31]->{_MARK}", f"learn({','.join(learn)})"),
        *(f"set_field:{alias}->eth_dst", f"output:{network}"),
    )
    yield build_flow(
        "LOCAL_SWITCHING",
        Priority.WIRE,
        (f"in_port={gate}", f"dl_dst={alias}"),
        # Whatever has not passed TO_CHECKS finds no learned flow, and enters no chain.
        *(set_field(AT_CHECKS, REG_CHECKS), sender, f"set_field:{ofport}->in_port"),
        *(resubmit("NEXT_HOPS"), "set_field:0->pkt_mark", goto("TRANSIENT")),
    )
    # The port itself or a function has sent these, and they have visited their chain.
    done = (f"in_port={ofport}", f"{REG_CHECKS}=0", f"{REG_PATH_POSITION}={POSITION_DONE:#x}")
    yield build_flow("TRANSIENT", Priority.WIRE, done, f"output:{gate}")
