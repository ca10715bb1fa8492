"""Decides which of several active drivers owns a chain, from its ports' bindings. Pure."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from portchain.core.model import ChainSnapshot, Port
from portchain.core.rules import Kind, Violation, label_for

_ATTRIBUTE = "port_pair_groups"


class PortOwner(Protocol):
    """The part of a driver that decides about ownership."""

    def claims(self, port: Port) -> bool:
        """Return whether the driver programs the switch behind a bound port."""


def owner_of(snapshot: ChainSnapshot, drivers: Mapping[str, PortOwner]) -> str | None:
    """Return the name of the driver that claims every bound port of a chain.

    :param drivers: name -> driver, of all active drivers.
    :returns: while no port is bound, the only driver; None if there are several.
    :raises Violation: no driver claims a port, two drivers claim the same port, or different
        drivers claim different ports.
    """
    first: tuple[str, Port] | None = None
    named = partial(label_for, snapshot.chain.project_id)
    for port in _relevant_ports(snapshot):
        name = _claimant(port, named(port), drivers)
        if first is None:
            first = (name, port)
        elif name != first[0]:
            raise _refusal(
                f"{named(first[1])} belongs to the driver {first[0]}, {named(port)} to the driver "
                f"{name}, and one driver must realise the whole chain; use functions and sources "
                "on hosts of the same kind, or create a chain for each kind"
            )
    if first is not None:
        return first[0]
    return next(iter(drivers)) if len(drivers) == 1 else None


def _relevant_ports(snapshot: ChainSnapshot) -> list[Port]:
    """Return the bound source ports and function ports.

    Destination ports do not count: without a named destination, any port of the network is one.
    """
    sources = {port for ports in snapshot.sources.values() for port in ports}
    wanted = snapshot.chain.function_ports | sources
    return [port for port_id, port in snapshot.ports.items() if port_id in wanted and port.host]


def _claimant(port: Port, named: str, drivers: Mapping[str, PortOwner]) -> str:
    """Return the name of the one driver that claims a port."""
    names = [name for name, driver in drivers.items() if driver.claims(port)]
    if len(names) > 1:
        raise _refusal(
            f"{named} is claimed by the drivers {' and '.join(names)}; the operator must "
            "configure only one of them"
        )
    if not names:
        raise _refusal(
            f"{named} was bound by Neutron's mechanism driver {port.mechanism}, which none of the "
            f"drivers {', '.join(drivers)} supports; use ports on other hosts"
        )
    return names[0]


def _refusal(rule: str) -> Violation:
    return Violation(_ATTRIBUTE, rule, Kind.UNSUPPORTED)
