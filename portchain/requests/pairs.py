"""Requests that create, update and delete port pairs."""

from dataclasses import replace

from portchain.core import model, rules
from portchain.db import convert, lookup, project_lock, relations, snapshots, writer
from portchain.requests.groups import check_group_and_refresh_chains
from portchain.requests.request import (
    Data,
    Request,
    describe_for_caller,
    load_usable_ports,
    refuse_if_in_use,
)


def create_port_pair(request: Request, data: Data) -> str:
    """Add a port pair and return its id.

    :raises PortNotFound: a port does not exist, or the caller cannot see it.
    :raises Violation: the pair breaks a rule, another pair has the same ports, a port belongs to
        another project, or no driver supports the pair.
    """
    pair = model.PortPair(
        id=writer.id_of(data),
        project_id=data["project_id"],
        ingress=data["ingress"],
        egress=data["egress"],
        name=data["name"],
        kind=model.FunctionKind(data["function_kind"]),
        admin_state_up=data["admin_state_up"],
        backup=data["backup"],
        **data["service_function_parameters"],
    )
    ports = load_usable_ports(request, [("ingress", pair.ingress), ("egress", pair.egress)])
    rules.check_port_pair(pair, ports[pair.ingress], ports[pair.egress])
    existing = relations.pair_of_ports(request.session, pair.ingress, pair.egress)
    if existing is not None:
        other = describe_for_caller(request, lookup.PORT_PAIR, [existing])
        raise rules.Violation(
            "ingress", f"{other} has the same ingress and egress; use that pair or other ports"
        )
    request.check(pair)
    writer.add_port_pair(request.session, pair, data["description"])
    return pair.id


def update_port_pair(request: Request, pair_id: str, data: Data) -> None:
    """Change a port pair; if its share of packets changes, refresh the chains that use it.

    :raises NotFound: the pair does not exist, or the caller cannot see it.
    :raises Violation: the changed pair, its group or a chain breaks a rule, or no driver supports
        the change.
    """
    session, parameters = request.session, data.get("service_function_parameters", {})
    switches = {name: data[name] for name in ("admin_state_up", "backup") if name in data}
    if parameters or switches:
        project_lock.acquire_for_pair(session, pair_id)
    row = lookup.find_one(request.context, lookup.PORT_PAIR, pair_id)
    before = convert.pair(row)
    after = replace(before, **parameters, **switches)
    rules.check_changed_pair(before, after)
    group_id = None
    if after != before:
        group_id = relations.groups_of_pairs(session, [pair_id]).get(pair_id)
    group_before = snapshots.load_groups(session, [group_id])[group_id] if group_id else None
    row.weight, row.admin_state_up, row.backup = after.weight, after.admin_state_up, after.backup
    writer.set_name_and_description(session, row, data)
    if group_before:
        attribute = "service_function_parameters" if parameters else next(iter(switches))
        check_group_and_refresh_chains(request, group_before, attribute)


def delete_port_pair(request: Request, pair_id: str) -> None:
    """Delete a port pair.

    :raises NotFound: the pair does not exist, or the caller cannot see it.
    :raises ResourceInUse: the pair is in a group.
    """
    row = lookup.find_one(request.context, lookup.PORT_PAIR, pair_id)
    group = relations.groups_of_pairs(request.session, [pair_id]).get(pair_id)
    refuse_if_in_use(
        request, "Port pair", pair_id, lookup.PORT_PAIR_GROUP, [group] if group else []
    )
    writer.remove(request.session, row)
