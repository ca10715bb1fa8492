"""What every request works with inside its transaction.

A request loads what the rules have to see, applies them, asks the drivers, and writes. The functions of
this package are named like the plugin's; each runs a constant number of queries.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from neutron_lib.plugins import directory

from portchain import errors
from portchain.core import model, rules
from portchain.core.capabilities import Subject
from portchain.db import lookup, writer
from portchain.db.ports import devices_of_subports
from portchain.drivers.manager import PendingNotifications

Data = Mapping[str, Any]
"""The attributes of a request, as Neutron has checked and completed them."""

_NAMED = 5  # of many that use something


@dataclass(frozen=True, slots=True)
class Request:
    """What a request works with inside its transaction.

    :param check: asks the drivers; it raises if one cannot do what is about to be written.
    :param due: what the drivers have to be told after the commit.
    """

    context: Any
    check: Callable[[Subject], None]
    due: PendingNotifications = field(default_factory=PendingNotifications)

    @property
    def session(self) -> Any:
        """The database session of the transaction."""
        return self.context.session

    def owns(self, port: model.Port) -> bool:
        """Tell whether the caller may decide what becomes of a port's traffic."""
        return self.context.is_admin or port.project_id == self.context.project_id


def update_names(resource: lookup.Resource) -> Callable[[Request, str, Data], None]:
    """Return the operation that changes name and description, which only people read."""

    def update(request: Request, an_id: str, data: Data) -> None:
        row = lookup.find_one(request.context, resource, an_id)
        writer.set_names(request.session, row, data)

    return update


def usable_ports(request: Request, **wanted: str | None) -> dict[str, model.Port]:
    """Return the ports that attributes name, by id.

    :param wanted: attribute -> port id; None is no port.
    :raises PortNotFound: one of them does not exist or is not visible.
    :raises Violation: it is visible, e.g. to the owner of its network, but somebody else's.
    """
    named = {attribute: port_id for attribute, port_id in wanted.items() if port_id is not None}
    if not named:
        return {}
    ids = sorted(set(named.values()))
    fields = ["id", "network_id", "project_id", "mac_address", "device_id", "name"]
    found = directory.get_plugin().get_ports(request.context, filters={"id": ids}, fields=fields)
    ports = {port["id"]: model.Port(**{name: port[name] for name in fields}) for port in found}
    for attribute, port_id in named.items():
        if port_id not in ports:
            raise errors.PortNotFound(port_id=port_id, attribute=attribute)
        if not request.owns(ports[port_id]):
            raise rules.Violation(attribute, f"port {port_id} belongs to another project")
    # Neutron gives a trunk's subports no device of their own.
    alone = [port_id for port_id in ids if not ports[port_id].device_id]
    devices = devices_of_subports(request.session, alone) if alone else {}
    return ports | {
        an_id: replace(ports[an_id], device_id=device) for an_id, device in devices.items()
    }


def refuse_if_used(
    request: Request, kind: str, an_id: str, by: lookup.Resource, users: Iterable[str]
) -> None:
    """Refuse what would take something away from its users."""
    if users:
        user = describe(request, by, users)
        raise errors.ResourceInUse(resource=kind, id=an_id, user=user)


def refuse_if_taken(
    request: Request, kind: str, by: lookup.Resource, taken: Mapping[str, str], attribute: str
) -> None:
    """Refuse what can belong to one owner only and has one."""
    for an_id, owner in taken.items():
        raise rules.Violation(
            attribute,
            f"{kind} {an_id} is in {describe(request, by, [owner])}; it can be in one only",
            rules.Kind.CONFLICT,
        )


def describe(request: Request, resource: lookup.Resource, ids: Iterable[str]) -> str:
    """Name resources in a message; what the caller may not see has no name there."""
    kind, wanted = resource.name.replace("_", " "), set(ids)
    seen = lookup.visible_ids(request.context, resource, wanted)
    named = [f"{kind} {an_id}" for an_id in sorted(seen)[:_NAMED]]
    if len(seen) > _NAMED:
        named.append(f"{len(seen) - _NAMED} other {kind}s")
    return ", ".join([*named, *([f"a {kind} of another project"] if wanted - seen else [])])


def realise_again(request: Request, chains: Sequence[str]) -> None:
    """Note that chains have changed, or what they share with others."""
    writer.bump(request.session, chains)
    request.due.refreshed.extend(chains)
