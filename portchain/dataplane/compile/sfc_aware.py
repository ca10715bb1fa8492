"""SFC-aware functions: they receive and return packets with a header (docs/functions.md).

The header holds the path and the number of functions left. Such a function's packets are therefore
recognised by port and header alone, and the function may change everything behind the header.
"""

from collections.abc import Iterator

from portchain.core import function_kinds
from portchain.core.counters import CounterKind
from portchain.dataplane.compile.context import PathOnHost, UnsupportedPlanError
from portchain.dataplane.flow import Flow
from portchain.dataplane.flow_builder import (
    CHAIN_MAC,
    IP_WORDS,
    NO_VLAN,
    UNICAST,
    build_flow,
    push_label,
)
from portchain.dataplane.host_switch import LocalPort
from portchain.dataplane.pipeline import (
    FIRST_NSH_TTL,
    FIRST_SERVICE_INDEX,
    Priority,
    function_label,
)
from portchain.dataplane.plan import Target

_TWO_TAGS = ("dl_type=0x8100", "dl_type=0x88a8")  # of which the switch has read the first
_GROUP_FRAME = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"  # to a broadcast or multicast address
_NSH = "dl_type=0x894f"
_NSH_WITH_FRAME = ("nsh_mdtype=1", "nsh_np=3")  # MD type 1, next protocol Ethernet (RFC 8300)


def delivery_variants(
    context: PathOnHost, index: int, target: Target
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield how a function gets its packets: words to match, and actions before the output.

    :raises UnsupportedPlanError: this agent does not support the kind of function.
    """
    match target.function:
        case function_kinds.L3:
            yield (), (f"set_field:{target.ingress_mac}->eth_dst",)
        case function_kinds.L2:
            yield (), ()
        case function_kinds.MPLS_AWARE:
            for ethertype in context.ethertypes:
                actions = _push_label(context, ethertype, index, target)
                yield IP_WORDS[ethertype][:1], tuple(actions)
        case function_kinds.NSH_AWARE:
            yield (), tuple(_push_nsh(context, index, target))
        case unknown:
            raise UnsupportedPlanError(
                f"this agent has no support for functions of kind {unknown.function_kind} with "
                f"correlation {unknown.correlation}"
            )


def _push_label(context: PathOnHost, ethertype: str, index: int, target: Target) -> Iterator[str]:
    # The old destination becomes the source, so that a function which returns the frame to its
    # sender needs no address resolution.
    yield "move:NXM_OF_ETH_DST[]->NXM_OF_ETH_SRC[]"
    yield f"set_field:{target.ingress_mac}->eth_dst"
    label = function_label(context.label, ethertype)
    yield from push_label(label, 0, FIRST_SERVICE_INDEX - index)


def _push_nsh(context: PathOnHost, index: int, target: Target) -> Iterator[str]:
    if (ttl := FIRST_NSH_TTL - index) < 1:
        raise UnsupportedPlanError(f"the NSH TTL of hop {index} would be 0")
    yield "encap(nsh(md_type=1))"
    yield f"set_field:{context.label:#x}->nsh_spi"
    yield f"set_field:{FIRST_SERVICE_INDEX - index}->nsh_si"
    yield f"set_field:{ttl}->nsh_ttl"
    yield "encap(ethernet)"
    yield f"set_field:{target.ingress_mac}->eth_dst"
    yield f"set_field:{CHAIN_MAC}->eth_src"


def return_flows(
    context: PathOnHost,
    index: int,
    target: Target,
    egress: LocalPort,
    *,
    metered: tuple[str, ...],
    onward: tuple[str, ...],
) -> Iterator[Flow]:
    """Yield the flows that remove the header from packets that a function returns.

    The header must be this path's, with the service index of the next hop. Packets with any other
    header are dropped.

    :param metered: actions before the header is removed; after it, Open vSwitch lets no flow touch
        the source address.
    :param onward: the actions after the header is removed.
    """
    from_function = f"in_port={egress.ofport}"
    counter = context.counter(CounterKind.OUT, target.pair_id)
    service_index = FIRST_SERVICE_INDEX - index - 1
    if target.function == function_kinds.NSH_AWARE:
        match = (from_function, _NSH, NO_VLAN, *_NSH_WITH_FRAME, f"nsh_spi={context.label:#x}")
        returned = (*match, f"nsh_si={service_index}")
        yield build_flow(
            "LOCAL_SWITCHING",
            Priority.RETURN,
            returned,
            *(*metered, "decap()", "decap()", *onward),
            counter=counter,
        )
        expired = (from_function, _NSH, "nsh_ttl=0")
        yield build_flow("LOCAL_SWITCHING", Priority.EXPIRED, expired)
        yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, (from_function, _NSH))
        return
    match = (from_function, "mpls", NO_VLAN, UNICAST, "mpls_bos=1", f"mpls_ttl={service_index}")
    # Switches must learn the function's own address, whatever source it has written.
    readdress = f"set_field:{target.egress_mac}->eth_src"
    for ethertype in context.ethertypes:
        returned = (*match, f"mpls_label={function_label(context.label, ethertype)}")
        pop = f"pop_mpls:{IP_WORDS[ethertype][1]}"
        actions = (*metered, pop, readdress, *onward)
        yield build_flow("LOCAL_SWITCHING", Priority.RETURN, returned, *actions, counter=counter)
    yield build_flow("LOCAL_SWITCHING", Priority.STRAY_FRAME, (from_function, "mpls"))


def forgery_flows(context: PathOnHost, index: int, target: Target) -> Iterator[Flow]:
    """Yield the flows that keep frames with a header from a function, unless the chain sends them.

    Machines on the network of its ingress port could write the header of any chain, with packets
    that seem to be of the chain's sources. Not every firewall of Neutron's drops such frames.
    """
    if not target.function.encapsulation:
        return
    if target.function == function_kinds.NSH_AWARE:
        headers = [((_NSH,), (_NSH, f"nsh_spi={context.label:#x}"))]
    else:
        headers = [
            (("mpls",), ("mpls", f"mpls_label={function_label(context.label, ethertype)}"))
            for ethertype in sorted(context.ethertypes)
        ]
    to_function = f"dl_dst={target.ingress_mac}"
    for any_path, this_path in headers:
        for match in ((*any_path, to_function), (*this_path, _GROUP_FRAME)):
            yield build_flow("LOCAL_SWITCHING", Priority.FORGED, match)
    for tags in _TWO_TAGS:
        yield build_flow("LOCAL_SWITCHING", Priority.FORGED, (tags, to_function))
