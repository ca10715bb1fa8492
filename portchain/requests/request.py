"""What every request shares: its context, and the checks that several resources need.

A request runs inside one transaction: it locks the project if its rules read other rows, loads
what the rules need, applies them, writes, and asks the drivers. The functions of this package have
the names of the plugin's methods. Each runs a constant number of queries.
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
"""The attributes of one resource in a request, after Neutron has validated and completed them."""

_MOST_NAMED = 5  # a message names at most this many users of a resource


@dataclass(frozen=True, slots=True)
class Request:
    """One request inside its transaction.

    :param context: Neutron's context of the caller.
    :param check: asks the drivers; raises if none of them supports what is about to be written.
    :param check_accepted: the same for a chain of which only weights change.
    :param notifications: what the drivers are notified of after the commit.
    """

    context: Any
    check: Callable[[Subject], None]
    check_accepted: Callable[[model.ChainSnapshot], None]
    notifications: PendingNotifications = field(default_factory=PendingNotifications)

    @property
    def session(self) -> Any:
        """The database session of the transaction."""
        return self.context.session

    def may_steer(self, port: model.Port) -> bool:
        """Tell whether the caller may steer a port's traffic: its owner and administrators may."""
        return self.context.is_admin or port.project_id == self.context.project_id


def update_name_and_description(
    request: Request, resource: lookup.Resource, resource_id: str, data: Data
) -> None:
    """Change a resource that has no other attributes to be changed.

    :raises NotFound: it does not exist, or the caller cannot see it.
    """
    row = lookup.find_one(request.context, resource, resource_id)
    writer.set_name_and_description(request.session, row, data)


def load_usable_ports(
    request: Request, port_ids: Iterable[tuple[str, str | None]]
) -> dict[str, model.Port]:
    """Load the Neutron ports that a request names and check that the caller may use them.

    :param port_ids: pairs of an attribute and the id of the port that it names, None if the
        attribute is not set.
    :returns: the ports by id. A subport of a trunk has the device of its parent port.
    :raises PortNotFound: a port does not exist, or the caller cannot see it.
    :raises Violation: the caller sees the port but another project owns it. An owner of a network
        sees all ports on it, for example.
    """
    named = [(attribute, port_id) for attribute, port_id in port_ids if port_id is not None]
    if not named:
        return {}
    ids = sorted({port_id for _, port_id in named})
    fields = ["id", "network_id", "project_id", "mac_address", "device_id", "name"]
    found = directory.get_plugin().get_ports(request.context, filters={"id": ids}, fields=fields)
    ports = {port["id"]: model.Port(**{name: port[name] for name in fields}) for port in found}
    for attribute, port_id in named:
        if port_id not in ports:
            raise errors.PortNotFound(port_id=port_id, attribute=attribute)
        if not request.may_steer(ports[port_id]):
            raise rules.Violation(
                attribute, f"port {port_id} belongs to another project; name a port of your own"
            )
    # Neutron leaves the device of a trunk's subports empty.
    without_device = [port_id for port_id in ids if not ports[port_id].device_id]
    devices = devices_of_subports(request.session, without_device) if without_device else {}
    return ports | {
        port_id: replace(ports[port_id], device_id=device) for port_id, device in devices.items()
    }


def refuse_if_in_use(
    request: Request, kind: str, resource_id: str, by: lookup.Resource, users: Iterable[str]
) -> None:
    """Refuse to delete a resource that others still use.

    :param kind: what the resource is, as a message begins with it.
    :param by: the kind of the users.
    :param users: their ids.
    :raises ResourceInUse: there are users.
    """
    if users:
        user = describe_for_caller(request, by, users)
        raise errors.ResourceInUse(resource=kind, id=resource_id, user=user)


def refuse_if_member_elsewhere(
    request: Request, kind: str, owner: lookup.Resource, owners: Mapping[str, str], attribute: str
) -> None:
    """Refuse members that already belong to an owner, where only one owner is allowed.

    :param kind: what the members are, as a message names them.
    :param owner: the kind of the owners.
    :param owners: member id -> id of the owner it has already.
    :param attribute: the attribute of the request that names the members.
    :raises Violation: one of the members has an owner.
    """
    for member_id, owner_id in owners.items():
        raise rules.Violation(
            attribute,
            f"{kind} {member_id} is already in {describe_for_caller(request, owner, [owner_id])}; "
            "remove it there first",
            rules.Kind.CONFLICT,
        )


def describe_for_caller(request: Request, resource: lookup.Resource, ids: Iterable[str]) -> str:
    """Name resources in a message, without revealing those that the caller may not see."""
    kind, wanted = resource.name.replace("_", " "), set(ids)
    visible = lookup.visible_ids(request.context, resource, wanted)
    named = [f"{kind} {one}" for one in sorted(visible)[:_MOST_NAMED]]
    if len(visible) > _MOST_NAMED:
        named.append(f"{len(visible) - _MOST_NAMED} other {kind}s")
    return ", ".join([*named, *([f"a {kind} of another project"] if wanted - visible else [])])


def refresh_chains(request: Request, chain_ids: Sequence[str]) -> None:
    """Give chains a new revision and have their drivers refresh them after the commit.

    For chains whose own attributes did not change, but something that they share with others did.
    """
    writer.increment_revision(request.session, chain_ids)
    request.notifications.refreshed.extend(chain_ids)
