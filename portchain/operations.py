"""What a request does inside its transaction: load what the rules have to see, apply them, ask the
drivers, write.

The functions are named like the plugin's. Each runs a constant number of queries.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from neutron_lib.plugins import directory

from portchain import errors, model, rules
from portchain.db import changes, convert, networks, repository, turns
from portchain.db import resources as db
from portchain.db.ports import devices_of_subports
from portchain.drivers.capabilities import Subject
from portchain.drivers.manager import Due

Data = Mapping[str, Any]
_NAMED = 5  # of many that use something


@dataclass(frozen=True, slots=True)
class Request:
    """What a request works with inside its transaction.

    :param check: asks the drivers; it raises if one cannot do what is about to be written.
    :param due: what the drivers have to be told after the commit.
    """

    context: Any
    check: Callable[[Subject], None]
    due: Due = field(default_factory=Due)

    @property
    def session(self) -> Any:
        """The database session of the transaction."""
        return self.context.session

    def owns(self, port: model.Port) -> bool:
        """Tell whether the caller may decide what becomes of a port's traffic."""
        return self.context.is_admin or port.project_id == self.context.project_id


# Flow classifiers


def create_flow_classifier(request: Request, data: Data) -> str:
    """Add a flow classifier; return its id."""
    turns.take(request.session, data["project_id"])
    row = changes.new_flow_classifier(data)
    classifier = convert.classifier(row)
    rules.check_flow_classifier(classifier)
    _usable_ports(
        request,
        logical_source_port=classifier.logical_source_port,
        logical_destination_port=classifier.logical_destination_port,
    )
    rules.check_overlap(classifier, db.similar_classifiers(request.session, [classifier]))
    request.check(classifier)
    request.session.add(row)
    request.session.flush()
    return row.id


def delete_flow_classifier(request: Request, an_id: str) -> None:
    """Delete a flow classifier that is in no chain."""
    row = db.find_one(request.context, db.FLOW_CLASSIFIER, an_id)
    chain = db.chains_of_classifiers(request.session, [an_id]).get(an_id)
    _refuse_if_used(request, "Flow classifier", an_id, db.PORT_CHAIN, [chain] if chain else [])
    changes.remove(request.session, row)


# Port pairs


def create_port_pair(request: Request, data: Data) -> str:
    """Add a port pair; return its id."""
    pair = model.PortPair(
        id=changes.id_of(data),
        project_id=data["project_id"],
        ingress=data["ingress"],
        egress=data["egress"],
        name=data["name"],
        kind=model.FunctionKind(data["function_kind"]),
        **data["service_function_parameters"],
    )
    ports = _usable_ports(request, ingress=pair.ingress, egress=pair.egress)
    rules.check_port_pair(pair, ports[pair.ingress], ports[pair.egress])
    existing = db.find_pair(request.session, pair.ingress, pair.egress)
    if existing is not None:
        who = _describe(request, db.PORT_PAIR, [existing])
        raise rules.Violation("ingress", f"{who} has the same ingress and egress")
    request.check(pair)
    changes.add_port_pair(request.session, pair, data["description"])
    return pair.id


def update_port_pair(request: Request, an_id: str, data: Data) -> None:
    """Change a port pair; the chains of its group follow its weight."""
    session, parameters = request.session, data.get("service_function_parameters", {})
    if parameters:
        turns.take_for(session, db.PORT_PAIR, an_id)
    row = db.find_one(request.context, db.PORT_PAIR, an_id)
    before = convert.pair(row)
    after = replace(before, **parameters)
    rules.check_changed_pair(before, after)
    group = db.groups_of_pairs(session, [an_id]).get(an_id) if after != before else None
    unchanged = repository.load_groups(session, [group])[group] if group else None
    row.weight = after.weight
    changes.set_names(session, row, data)
    if unchanged:
        _follow_group(request, unchanged, "service_function_parameters")


def delete_port_pair(request: Request, an_id: str) -> None:
    """Delete a port pair that is in no group."""
    row = db.find_one(request.context, db.PORT_PAIR, an_id)
    group = db.groups_of_pairs(request.session, [an_id]).get(an_id)
    _refuse_if_used(request, "Port pair", an_id, db.PORT_PAIR_GROUP, [group] if group else [])
    changes.remove(request.session, row)


# Port pair groups


def create_port_pair_group(request: Request, data: Data) -> str:
    """Add a port pair group; return its id."""
    _check_new_pairs(request, data["port_pairs"])
    row = changes.add_port_pair_group(request.session, data)
    group = repository.load_groups(request.session, [row.id])[row.id]
    rules.check_port_pair_group(group)
    request.check(group)
    return group.id


def update_port_pair_group(request: Request, an_id: str, data: Data) -> None:
    """Change a port pair group; the chains it is in follow."""
    session = request.session
    turns.take_for(session, db.PORT_PAIR_GROUP, an_id)
    row = db.find_one(request.context, db.PORT_PAIR_GROUP, an_id)
    changes.set_names(session, row, data)
    present: dict[str, Any] = {name: getattr(row, name) for name in convert.HEALTH_COLUMNS}
    present["port_pairs"] = [member.pair_id for member in row.members]
    wanted = {name: data[name] for name in present if name in data and data[name] != present[name]}
    if not wanted:
        return
    before = repository.load_groups(session, [an_id])[an_id]
    pairs = wanted.pop("port_pairs", None)
    if pairs is not None:
        _check_new_pairs(request, [pair for pair in pairs if pair not in present["port_pairs"]])
        changes.set_pairs(session, row, pairs)
    changes.set_health(session, row, wanted)
    _follow_group(request, before, "port_pairs" if pairs is not None else next(iter(wanted)))


def _follow_group(request: Request, before: model.PortPairGroup, attribute: str) -> None:
    """Check a group that has changed; the chains it is in follow."""
    group = repository.load_groups(request.session, [before.id])[before.id]
    rules.check_port_pair_group(group)
    request.check(group)
    chains = db.chains_of_group(request.session, group.id)
    if chains:
        _realise_anew(request, _check_chains(request, chains, before, group, attribute))


def _check_chains(
    request: Request,
    chains: Sequence[str],
    before: model.PortPairGroup,
    group: model.PortPairGroup,
    attribute: str,
) -> list[str]:
    """Check the chains a group is in; return them, and those that begin where it ends."""
    affected = []
    linked = repository.snapshots(request.context, db.with_graphs(request.session, chains))
    rules.check_functions_once(linked, attribute)
    own = [snapshot for snapshot in linked if snapshot.chain.id in chains]
    if group.port_ids != before.port_ids:
        networks.keep(request.session, own)
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


def _realise_anew(request: Request, chains: Sequence[str]) -> None:
    """Note that chains have changed, or what they share with others."""
    changes.bump(request.session, chains)
    request.due.refreshed.extend(chains)


def _check_new_pairs(request: Request, pair_ids: Sequence[str]) -> None:
    """Check that pairs exist and are free to be put into a group."""
    db.require(request.context, db.PORT_PAIR, pair_ids, "port_pairs")
    taken = db.groups_of_pairs(request.session, pair_ids)
    _refuse_if_taken(request, "port pair", db.PORT_PAIR_GROUP, taken, "port_pairs")


def delete_port_pair_group(request: Request, an_id: str) -> None:
    """Delete a port pair group that is in no chain."""
    row = db.find_one(request.context, db.PORT_PAIR_GROUP, an_id)
    chains = db.chains_of_group(request.session, an_id)
    _refuse_if_used(request, "Port pair group", an_id, db.PORT_CHAIN, chains)
    changes.remove(request.session, row)


# Port chains


def create_port_chain(request: Request, data: Data) -> str:
    """Add a port chain; return its id."""
    session = request.session
    turns.take(session, data["project_id"])
    _check_chain_id(session, data["chain_id"])
    db.require(request.context, db.PORT_PAIR_GROUP, data["port_pair_groups"], "port_pair_groups")
    _check_new_classifiers(request, data["flow_classifiers"])
    row = changes.add_port_chain(session, data)
    _check_chain(request, row.id)
    request.due.created.append(row.id)
    return row.id


def update_port_chain(request: Request, an_id: str, data: Data) -> None:
    """Change a port chain; its neighbours in a graph follow."""
    session = request.session
    turns.take_for(session, db.PORT_CHAIN, an_id)
    row = db.find_one(request.context, db.PORT_CHAIN, an_id)
    changes.set_names(session, row, data)
    groups = [link.group_id for link in row.groups]
    classifiers = [link.classifier_id for link in row.classifiers]
    new_groups = data.get("port_pair_groups", groups)
    new_classifiers = data.get("flow_classifiers", classifiers)
    if new_groups == groups and new_classifiers == classifiers:
        return
    added = [one for one in new_groups if one not in groups]
    db.require(request.context, db.PORT_PAIR_GROUP, added, "port_pair_groups")
    _check_new_classifiers(request, [one for one in new_classifiers if one not in classifiers])
    if new_groups != groups:
        changes.set_groups(session, row, new_groups)
    if new_classifiers != classifiers:
        changes.set_classifiers(session, row, new_classifiers)
    neighbours = _check_chain(request, an_id)
    changes.bump(session, [an_id, *neighbours])
    # Together: between two messages, what leaves one chain would go around those that follow it.
    if neighbours:
        request.due.refreshed.extend([an_id, *neighbours])
    else:
        request.due.updated.append(an_id)


def delete_port_chain(request: Request, an_id: str) -> None:
    """Delete a port chain that is in no graph."""
    row = db.find_one(request.context, db.PORT_CHAIN, an_id)
    graph = db.graphs_of_chains(request.session, [an_id]).get(an_id)
    _refuse_if_used(request, "Port chain", an_id, db.SERVICE_GRAPH, [graph] if graph else [])
    request.due.deleted.extend(repository.snapshots(request.context, [an_id]))
    changes.remove(request.session, row)


def _check_chain_id(session: Any, chain_id: int) -> None:
    if chain_id and db.chain_id_taken(session, chain_id):
        raise rules.Violation("chain_id", f"{chain_id} is taken; 0 lets the server choose one")


def _check_new_classifiers(request: Request, ids: Sequence[str]) -> None:
    """Check that classifiers exist and are free to be put into a chain."""
    db.require(request.context, db.FLOW_CLASSIFIER, ids, "flow_classifiers")
    taken = db.chains_of_classifiers(request.session, ids)
    _refuse_if_taken(request, "flow classifier", db.PORT_CHAIN, taken, "flow_classifiers")


def _check_chain(request: Request, an_id: str) -> list[str]:
    """Check a chain as it stands in the transaction, with the graph it is in.

    :returns: the chains next to it in the graph.
    """
    linked = repository.snapshots(request.context, db.with_graphs(request.session, [an_id]))
    own = next(snapshot for snapshot in linked if snapshot.chain.id == an_id)
    networks.keep(request.session, [own])
    chain = own.chain
    rules.check_port_chain(chain)
    # In a chain, a classifier stands for ports of the chain's owner, whoever owns the classifier.
    # The check when it was created also cannot see one that another server is creating at the same
    # time.
    effective = [replace(fc, project_id=chain.project_id) for fc in chain.flow_classifiers]
    others = db.similar_classifiers(request.session, effective, chained=True)
    for classifier in effective:
        rules.check_overlap(classifier, others, "flow_classifiers")
    borrowers = db.foreign_chains_of_groups(request.session, chain)
    if borrowers:
        rules.check_told_apart(chain, repository.load_chains(request.session, borrowers))
    _check_links(request, linked, "flow_classifiers")
    return [
        snapshot.chain.id
        for snapshot in linked
        if an_id in {one.id for one in (*snapshot.predecessors, *snapshot.successors)}
    ]


# Service graphs


def create_service_graph(request: Request, data: Data) -> str:
    """Add a service graph; return its id."""
    turns.take(request.session, data["project_id"])
    graph = model.ServiceGraph(
        id=changes.id_of(data),
        project_id=data["project_id"],
        branches={source: tuple(after) for source, after in data["port_chains"].items()},
        name=data["name"],
    )
    rules.check_service_graph(graph)
    chains = sorted(graph.chain_ids)
    db.require(request.context, db.PORT_CHAIN, chains, "port_chains")
    taken = db.graphs_of_chains(request.session, chains)
    _refuse_if_taken(request, "port chain", db.SERVICE_GRAPH, taken, "port_chains")
    changes.add_service_graph(request.session, graph, data["description"])
    _realise_anew(request, chains)
    _check_links(request, repository.snapshots(request.context, chains), "port_chains")
    return graph.id


def delete_service_graph(request: Request, an_id: str) -> None:
    """Delete a service graph; its chains are on their own again."""
    row = db.find_one(request.context, db.SERVICE_GRAPH, an_id)
    chains = sorted({one for link in row.branches for one in (link.source_id, link.destination_id)})
    changes.remove(request.session, row)
    _realise_anew(request, chains)


def _check_links(
    request: Request, snapshots: Sequence[model.ChainSnapshot], attribute: str
) -> None:
    """Check chains with those that follow them."""
    rules.check_functions_once(snapshots, attribute)
    for snapshot in snapshots:
        rules.check_branch(snapshot.chain, snapshot.successors, attribute)
        request.check(snapshot)


# Common


def update_names(resource: db.Resource) -> Callable[[Request, str, Data], None]:
    """Return the operation that changes name and description, which only people read."""

    def update(request: Request, an_id: str, data: Data) -> None:
        row = db.find_one(request.context, resource, an_id)
        changes.set_names(request.session, row, data)

    return update


def _usable_ports(request: Request, **wanted: str | None) -> dict[str, model.Port]:
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


def _refuse_if_used(
    request: Request, kind: str, an_id: str, by: db.Resource, users: Iterable[str]
) -> None:
    """Refuse what would take something away from its users."""
    if users:
        user = _describe(request, by, users)
        raise errors.ResourceInUse(resource=kind, id=an_id, user=user)


def _refuse_if_taken(
    request: Request, kind: str, by: db.Resource, taken: Mapping[str, str], attribute: str
) -> None:
    """Refuse what can belong to one owner only and has one."""
    for an_id, owner in taken.items():
        raise rules.Violation(
            attribute,
            f"{kind} {an_id} is in {_describe(request, by, [owner])}; it can be in one only",
            rules.Kind.CONFLICT,
        )


def _describe(request: Request, resource: db.Resource, ids: Iterable[str]) -> str:
    """Name resources in a message; what the caller may not see has no name there."""
    kind, wanted = resource.name.replace("_", " "), set(ids)
    seen = db.visible(request.context, resource, wanted)
    named = [f"{kind} {an_id}" for an_id in sorted(seen)[:_NAMED]]
    if len(seen) > _NAMED:
        named.append(f"{len(seen) - _NAMED} other {kind}s")
    return ", ".join([*named, *([f"a {kind} of another project"] if wanted - seen else [])])
