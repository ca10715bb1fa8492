"""Which of several active drivers a chain belongs to: a pure function over the ports' bindings."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from portchain.core.model import ChainSnapshot, Port
from portchain.core.rules import Kind, Violation, label_for

_ATTRIBUTE = "port_pair_groups"


class PortOwner(Protocol):
    """A driver, as far as ownership is concerned."""

    def claims(self, port: Port) -> bool:
        """Tell whether the switch behind a bound port is this driver's."""


def owner_of(snapshot: ChainSnapshot, drivers: Mapping[str, PortOwner]) -> str | None:
    """Return the name of the driver that claims every bound port of a chain.

    :returns: the only driver there is while no port is bound; None if there are several then.
    :raises Violation: a port is claimed by no driver or by two, or the ports by different ones.
    """
    first: tuple[str, Port] | None = None
    named = partial(label_for, snapshot.chain.project_id)
    for port in _concerned(snapshot):
        name = _claimed(port, named(port), drivers)
        if first is None:
            first = (name, port)
        elif name != first[0]:
            raise _refusal(
                f"the driver {first[0]} would have to carry the chain for {named(first[1])} and "
                f"the driver {name} for {named(port)}, and one driver must do the whole; choose "
                "functions and sources on hosts of the same kind, or make a chain for each kind"
            )
    if first is not None:
        return first[0]
    return next(iter(drivers)) if len(drivers) == 1 else None


def _concerned(snapshot: ChainSnapshot) -> list[Port]:
    """The bound ports where packets are classified and handed to functions. Where they go to decides nothing: an open
    destination may be any port of the network.
    """
    functions = {
        port
        for group in snapshot.chain.port_pair_groups
        for pair in group.port_pairs
        for port in (pair.ingress, pair.egress)
    }
    names = functions | {port for ports in snapshot.sources.values() for port in ports}
    return [port for name, port in snapshot.ports.items() if name in names and port.host]


def _claimed(port: Port, named: str, drivers: Mapping[str, PortOwner]) -> str:
    names = [name for name, driver in drivers.items() if driver.claims(port)]
    if len(names) > 1:
        raise _refusal(
            f"{named} is claimed by the drivers {' and '.join(names)}; the operator has "
            "to configure one of them alone"
        )
    if not names:
        raise _refusal(
            f"{named} was bound by Neutron's mechanism driver "
            f"{port.mechanism}, which none of the drivers {', '.join(drivers)} serves; use ports on "
            "other hosts"
        )
    return names[0]


def _refusal(rule: str) -> Violation:
    return Violation(_ATTRIBUTE, rule, Kind.UNSUPPORTED)
