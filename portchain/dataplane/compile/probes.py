"""Health checks: flows that take the answers to probes from functions, and give them to the host.

Such a packet enters no chain and reaches nobody else: its flow is above those for what functions
return. It matches the addresses of the probes alone, so that a function cannot have the host look
at its traffic.

A function that routes may ask for the MAC address of a probe's destination. The host hears that,
too, as does everybody whom the function asks.
"""

from collections.abc import Iterable, Iterator

from portchain.core.function_kinds import L3, MPLS_AWARE, NSH_AWARE, FunctionTraits
from portchain.core.model import HealthCheck
from portchain.dataplane.answer_meters import meter_of
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import (
    CHAIN_TUNNEL_ID,
    NO_VLAN,
    build_flow,
    resubmit,
    set_field,
)
from portchain.dataplane.host_switch import LocalSwitch
from portchain.dataplane.pipeline import REG_OWN, Priority, function_label
from portchain.dataplane.plan import Probe
from portchain.dataplane.probing import (
    CONTINUITY_CHECK,
    CONTROLLER_ID,
    PEER_ANSWER_TTL,
    PEER_LABEL,
    PEER_PROBE_TTL,
    PROBE_LABEL,
    probe_mac,
)

_MAX_BYTES = 128
"""So much of an answer the switch sends to the host: more than any probe has."""

_CONTROLLER = f"controller(max_len={_MAX_BYTES},id={CONTROLLER_ID})"
_NSH = ("dl_type=0x894f", NO_VLAN, "nsh_mdtype=1", "nsh_np=3", f"nsh_spi={PROBE_LABEL:#x}")


def probe_flows(probes: Iterable[Probe], switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flows for the answers of each function on this host whose ports are plugged in."""
    for probe in probes:
        returns_at = probe.ingress_port if probe.check is HealthCheck.PING else probe.egress_port
        port = switch.ports.get(returns_at)
        if probe.host == switch.host and port is not None:
            match = (f"in_port={port.ofport}", *_answer(probe))
            to_host = _to_host(port.ofport, switch)
            yield build_flow("LOCAL_SWITCHING", Priority.PROBE, match, *to_host)
            if probe.check is HealthCheck.ICMP and probe.function == L3:
                # Not again when it comes back to this table, on its usual way.
                asks = (f"in_port={port.ofport}", f"{REG_OWN}=0", *_question(probe.destination))
                onward = (set_field(1, REG_OWN), resubmit("LOCAL_SWITCHING"))
                yield build_flow("LOCAL_SWITCHING", Priority.PROBE, asks, *to_host, *onward)


def peer_flows(switch: LocalSwitch) -> Iterator[Flow]:
    """Yield the flows that return probes of other hosts, and take the answers to those of this one.

    Packets of chains come through the same tunnels, and need the same switch. A host returns probes
    while its agent is stopped, too: it forwards the packets of chains then.
    """
    frame = ("mpls", NO_VLAN, f"mpls_label={PEER_LABEL}", "mpls_bos=1")
    return_it = (f"set_field:{PEER_ANSWER_TTL}->mpls_ttl", "IN_PORT")
    for ttl, actions in ((PEER_PROBE_TTL, return_it), (PEER_ANSWER_TTL, (_CONTROLLER,))):
        match = (*frame, f"mpls_ttl={ttl}")
        if switch.patch_to_int is not None:
            tunnel = f"tun_id={CHAIN_TUNNEL_ID}"
            yield build_flow("TUNNEL_SWITCHING", Priority.PEER_PROBE, (*match, tunnel), *actions)
        if switch.has_br_chain:
            for port in switch.tunnels.values():
                from_tunnel = (f"in_port={port}", *match)
                yield build_flow("LOCAL_SWITCHING", Priority.PEER_PROBE, from_tunnel, *actions)


def _to_host(ofport: int, switch: LocalSwitch) -> tuple[str, ...]:
    """Return the actions that give the host what comes from a port, but not too much of it."""
    meter = meter_of(ofport, switch)
    return (_CONTROLLER,) if meter is None else (f"meter:{meter}", _CONTROLLER)


def _question(destination: str) -> tuple[str, ...]:
    if ":" in destination:
        return ("icmp6", "icmp_type=135", "icmp_code=0", f"nd_target={destination}")
    return ("arp", "arp_op=1", f"arp_tpa={destination}")


def _answer(probe: Probe) -> tuple[str, ...]:
    """Return the words that match the answer to a probe."""
    sent_by = probe_mac(probe.pair_id)
    if probe.check is HealthCheck.PING:
        return (f"dl_dst={sent_by}",)
    if probe.check is HealthCheck.L2:
        return (f"dl_type={CONTINUITY_CHECK:#x}", f"dl_src={sent_by}")
    if probe.function == NSH_AWARE:
        return _NSH
    ethertype = "IPv6" if ":" in probe.destination else "IPv4"
    if probe.function == MPLS_AWARE:
        return (
            "mpls",
            NO_VLAN,
            "mpls_bos=1",
            f"mpls_label={function_label(PROBE_LABEL, ethertype)}",
        )
    return (*_echo_request(ethertype, probe), *_frame(probe.function, sent_by))


def _echo_request(ethertype: str, probe: Probe) -> tuple[str, ...]:
    if ethertype == "IPv6":
        addresses = (f"ipv6_src={probe.source}", f"ipv6_dst={probe.destination}")
        return ("icmp6", "icmp_type=128", "icmp_code=0", *addresses)
    addresses = (f"nw_src={probe.source}", f"nw_dst={probe.destination}")
    return ("icmp", "icmp_type=8", "icmp_code=0", *addresses)


def _frame(function: FunctionTraits, sent_by: str) -> tuple[str, ...]:
    return (f"dl_src={sent_by}",) if function.keeps_source_mac else ()
