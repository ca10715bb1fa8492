"""Requests for port chains."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from portchain.core import rules
from portchain.db import lookup, project_lock, relations, snapshots, source_networks, writer
from portchain.requests.graphs import check_graph
from portchain.requests.request import Data, Request, refuse_if_taken, refuse_if_used


def create_port_chain(request: Request, data: Data) -> str:
    """Add a port chain; return its id."""
    session = request.session
    project_lock.acquire(session, data["project_id"])
    _check_chain_id(session, data["chain_id"])
    lookup.require(
        request.context, lookup.PORT_PAIR_GROUP, data["port_pair_groups"], "port_pair_groups"
    )
    _check_new_classifiers(request, data["flow_classifiers"])
    row = writer.add_port_chain(session, data)
    _check_chain(request, row.id)
    request.due.created.append(row.id)
    return row.id


def update_port_chain(request: Request, an_id: str, data: Data) -> None:
    """Change a port chain; its neighbours in a graph follow."""
    session = request.session
    project_lock.acquire_for(session, lookup.PORT_CHAIN, an_id)
    row = lookup.find_one(request.context, lookup.PORT_CHAIN, an_id)
    writer.set_names(session, row, data)
    groups = [link.group_id for link in row.groups]
    classifiers = [link.classifier_id for link in row.classifiers]
    new_groups = data.get("port_pair_groups", groups)
    new_classifiers = data.get("flow_classifiers", classifiers)
    if new_groups == groups and new_classifiers == classifiers:
        return
    added = [one for one in new_groups if one not in groups]
    lookup.require(request.context, lookup.PORT_PAIR_GROUP, added, "port_pair_groups")
    _check_new_classifiers(request, [one for one in new_classifiers if one not in classifiers])
    if new_groups != groups:
        writer.set_groups(session, row, new_groups)
    if new_classifiers != classifiers:
        writer.set_classifiers(session, row, new_classifiers)
    neighbours = _check_chain(request, an_id)
    writer.bump(session, [an_id, *neighbours])
    # Together: between two messages, what leaves one chain would go around those that follow it.
    if neighbours:
        request.due.refreshed.extend([an_id, *neighbours])
    else:
        request.due.updated.append(an_id)


def delete_port_chain(request: Request, an_id: str) -> None:
    """Delete a port chain that is in no graph."""
    row = lookup.find_one(request.context, lookup.PORT_CHAIN, an_id)
    graph = relations.graphs_of_chains(request.session, [an_id]).get(an_id)
    refuse_if_used(request, "Port chain", an_id, lookup.SERVICE_GRAPH, [graph] if graph else [])
    request.due.deleted.extend(snapshots.load(request.context, [an_id]))
    writer.remove(request.session, row)


def _check_chain_id(session: Any, chain_id: int) -> None:
    if chain_id and relations.chain_id_is_taken(session, chain_id):
        raise rules.Violation("chain_id", f"{chain_id} is taken; 0 lets the server choose one")


def _check_new_classifiers(request: Request, ids: Sequence[str]) -> None:
    """Check that classifiers exist and are free to be put into a chain."""
    lookup.require(request.context, lookup.FLOW_CLASSIFIER, ids, "flow_classifiers")
    taken = relations.chains_of_classifiers(request.session, ids)
    refuse_if_taken(request, "flow classifier", lookup.PORT_CHAIN, taken, "flow_classifiers")


def _check_chain(request: Request, an_id: str) -> list[str]:
    """Check a chain as it stands in the transaction, with the graph it is in.

    :returns: the chains next to it in the graph.
    """
    linked = snapshots.load(
        request.context, relations.with_chains_of_same_graphs(request.session, [an_id])
    )
    own = next(snapshot for snapshot in linked if snapshot.chain.id == an_id)
    source_networks.record(request.session, [own])
    chain = own.chain
    rules.check_port_chain(chain)
    # In a chain, a classifier stands for ports of the chain's owner, whoever owns the classifier.
    # The check when it was created also cannot see one that another server is creating at the same
    # time.
    effective = [replace(fc, project_id=chain.project_id) for fc in chain.flow_classifiers]
    others = relations.classifiers_that_may_overlap(request.session, effective, chained=True)
    for classifier in effective:
        rules.check_overlap(classifier, others, "flow_classifiers")
    borrowers = relations.foreign_chains_sharing_groups(request.session, chain)
    if borrowers:
        rules.check_told_apart(chain, snapshots.load_chains(request.session, borrowers))
    check_graph(request, linked, "flow_classifiers")
    return [
        snapshot.chain.id
        for snapshot in linked
        if an_id in {one.id for one in (*snapshot.predecessors, *snapshot.successors)}
    ]
