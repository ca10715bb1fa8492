"""What can go wrong between the driver and OVN."""

from neutron_lib import exceptions as lib

from portchain.ovsdb.ovn import Unreachable

__all__ = ["NoFreeFunctionId", "NoFreeTag", "SwitchNotFound", "Taken", "Unreachable"]


class NoFreeFunctionId(lib.Conflict):
    """409: OVN numbers functions with 8 bits."""

    message = (
        "OVN has numbers for %(most)d network functions and this chain needs %(needed)d more than "
        "are free: delete chains, or balance over fewer pairs of its first and its last group."
    )


class NoFreeTag(lib.Conflict):
    """409: a VLAN tag has 12 bits."""

    message = "A function of this chain is in as many chains as there are VLAN tags: delete some."


class Taken(lib.Conflict):
    """409: a chain that came first has a port for itself."""

    message = (
        "A function of this chain is another chain's: give this chain one of its own, or have both pairs say "
        "that it keeps VLAN tags (service_function_parameters correlation vlan)."
    )


class SwitchNotFound(lib.NeutronException):
    """A network or a port that Neutron knows is not in the Northbound database (yet)."""

    message = "OVN does not know the %(what)s %(name)s yet."

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what=what, name=name)
        self.name = name
