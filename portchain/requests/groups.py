"""Requests for port pair groups."""

from collections.abc import Sequence
from typing import Any

from portchain.core import model, rules
from portchain.db import (
    convert,
    lookup,
    project_lock,
    relations,
    snapshots,
    source_networks,
    writer,
)
from portchain.requests.request import Data, Request, realise_again, refuse_if_taken, refuse_if_used


def create_port_pair_group(request: Request, data: Data) -> str:
    """Add a port pair group; return its id."""
    _check_new_pairs(request, data["port_pairs"])
    row = writer.add_port_pair_group(request.session, data)
    group = snapshots.load_groups(request.session, [row.id])[row.id]
    rules.check_port_pair_group(group)
    request.check(group)
    return group.id


def update_port_pair_group(request: Request, an_id: str, data: Data) -> None:
    """Change a port pair group; the chains it is in follow."""
    session = request.session
    project_lock.acquire_for(session, lookup.PORT_PAIR_GROUP, an_id)
    row = lookup.find_one(request.context, lookup.PORT_PAIR_GROUP, an_id)
    writer.set_names(session, row, data)
    present: dict[str, Any] = {name: getattr(row, name) for name in convert.HEALTH_COLUMNS}
    present["port_pairs"] = [member.pair_id for member in row.members]
    wanted = {name: data[name] for name in present if name in data and data[name] != present[name]}
    if not wanted:
        return
    before = snapshots.load_groups(session, [an_id])[an_id]
    pairs = wanted.pop("port_pairs", None)
    if pairs is not None:
        _check_new_pairs(request, [pair for pair in pairs if pair not in present["port_pairs"]])
        writer.set_pairs(session, row, pairs)
    writer.set_health(session, row, wanted)
    update_chains_of(request, before, "port_pairs" if pairs is not None else next(iter(wanted)))


def update_chains_of(request: Request, before: model.PortPairGroup, attribute: str) -> None:
    """Check a group that has changed; the chains it is in follow."""
    group = snapshots.load_groups(request.session, [before.id])[before.id]
    rules.check_port_pair_group(group)
    request.check(group)
    chains = relations.chains_of_group(request.session, group.id)
    if chains:
        realise_again(request, _check_chains(request, chains, before, group, attribute))


def _check_chains(
    request: Request,
    chains: Sequence[str],
    before: model.PortPairGroup,
    group: model.PortPairGroup,
    attribute: str,
) -> list[str]:
    """Check the chains a group is in; return them, and those that begin where it ends."""
    affected = []
    linked = snapshots.load(
        request.context, relations.with_chains_of_same_graphs(request.session, chains)
    )
    rules.check_functions_once(linked, attribute)
    own = [snapshot for snapshot in linked if snapshot.chain.id in chains]
    if group.port_ids != before.port_ids:
        source_networks.record(request.session, own)
    rules.check_still_told_apart(before, group, [snapshot.chain for snapshot in own])
    for snapshot in linked:
        if snapshot.chain.id in chains:
            rules.check_correlation(snapshot.chain, group, attribute)
            rules.check_sides(snapshot.chain, attribute)
        elif group.id not in {last.id for one in snapshot.predecessors if (last := one.last_group)}:
            continue
        request.check(snapshot)
        affected.append(snapshot.chain.id)
    return affected


def _check_new_pairs(request: Request, pair_ids: Sequence[str]) -> None:
    """Check that pairs exist and are free to be put into a group."""
    lookup.require(request.context, lookup.PORT_PAIR, pair_ids, "port_pairs")
    taken = relations.groups_of_pairs(request.session, pair_ids)
    refuse_if_taken(request, "port pair", lookup.PORT_PAIR_GROUP, taken, "port_pairs")


def delete_port_pair_group(request: Request, an_id: str) -> None:
    """Delete a port pair group that is in no chain."""
    row = lookup.find_one(request.context, lookup.PORT_PAIR_GROUP, an_id)
    chains = relations.chains_of_group(request.session, an_id)
    refuse_if_used(request, "Port pair group", an_id, lookup.PORT_CHAIN, chains)
    writer.remove(request.session, row)
