"""Functions that understand chains: with the chain's header to the function, and from it (docs/functions.md).

The header says which path and how many functions are still to come, so what such a function hands back is known by port and
header alone: it may change everything behind the header.
"""

from collections.abc import Iterator

from portchain.core import function_kinds
from portchain.dataplane.compile.context import PathOnHost, UnsupportedPlanError
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import CHAIN_MAC, NO_VLAN, UNICAST, build_flow
from portchain.dataplane.host_switch import LocalPort
from portchain.dataplane.pipeline import (
    FIRST_NSH_TTL,
    FIRST_SERVICE_INDEX,
    Priority,
    function_label,
)
from portchain.dataplane.plan import Target

_IP_WORDS = {"IPv4": ("ip", "0x0800"), "IPv6": ("ipv6", "0x86dd")}
_NSH = "dl_type=0x894f"
_NSH_OF_A_FRAME = ("nsh_mdtype=1", "nsh_np=3")  # no metadata of ours; an Ethernet frame inside


def delivery_variants(
    here: PathOnHost, index: int, target: Target
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """How a function is given its packets: what they must match, and what is done to them before they go out to it.

    :raises UnsupportedPlanError: the function has a header or a kind of header that this agent does not know.
    """
    match target.function:
        case function_kinds.L3:
            yield (), (f"set_field:{target.ingress_mac}->eth_dst",)
        case function_kinds.L2:
            yield (), ()
        case function_kinds.MPLS_AWARE:
            for ethertype in _ethertypes(here):
                yield _IP_WORDS[ethertype][:1], tuple(_put_label_on(here, ethertype, index, target))
        case function_kinds.NSH_AWARE:
            yield (), tuple(_put_nsh_on(here, index, target))
        case unknown:
            raise UnsupportedPlanError(
                f"this agent has no support for functions of kind {unknown.function_kind} with "
                f"correlation {unknown.correlation}"
            )


def _put_label_on(here: PathOnHost, ethertype: str, index: int, target: Target) -> Iterator[str]:
    # Where the packet was going comes as the frame's sender: a function that answers it need not resolve anything.
    yield "move:NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[]"
    yield f"set_field:{target.ingress_mac}->eth_dst"
    yield "push_mpls:0x8847"
    yield f"set_field:{function_label(here.label, ethertype)}->mpls_label"
    yield "set_field:0->mpls_tc"
    yield f"set_field:{FIRST_SERVICE_INDEX - index}->mpls_ttl"


def _put_nsh_on(here: PathOnHost, index: int, target: Target) -> Iterator[str]:
    if (ttl := FIRST_NSH_TTL - index) < 1:
        raise UnsupportedPlanError(f"the NSH TTL of hop {index} would be 0")
    yield "encap(nsh(md_type=1))"
    yield f"set_field:{here.label:#x}->nsh_spi"
    yield f"set_field:{FIRST_SERVICE_INDEX - index}->nsh_si"
    yield f"set_field:{ttl}->nsh_ttl"
    yield "encap(ethernet)"
    yield f"set_field:{target.ingress_mac}->eth_dst"
    yield f"set_field:{CHAIN_MAC}->eth_src"


def return_flows(
    here: PathOnHost, index: int, target: Target, egress: LocalPort, onward: tuple[str, ...]
) -> Iterator[Flow]:
    """Take what a function hands back out of its header, if that is this path's and one function further; drop what has any
    other header.
    """
    from_function = f"in_port={egress.ofport}"
    service_index = FIRST_SERVICE_INDEX - index - 1
    if target.function == function_kinds.NSH_AWARE:
        match = (from_function, _NSH, NO_VLAN, *_NSH_OF_A_FRAME, f"nsh_spi={here.label:#x}")
        returned = (*match, f"nsh_si={service_index}")
        yield build_flow(
            "LOCAL_SWITCHING", Priority.RETURN, returned, "decap()", "decap()", *onward
        )
        expired = (from_function, _NSH, "nsh_ttl=0")
        yield build_flow("LOCAL_SWITCHING", Priority.EXPIRED, expired)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, (from_function, _NSH))
        return
    match = (from_function, "mpls", NO_VLAN, UNICAST, "mpls_bos=1", f"mpls_ttl={service_index}")
    # Whatever sender the function writes, switches learn its own.
    readdress = f"set_field:{target.egress_mac}->eth_src"
    for ethertype in _ethertypes(here):
        returned = (*match, f"mpls_label={function_label(here.label, ethertype)}")
        pop = f"pop_mpls:{_IP_WORDS[ethertype][1]}"
        yield build_flow("LOCAL_SWITCHING", Priority.RETURN, returned, pop, readdress, *onward)
    yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, (from_function, "mpls"))


def _ethertypes(here: PathOnHost) -> list[str]:
    return sorted({classifier.ethertype for classifier in here.path.classifiers})
