"""Requests for port pairs."""

from dataclasses import replace

from portchain.core import model, rules
from portchain.db import convert, lookup, project_lock, relations, snapshots, writer
from portchain.requests.groups import update_chains_of
from portchain.requests.request import Data, Request, describe, refuse_if_used, usable_ports


def create_port_pair(request: Request, data: Data) -> str:
    """Add a port pair; return its id."""
    pair = model.PortPair(
        id=writer.id_of(data),
        project_id=data["project_id"],
        ingress=data["ingress"],
        egress=data["egress"],
        name=data["name"],
        kind=model.FunctionKind(data["function_kind"]),
        **data["service_function_parameters"],
    )
    ports = usable_ports(request, ingress=pair.ingress, egress=pair.egress)
    rules.check_port_pair(pair, ports[pair.ingress], ports[pair.egress])
    existing = relations.pair_of_ports(request.session, pair.ingress, pair.egress)
    if existing is not None:
        who = describe(request, lookup.PORT_PAIR, [existing])
        raise rules.Violation("ingress", f"{who} has the same ingress and egress")
    request.check(pair)
    writer.add_port_pair(request.session, pair, data["description"])
    return pair.id


def update_port_pair(request: Request, an_id: str, data: Data) -> None:
    """Change a port pair; the chains of its group follow its weight."""
    session, parameters = request.session, data.get("service_function_parameters", {})
    if parameters:
        project_lock.acquire_for(session, lookup.PORT_PAIR, an_id)
    row = lookup.find_one(request.context, lookup.PORT_PAIR, an_id)
    before = convert.pair(row)
    after = replace(before, **parameters)
    rules.check_changed_pair(before, after)
    group = relations.groups_of_pairs(session, [an_id]).get(an_id) if after != before else None
    unchanged = snapshots.load_groups(session, [group])[group] if group else None
    row.weight = after.weight
    writer.set_names(session, row, data)
    if unchanged:
        update_chains_of(request, unchanged, "service_function_parameters")


def delete_port_pair(request: Request, an_id: str) -> None:
    """Delete a port pair that is in no group."""
    row = lookup.find_one(request.context, lookup.PORT_PAIR, an_id)
    group = relations.groups_of_pairs(request.session, [an_id]).get(an_id)
    refuse_if_used(request, "Port pair", an_id, lookup.PORT_PAIR_GROUP, [group] if group else [])
    writer.remove(request.session, row)
