"""Requests for service graphs."""

from collections.abc import Sequence

from portchain.core import model, rules
from portchain.db import lookup, project_lock, relations, snapshots, writer
from portchain.requests.request import Data, Request, realise_again, refuse_if_taken


def create_service_graph(request: Request, data: Data) -> str:
    """Add a service graph; return its id."""
    project_lock.acquire(request.session, data["project_id"])
    graph = model.ServiceGraph(
        id=writer.id_of(data),
        project_id=data["project_id"],
        branches={source: tuple(after) for source, after in data["port_chains"].items()},
        name=data["name"],
    )
    rules.check_service_graph(graph)
    chains = sorted(graph.chain_ids)
    lookup.require(request.context, lookup.PORT_CHAIN, chains, "port_chains")
    taken = relations.graphs_of_chains(request.session, chains)
    refuse_if_taken(request, "port chain", lookup.SERVICE_GRAPH, taken, "port_chains")
    writer.add_service_graph(request.session, graph, data["description"])
    realise_again(request, chains)
    check_graph(request, snapshots.load(request.context, chains), "port_chains")
    return graph.id


def delete_service_graph(request: Request, an_id: str) -> None:
    """Delete a service graph; its chains are on their own again."""
    row = lookup.find_one(request.context, lookup.SERVICE_GRAPH, an_id)
    chains = sorted({one for link in row.branches for one in (link.source_id, link.destination_id)})
    writer.remove(request.session, row)
    realise_again(request, chains)


def check_graph(request: Request, snapshots: Sequence[model.ChainSnapshot], attribute: str) -> None:
    """Check chains with those that follow them."""
    rules.check_functions_once(snapshots, attribute)
    for snapshot in snapshots:
        rules.check_branch(snapshot.chain, snapshot.successors, attribute)
        request.check(snapshot)
