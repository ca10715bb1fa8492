"""Requests that create, update and delete service graphs."""

from collections.abc import Sequence

from portchain.core import model, rules
from portchain.db import lookup, project_lock, relations, snapshots, writer
from portchain.requests.isolation import check_isolated
from portchain.requests.request import (
    Data,
    Request,
    refresh_chains,
    refuse_if_member_elsewhere,
    update_name_and_description,
)


def create_service_graph(request: Request, data: Data) -> str:
    """Add a service graph, refresh its chains, and return the graph's id.

    :raises NotFound: a chain does not exist, or the caller cannot see it.
    :raises Violation: the graph breaks a rule, a chain is in another graph, or no driver supports
        one of the chains in this graph.
    """
    graph = model.ServiceGraph(
        id=writer.id_of(data),
        project_id=data["project_id"],
        branches={source: tuple(after) for source, after in data["port_chains"].items()},
        name=data["name"],
    )
    rules.check_service_graph(graph)
    chains = sorted(graph.chain_ids)
    project_lock.acquire_for_new_graph(request.session, data["project_id"], chains)
    lookup.require(request.context, lookup.PORT_CHAIN, chains, "port_chains")
    owners = relations.graphs_of_chains(request.session, chains)
    refuse_if_member_elsewhere(request, "port chain", lookup.SERVICE_GRAPH, owners, "port_chains")
    writer.add_service_graph(request.session, graph, data["description"])
    refresh_chains(request, chains)
    linked = snapshots.load(request.context, chains)
    for snapshot in linked:
        rules.check_ports_in_a_row(snapshot.chain, snapshot.successors, "port_chains")
    check_linked_chains(request, linked, "port_chains")
    check_isolated(request, linked, "port_chains")
    return graph.id


def update_service_graph(request: Request, graph_id: str, data: Data) -> None:
    """Change the name or description of a service graph.

    :raises NotFound: the graph does not exist, or the caller cannot see it.
    """
    update_name_and_description(request, lookup.SERVICE_GRAPH, graph_id, data)


def delete_service_graph(request: Request, graph_id: str) -> None:
    """Delete a service graph and refresh its chains, which are no longer linked.

    :raises NotFound: the graph does not exist, or the caller cannot see it.
    """
    row = lookup.find_one(request.context, lookup.SERVICE_GRAPH, graph_id)
    chains = sorted({one for link in row.branches for one in (link.source_id, link.destination_id)})
    writer.remove(request.session, row)
    refresh_chains(request, chains)


def check_linked_chains(
    request: Request, linked: Sequence[model.ChainSnapshot], attribute: str
) -> None:
    """Check the chains of a service graph with each other, and ask the drivers about each.

    :param linked: every chain of the graph, or one chain that is in no graph.
    :param attribute: the attribute of the request that an error names.
    :raises Violation: a rule is broken, or no driver supports one of the chains.
    """
    rules.check_no_function_twice(linked, attribute)
    rules.check_no_source_is_function(linked, attribute)
    for snapshot in linked:
        rules.check_branch(snapshot.chain, snapshot.successors, attribute)
        request.check(snapshot)


def check_without_graph(
    request: Request,
    linked: Sequence[model.ChainSnapshot],
    attribute: str,
    changed: model.PortPairGroup | None = None,
) -> None:
    """Check that chains are valid without their service graph, too: it can be deleted.

    A chain gets the packets of its own sources then.

    :param linked: the chains as they are; those that are in no graph are skipped.
    :param attribute: the attribute of the request that an error names. ``changed``: as for
        `check_isolated`.
    :raises Violation: a rule is broken, or no driver supports one of the chains.
    """
    ids = [one.chain.id for one in linked if one.predecessors or one.successors]
    alone = snapshots.load(request.context, ids, with_graphs=False)
    for snapshot in alone:
        request.check(snapshot)
    check_isolated(request, alone, attribute, changed)
