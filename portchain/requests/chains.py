"""Requests that create, update and delete port chains."""

from collections.abc import Sequence
from dataclasses import replace
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
from portchain.requests.graphs import check_linked_chains, check_without_graph
from portchain.requests.isolation import check_isolated
from portchain.requests.request import (
    Data,
    Request,
    refuse_if_in_use,
    refuse_if_member_elsewhere,
)


def create_port_chain(request: Request, data: Data) -> str:
    """Add a port chain and return its id.

    :raises NotFound: a group or classifier does not exist, or the caller cannot see it.
    :raises Violation: the chain breaks a rule, or no driver supports it.
    """
    session = request.session
    project_lock.acquire_for_new_chain(session, data["project_id"], data["port_pair_groups"])
    _check_chain_id(session, data["chain_id"])
    groups = _visible_groups(request, data["port_pair_groups"])
    classifiers = _check_new_classifiers(request, data["flow_classifiers"])
    chain = convert.chain(writer.add_port_chain(session, data), groups, classifiers)
    own = snapshots.of_new_chains(request.context, [chain])
    _check_chain(request, chain.id, own, is_new=True)
    request.notifications.created.append(chain)
    return chain.id


def update_port_chain(request: Request, chain_id: str, data: Data) -> None:
    """Change a port chain, and refresh those before and behind it in a service graph.

    :raises NotFound: the chain, a group or a classifier does not exist or is not visible.
    :raises Violation: the changed chain breaks a rule, or no driver supports it.
    """
    session = request.session
    project_lock.acquire_for_chain(session, chain_id, data.get("port_pair_groups", ()))
    row = lookup.find_one(request.context, lookup.PORT_CHAIN, chain_id)
    writer.set_name_and_description(session, row, data)
    groups = [link.group_id for link in row.groups]
    classifiers = [link.classifier_id for link in row.classifiers]
    new_groups = data.get("port_pair_groups", groups)
    new_classifiers = data.get("flow_classifiers", classifiers)
    # The same list without the withdrawn group is a choice, too.
    groups_chosen = new_groups != groups or (row.group_withdrawn and "port_pair_groups" in data)
    if not groups_chosen and new_classifiers == classifiers:
        return
    added = [group_id for group_id in new_groups if group_id not in groups]
    lookup.require(request.context, lookup.PORT_PAIR_GROUP, added, "port_pair_groups")
    _check_new_classifiers(request, [one for one in new_classifiers if one not in classifiers])
    if groups_chosen:
        writer.set_groups(session, row, new_groups)
    if new_classifiers != classifiers:
        writer.set_classifiers(session, row, new_classifiers)
    linked = snapshots.load(
        request.context, relations.with_chains_of_same_graphs(session, {chain_id})
    )
    neighbours = _check_chain(request, chain_id, linked)
    writer.increment_revision(session, [chain_id, *neighbours])
    # One notification for all: between two, traffic that leaves one chain would bypass the next.
    if neighbours:
        request.notifications.refreshed.extend([chain_id, *neighbours])
    else:
        request.notifications.updated.append(chain_id)


def delete_port_chain(request: Request, chain_id: str) -> None:
    """Delete a port chain.

    :raises NotFound: the chain does not exist, or the caller cannot see it.
    :raises ResourceInUse: the chain is in a service graph.
    """
    row = lookup.find_one(request.context, lookup.PORT_CHAIN, chain_id)
    graph = relations.graphs_of_chains(request.session, [chain_id]).get(chain_id)
    refuse_if_in_use(
        request, "Port chain", chain_id, lookup.SERVICE_GRAPH, [graph] if graph else []
    )
    request.notifications.deleted.extend(snapshots.load(request.context, [chain_id]))
    writer.remove(request.session, row)


def _check_chain_id(session: Any, chain_id: int) -> None:
    """Check that a service path identifier is free; 0 stands for any.

    :raises Violation: another chain has it.
    """
    if chain_id and relations.chain_id_is_taken(session, chain_id):
        raise rules.Violation("chain_id", f"{chain_id} is taken; 0 lets the server choose one")


def _visible_groups(request: Request, ids: Sequence[str]) -> list[model.PortPairGroup]:
    """Return groups in order.

    :raises NotFound: one does not exist, or the caller cannot see it.
    """
    if not ids:
        return []
    visible = lookup.visible(request.context, lookup.PORT_PAIR_GROUP, ids)
    found = snapshots.load_groups(request.session, ids, visible)
    lookup.require_found(lookup.PORT_PAIR_GROUP, ids, found, "port_pair_groups")
    return [found[group_id] for group_id in ids]


def _check_new_classifiers(request: Request, ids: Sequence[str]) -> list[model.FlowClassifier]:
    """Check that classifiers exist and are in no chain, and return them in order.

    :raises NotFound: one does not exist, or the caller cannot see it.
    :raises Violation: one is in a chain.
    """
    if not ids:
        return []
    visible = lookup.visible(request.context, lookup.FLOW_CLASSIFIER, ids)
    found, owners = snapshots.load_classifiers(request.session, ids, visible)
    lookup.require_found(lookup.FLOW_CLASSIFIER, ids, found, "flow_classifiers")
    refuse_if_member_elsewhere(
        request, "flow classifier", lookup.PORT_CHAIN, owners, "flow_classifiers"
    )
    return [found[classifier_id] for classifier_id in ids]


def _check_chain(
    request: Request,
    chain_id: str,
    linked: Sequence[model.ChainSnapshot],
    *,
    is_new: bool = False,
) -> list[str]:
    """Check a chain, and the service graph it is in, as the transaction has written them.

    :param linked: all chains of the graph, or only the chain itself if it is in none.
    :param is_new: the transaction has created the chain.
    :returns: the ids of its predecessors in the graph, and of all chains that follow.
    :raises Violation: a rule is broken, or no driver supports a chain of the graph.
    """
    own = next(snapshot for snapshot in linked if snapshot.chain.id == chain_id)
    source_networks.record(request.session, [own], are_new=is_new)
    chain = own.chain
    writer.mark_foreign_classifiers(request.session, chain)
    rules.check_port_chain(chain)
    for snapshot in linked:
        rules.check_ports_in_a_row(snapshot.chain, snapshot.successors)
    # In a chain, a classifier without a logical source port stands for ports of the chain's owner,
    # whoever owns the classifier. Its creation was checked against its own owner's classifiers
    # only, and did not see classifiers that another server was creating at the same time.
    effective = [replace(fc, project_id=chain.project_id) for fc in chain.flow_classifiers]
    for others in relations.classifiers_that_may_overlap(request.session, effective, chained=True):
        rules.check_overlaps(effective, others, "flow_classifiers")
    check_linked_chains(request, linked, "flow_classifiers")
    check_isolated(request, linked, "port_pair_groups")
    check_without_graph(request, [own], "port_pair_groups")
    return [
        snapshot.chain.id
        for snapshot in linked
        if chain_id in {one.id for one in (*snapshot.ancestors, *snapshot.successors)}
    ]
