"""What a request does inside its transaction: load what the rules have to see, apply them, ask the
drivers, write.

The functions are named like the plugin's. Each runs a constant number of queries. `Check` is the
driver manager's: it raises if a driver cannot do what is about to be written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neutron_lib import exceptions as lib
from neutron_lib.plugins import directory

from portchain import errors, model, rules
from portchain.db import changes, convert, repository
from portchain.db import resources as db
from portchain.drivers.capabilities import Subject

Check = Callable[[Subject], None]
Data = Mapping[str, Any]

# Flow classifiers


def create_flow_classifier(context: Any, check: Check, data: Data) -> str:
    """Add a flow classifier; return its id."""
    row = changes.new_flow_classifier(data)
    classifier = convert.classifier(row)
    rules.check_flow_classifier(classifier)
    ends = (classifier.logical_source_port, classifier.logical_destination_port)
    visible_ports(context, [port for port in ends if port is not None])
    rules.check_overlap(classifier, db.similar_classifiers(context.session, [classifier]))
    check(classifier)
    context.session.add(row)
    context.session.flush()
    return row.id


def delete_flow_classifier(context: Any, an_id: str) -> None:
    """Delete a flow classifier that is in no chain."""
    db.require(context, db.FLOW_CLASSIFIER, [an_id])
    chain = db.chains_of_classifiers(context.session, [an_id]).get(an_id)
    _refuse_if_used("Flow classifier", an_id, [f"port chain {chain}"] if chain else [])
    changes.remove(context.session, db.FLOW_CLASSIFIER, an_id)


# Port pairs


def create_port_pair(context: Any, check: Check, data: Data) -> str:
    """Add a port pair; return its id."""
    pair = model.PortPair(
        id=changes.new_id(),
        project_id=data["project_id"],
        ingress=data["ingress"],
        egress=data["egress"],
        name=data["name"],
        correlation=data["service_function_parameters"]["correlation"],
        weight=data["service_function_parameters"]["weight"],
        kind=model.FunctionKind(data["function_kind"]),
    )
    ports = visible_ports(context, [pair.ingress, pair.egress])
    rules.check_port_pair(pair, ports[pair.ingress], ports[pair.egress])
    existing = db.find_pair(context.session, pair.ingress, pair.egress)
    if existing is not None:
        raise rules.Violation("ingress", f"port pair {existing.id} has the same ingress and egress")
    check(pair)
    changes.add_port_pair(context.session, pair, data["description"])
    return pair.id


def delete_port_pair(context: Any, an_id: str) -> None:
    """Delete a port pair that is in no group."""
    db.require(context, db.PORT_PAIR, [an_id])
    group = db.groups_of_pairs(context.session, [an_id]).get(an_id)
    _refuse_if_used("Port pair", an_id, [f"port pair group {group}"] if group else [])
    changes.remove(context.session, db.PORT_PAIR, an_id)


# Port pair groups


def create_port_pair_group(context: Any, check: Check, data: Data) -> str:
    """Add a port pair group; return its id."""
    _check_new_pairs(context, data["port_pairs"])
    row = changes.add_port_pair_group(context.session, data)
    group = repository.load_groups(context.session, [row.id])[row.id]
    rules.check_port_pair_group(group)
    check(group)
    return group.id


def update_port_pair_group(context: Any, check: Check, an_id: str, data: Data) -> list[str]:
    """Change a port pair group; return the ids of the chains that have to be realised anew."""
    session = context.session
    row = db.find_one(context, db.PORT_PAIR_GROUP, an_id)
    changes.set_names(row, data)
    wanted, present = data.get("port_pairs"), [member.pair_id for member in row.members]
    if wanted is None or wanted == present:
        return []
    _check_new_pairs(context, [pair for pair in wanted if pair not in present])
    changes.set_pairs(session, row, wanted)
    group = repository.load_groups(session, [an_id])[an_id]
    rules.check_port_pair_group(group)
    check(group)
    chains = db.chains_of_group(session, an_id)
    for snapshot in repository.snapshots(context, chains) if chains else ():
        rules.check_correlation(snapshot.chain, group, "port_pairs")
        check(snapshot)
    changes.bump(session, chains)
    return chains


def _check_new_pairs(context: Any, pair_ids: Sequence[str]) -> None:
    """Check that pairs exist and are free to be put into a group."""
    db.require(context, db.PORT_PAIR, pair_ids)
    for pair, group in db.groups_of_pairs(context.session, pair_ids).items():
        raise rules.Violation(
            "port_pairs",
            f"port pair {pair} is in port pair group {group}; a pair can be in one group only",
            rules.Kind.CONFLICT,
        )


def delete_port_pair_group(context: Any, an_id: str) -> None:
    """Delete a port pair group that is in no chain."""
    db.require(context, db.PORT_PAIR_GROUP, [an_id])
    chains = db.chains_of_group(context.session, an_id)
    _refuse_if_used("Port pair group", an_id, [f"port chain {chain}" for chain in sorted(chains)])
    changes.remove(context.session, db.PORT_PAIR_GROUP, an_id)


# Port chains


def create_port_chain(context: Any, check: Check, data: Data) -> str:
    """Add a port chain; return its id."""
    session = context.session
    _check_chain_id(session, data["chain_id"])
    db.require(context, db.PORT_PAIR_GROUP, data["port_pair_groups"])
    _check_new_classifiers(context, data["flow_classifiers"])
    row = changes.add_port_chain(session, data)
    _check_chain(context, check, row.id)
    return row.id


def update_port_chain(context: Any, check: Check, an_id: str, data: Data) -> bool:
    """Change a port chain; return whether it has to be realised anew."""
    session = context.session
    row = db.find_one(context, db.PORT_CHAIN, an_id)
    changes.set_names(row, data)
    session.flush()
    groups = [link.group_id for link in row.groups]
    classifiers = [link.classifier_id for link in row.classifiers]
    new_groups = data.get("port_pair_groups", groups)
    new_classifiers = data.get("flow_classifiers", classifiers)
    if new_groups == groups and new_classifiers == classifiers:
        return False
    db.require(context, db.PORT_PAIR_GROUP, [one for one in new_groups if one not in groups])
    _check_new_classifiers(context, [one for one in new_classifiers if one not in classifiers])
    if new_groups != groups:
        changes.set_groups(session, row, new_groups)
    if new_classifiers != classifiers:
        changes.set_classifiers(session, row, new_classifiers)
    _check_chain(context, check, an_id)
    changes.bump(session, [an_id])
    return True


def delete_port_chain(context: Any, an_id: str) -> model.ChainSnapshot:
    """Delete a port chain; return its last state."""
    db.require(context, db.PORT_CHAIN, [an_id])
    (snapshot,) = repository.snapshots(context, [an_id])
    changes.remove(context.session, db.PORT_CHAIN, an_id)
    return snapshot


def _check_chain_id(session: Any, chain_id: int) -> None:
    if chain_id and db.chain_id_taken(session, chain_id):
        raise rules.Violation("chain_id", f"{chain_id} is taken; 0 lets the server choose one")


def _check_new_classifiers(context: Any, ids: Sequence[str]) -> None:
    """Check that classifiers exist and are free to be put into a chain."""
    db.require(context, db.FLOW_CLASSIFIER, ids)
    for classifier, chain in db.chains_of_classifiers(context.session, ids).items():
        raise rules.Violation(
            "flow_classifiers",
            f"flow classifier {classifier} is in port chain {chain}; it can be in one only",
            rules.Kind.CONFLICT,
        )


def _check_chain(context: Any, check: Check, an_id: str) -> None:
    """Check a chain as it stands in the transaction."""
    (snapshot,) = repository.snapshots(context, [an_id])
    chain = snapshot.chain
    rules.check_port_chain(chain)
    # In a chain, a classifier stands for ports of the chain's owner, whoever owns the classifier.
    # The check when it was created also cannot see one that another server is creating at the same
    # time.
    effective = [replace(fc, project_id=chain.project_id) for fc in chain.flow_classifiers]
    others = db.similar_classifiers(context.session, effective, chained=True)
    for classifier in effective:
        rules.check_overlap(classifier, others, "flow_classifiers")
    check(snapshot)


# Common


def update_names(context: Any, resource: db.Resource, an_id: str, data: Data) -> dict[str, Any]:
    """Change name and description, which only people read; return what the API shows."""
    row = db.find_one(context, resource, an_id)
    changes.set_names(row, data)
    context.session.flush()
    return db.show(resource, row)


def visible_ports(context: Any, port_ids: Iterable[str]) -> dict[str, model.Port]:
    """Return ports by id, as far as the caller may see them.

    :raises PortNotFound: one of them does not exist or is not visible.
    """
    wanted = list(dict.fromkeys(port_ids))
    if not wanted:
        return {}
    fields = ["id", "network_id", "project_id", "mac_address", "device_id", "name"]
    found = directory.get_plugin().get_ports(context, filters={"id": wanted}, fields=fields)
    ports = {port["id"]: model.Port(**{name: port[name] for name in fields}) for port in found}
    for port_id in wanted:
        if port_id not in ports:
            raise lib.PortNotFound(port_id=port_id)
    # Neutron gives a trunk's subports no device of their own.
    alone = [port_id for port_id in wanted if not ports[port_id].device_id]
    devices = repository.devices_of_subports(context.session, alone) if alone else {}
    return ports | {
        an_id: replace(ports[an_id], device_id=device) for an_id, device in devices.items()
    }


def _refuse_if_used(kind: str, an_id: str, users: Sequence[str]) -> None:
    if users:
        raise errors.ResourceInUse(resource=kind, id=an_id, user=", ".join(users))
