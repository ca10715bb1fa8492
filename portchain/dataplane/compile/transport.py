"""Between hosts: the whole Ethernet frame in MPLS, through the tunnels Neutron has (docs/decisions/0001, 0002)."""

from collections.abc import Iterator

from portchain.dataplane.compile.here import PathHere
from portchain.dataplane.flow import Flow
from portchain.dataplane.local import LocalSwitch
from portchain.dataplane.pipeline import FIRST_SERVICE_INDEX, Priority
from portchain.dataplane.plan import Source, Target
from portchain.dataplane.write import CHAIN_MAC, CHAIN_TUNNEL_ID, NO_VLAN, frame_match, rule

# The traffic class of a chain frame says what for it comes: the next function, or back to its origin after the last.
ONWARD, BACK = 0, 1


def carry(
    here: PathHere,
    table: str,
    match: tuple[str, ...],
    to: Source | Target,
    *,
    mac: str,
    index: int,
    mark: int,
) -> Iterator[Flow]:
    """Send packets that ``match`` in ``table`` to another host, for the port with address ``mac``."""
    switch = here.switch
    tunnel = switch.tunnels.get(to.tunnel_ip)
    if tunnel is None or None in (switch.patch_to_tun, switch.patch_to_int):
        where = f"{to.host} ({to.tunnel_ip or 'which has no tunnel address'})"
        here.missing.add(f"no tunnel from host {switch.host} to {where}")
        return
    yield rule(
        table,
        Priority.STEP,
        match,
        "encap(mpls)",
        f"set_field:{here.label}->mpls_label",
        f"set_field:{mark}->mpls_tc",
        f"set_field:{FIRST_SERVICE_INDEX - index}->mpls_ttl",
        "encap(ethernet)",
        f"set_field:{mac}->eth_dst",
        f"set_field:{CHAIN_MAC}->eth_src",
        f"output:{switch.patch_to_tun}",
    )
    frames = (f"in_port={switch.patch_to_int}", *frame_match(here.label, mac))
    by = (f"set_field:{CHAIN_TUNNEL_ID}->tun_id", f"output:{tunnel}")
    yield rule("TUNNEL_SWITCHING", Priority.ARRIVE, frames, *by)


def arrive(here: PathHere, mac: str, mark: int, *then: str) -> Iterator[Flow]:
    """Take chain frames for the port with address ``mac`` out of their header and go on with ``then``."""
    if here.switch.patch_to_tun is not None:
        match = (
            f"in_port={here.switch.patch_to_tun}",
            *frame_match(here.label, mac),
            f"mpls_tc={mark}",
        )
        taken_off = ("decap()", "decap(packet_type(ns=0,type=0))")
        yield rule("LOCAL_SWITCHING", Priority.ARRIVE, match, *taken_off, *then)


def guards(switch: LocalSwitch) -> Iterator[Flow]:
    """Chain frames go to our rules or nowhere: no switch on the way learns from them or floods them."""
    if switch.patch_to_tun is not None:
        match = (f"in_port={switch.patch_to_tun}", "mpls", NO_VLAN)
        yield rule("LOCAL_SWITCHING", Priority.STRAY, match)
    if switch.patch_to_int is not None:
        match = (f"in_port={switch.patch_to_int}", "mpls", NO_VLAN)
        yield rule("TUNNEL_SWITCHING", Priority.STRAY, match)
        for ofport in switch.tunnels.values():
            match = (f"in_port={ofport}", "mpls", f"tun_id={CHAIN_TUNNEL_ID}")
            yield rule("TUNNEL_SWITCHING", Priority.ARRIVE, match, f"output:{switch.patch_to_int}")
