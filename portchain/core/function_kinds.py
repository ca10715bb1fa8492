"""One table of the kinds of service functions: what each kind gets, must keep and returns.

A port pair declares its kind with ``function_kind`` and with the ``correlation`` among its
``service_function_parameters``. Rules, planning, flow compilation, MTU warnings and
``docs/functions.md`` read the traits of a kind from ``FUNCTION_KINDS``; a test compares the page
with it. To add a kind, add a row here, and support for it in a driver.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from portchain.core.model import VLAN, Encapsulation, FunctionKind, PortPair


class Addressing(StrEnum):
    """The destination MAC address of the frames that a function gets."""

    INGRESS_MAC = "the ingress port"
    AS_SENT = "as the frame was sent"


@dataclass(frozen=True, slots=True)
class FunctionTraits:
    """Traits of one kind of service function.

    :param name: how documentation and messages name the kind.
    :param function_kind: ``function_kind`` of the pairs. ``correlation``: likewise.
    :param addressed_by: the destination MAC address of the frames that the function gets.
    :param encapsulation: the chain header in front of its packets, in both directions (the SFC
        encapsulation of RFC 7665, section 4.1); empty for an SFC-unaware function.
    :param header_bytes: bytes by which that header makes packets longer at the function's ports.
    :param keeps_source_mac: the function returns each frame with the source MAC address that it
        came with.
    :param keeps_packet: it returns packets with the same IP addresses and transport ports, unless
        its group declares a ``ppg_n_tuple_mapping``.
    :param keeps_vlan_tag: the VLAN tag of a frame identifies its chain, and the function returns
        the frame with the same tag.
    :param allows_single_port: one Neutron port may be both ingress and egress.
    :param chain_traffic_only: no traffic but that of chains may enter or leave its ports, because
        the function would forward it in a loop.
    :param gets: what the function gets. ``returns``: what it must return; both for documentation.
    :param defined: false for a combination of ``function_kind`` and ``correlation`` that
        ``FUNCTION_KINDS`` does not list: no driver supports it.
    """

    name: str
    function_kind: FunctionKind
    correlation: str | None
    addressed_by: Addressing
    keeps_source_mac: bool
    gets: str
    returns: str
    encapsulation: str = ""
    header_bytes: int = 0
    keeps_packet: bool = True
    keeps_vlan_tag: bool = False
    allows_single_port: bool = True
    chain_traffic_only: bool = False
    defined: bool = True

    @property
    def identifies_chain(self) -> bool:
        """Whether the frames that the function returns identify their chain.

        Frames of other functions are assigned to a chain by its flow classifiers.
        """
        return bool(self.encapsulation) or self.keeps_vlan_tag


L3 = FunctionTraits(
    name="routes",
    function_kind=FunctionKind.L3,
    correlation=None,
    addressed_by=Addressing.INGRESS_MAC,
    keeps_source_mac=False,
    gets="the packet",
    returns="the packet, to the next hop of its own routing table",
)
L2 = FunctionTraits(
    name="bridges",
    function_kind=FunctionKind.L2,
    correlation=None,
    addressed_by=Addressing.AS_SENT,
    keeps_source_mac=True,
    allows_single_port=False,
    chain_traffic_only=True,
    gets="the frame",
    returns="the same frame",
)
MPLS_AWARE = FunctionTraits(
    name="understands MPLS",
    function_kind=FunctionKind.L3,
    correlation=Encapsulation.MPLS,
    addressed_by=Addressing.INGRESS_MAC,
    keeps_source_mac=False,
    keeps_packet=False,
    encapsulation=Encapsulation.MPLS,
    header_bytes=4,  # one label stack entry (RFC 3032)
    gets="the packet behind an MPLS label",
    returns="the packet behind the same label, the label's TTL decremented",
)
NSH_AWARE = FunctionTraits(
    name="understands NSH",
    function_kind=FunctionKind.L3,
    correlation=Encapsulation.NSH,
    addressed_by=Addressing.INGRESS_MAC,
    keeps_source_mac=True,  # of the frame behind the header
    keeps_packet=False,
    encapsulation=Encapsulation.NSH,
    header_bytes=38,  # service header of MD type 1 (RFC 8300): 24; inner Ethernet header: 14
    gets="the frame behind a Network Service Header",
    returns="the frame behind the same header, the service index decremented",
)
VLAN_KEEPING = FunctionTraits(
    name="keeps VLAN tags",
    function_kind=FunctionKind.L2,
    correlation=VLAN,
    addressed_by=Addressing.AS_SENT,
    keeps_source_mac=True,
    keeps_vlan_tag=True,
    allows_single_port=False,
    chain_traffic_only=True,
    gets="the frame with a VLAN tag",
    returns="the same frame with the same tag",
)

FUNCTION_KINDS: tuple[FunctionTraits, ...] = (L3, L2, MPLS_AWARE, NSH_AWARE, VLAN_KEEPING)
"""All kinds of service functions."""


@dataclass(frozen=True, slots=True)
class Variation:
    """A way to use a function that changes what its kind gets and returns.

    :param declared_by: how the user asks for it.
    :param gets: what the function gets. ``returns``: what it must return; both for documentation.
    """

    name: str
    declared_by: str
    gets: str
    returns: str


SINGLE_PORT = Variation(
    name="has a single port",
    declared_by="the same port as ingress and egress",
    gets="as its kind; requests and replies at the same port",
    returns="as its kind, from the same port",
)
TAP = Variation(
    name="observes",
    declared_by="`tap_enabled: true` on the group",
    gets="a copy of each packet, in the form of its kind",
    returns="nothing",
)

VARIATIONS: tuple[Variation, ...] = (SINGLE_PORT, TAP)
"""What can be combined with the kinds of ``FUNCTION_KINDS``."""

_BY_DECLARATION = {(kind.function_kind, kind.correlation): kind for kind in FUNCTION_KINDS}


def find(function_kind: FunctionKind, correlation: str | None) -> FunctionTraits:
    """Return the traits of functions with these two attributes.

    A combination that ``FUNCTION_KINDS`` does not list gets the traits of its two parts and is not
    ``defined``: a driver, or an agent older than its server, must be able to refuse it by name.
    """
    if (kind := _BY_DECLARATION.get((function_kind, correlation))) is not None:
        return kind
    return replace(
        _BY_DECLARATION[function_kind, None],
        name=f"{function_kind} with {correlation}",
        correlation=correlation,
        encapsulation="" if correlation == VLAN else correlation or "",
        keeps_vlan_tag=correlation == VLAN,
        defined=False,
    )


def traits_of(pair: PortPair) -> FunctionTraits:
    """Return the traits of the function behind a port pair."""
    return find(pair.kind, pair.correlation)


def identify_chains(pairs: Iterable[PortPair]) -> bool:
    """Return whether there are pairs, and what each of them returns identifies its chain."""
    traits = [traits_of(pair) for pair in pairs]
    return bool(traits) and all(trait.identifies_chain for trait in traits)
