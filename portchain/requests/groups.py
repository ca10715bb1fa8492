"""Requests that create, update and delete port pair groups."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from portchain.core import model, rules
from portchain.core.function_kinds import traits_of
from portchain.db import (
    convert,
    lookup,
    pair_health,
    plain_attributes,
    project_lock,
    relations,
    snapshots,
    source_networks,
    writer,
)
from portchain.requests.graphs import check_without_graph
from portchain.requests.isolation import check_isolated
from portchain.requests.request import (
    Data,
    Request,
    refresh_chains,
    refuse_if_in_use,
    refuse_if_member_elsewhere,
)
from portchain.requests.withdrawal import withdraw_group


def create_port_pair_group(request: Request, data: Data) -> str:
    """Add a port pair group and return its id.

    :raises NotFound: a pair does not exist, or the caller cannot see it.
    :raises Violation: the group breaks a rule, a pair is in another group, or no driver supports
        the group.
    """
    _check_new_pairs(request, data["port_pairs"])
    row = writer.add_port_pair_group(request.session, data)
    group = snapshots.load_groups(request.session, [row.id])[row.id]
    rules.check_port_pair_group(group)
    request.check(group)
    return group.id


def update_port_pair_group(request: Request, group_id: str, data: Data) -> None:
    """Change a port pair group and refresh the chains that use it.

    :raises NotFound: the group or a pair does not exist, or the caller cannot see it.
    :raises Violation: the changed group or a chain with it breaks a rule, a pair is in another
        group, or no driver supports the change.
    """
    session = request.session
    project_lock.acquire_for_group(session, group_id)
    row = lookup.find_one(request.context, lookup.PORT_PAIR_GROUP, group_id)
    writer.set_name_and_description(session, row, data)
    if "withdraw_from" in data:
        withdraw_group(request, row, data["withdraw_from"])
    changes = plain_attributes.PORT_PAIR_GROUP.changes(row, data) | _health_changes(row, data)
    pairs = [member.pair_id for member in row.members]
    new_pairs = data.get("port_pairs", pairs)
    if not changes and new_pairs == pairs:
        return
    before = snapshots.load_groups(session, [group_id])[group_id]
    if new_pairs != pairs:
        _check_new_pairs(request, [pair for pair in new_pairs if pair not in pairs])
        writer.set_pairs(session, row, new_pairs)
    writer.set_columns(session, row, changes)
    is_checked = row.health_check != model.HealthCheck.NONE
    pair_health.forget(session, [one for one in pairs if not is_checked or one not in new_pairs])
    attribute = "port_pairs" if new_pairs != pairs else next(iter(changes))
    check_group_and_refresh_chains(request, before, attribute)


def _health_changes(row: Any, data: Data) -> dict[str, Any]:
    """Return the column with the parameters of the health check, if an update changes it."""
    before = convert.health_parameters(row)
    after = rules.health_parameters(data.get("health_check_parameters") or {}, before)
    return {} if after == before else {"health_check_parameters": asdict(after)}


def check_group_and_refresh_chains(
    request: Request, before: model.PortPairGroup, attribute: str
) -> None:
    """Check a group that the transaction has changed, and refresh the chains that use it.

    :param before: the group before the change.
    :param attribute: the attribute of the request that an error names.
    :raises Violation: the group or one of the chains breaks a rule, or no driver supports it.
    """
    group = snapshots.load_groups(request.session, [before.id])[before.id]
    rules.check_port_pair_group(group)
    request.check(group)
    chains = relations.chains_of_group(request.session, group.id)
    if chains:
        refresh_chains(request, _check_chains(request, chains, before, group, attribute))


def _check_chains(
    request: Request,
    chains: Sequence[str],
    before: model.PortPairGroup,
    group: model.PortPairGroup,
    attribute: str,
) -> list[str]:
    """Check the chains that use a changed group, and those that follow them in service graphs.

    :param chains: the chains that use the group.
    :param before: the group before the change.
    :param group: the group after it.
    :param attribute: the attribute of the request that an error names.
    :returns: the chains whose realisation the change affects: those that use the group, and all
        that follow.
    :raises Violation: one of them breaks a rule, or no driver supports it.
    """
    affected = []
    check = request.check_accepted if _differ_in_weights_only(before, group) else request.check
    linked = snapshots.load(
        request.context, relations.with_chains_of_same_graphs(request.session, chains)
    )
    rules.check_no_function_twice(linked, attribute)
    rules.check_no_source_is_function(linked, attribute)
    own = [snapshot for snapshot in linked if snapshot.chain.id in chains]
    if group.port_ids != before.port_ids:
        source_networks.record(request.session, own)
    if _returns_more(before, group):
        is_opened = group.failure_mode != before.failure_mode
        taken_by = "failure_mode" if is_opened and attribute != "port_pairs" else "port_pairs"
        check_isolated(request, own, taken_by, changed=group)
    check_without_graph(request, own, attribute, changed=group)
    for snapshot in linked:
        rules.check_ports_in_a_row(snapshot.chain, snapshot.successors, attribute)
        if snapshot.chain.id in chains:
            rules.check_correlation(snapshot.chain, group, attribute)
            rules.check_port_sides(snapshot.chain, attribute)
        elif set(chains).isdisjoint(one.id for one in snapshot.ancestors):
            continue
        check(snapshot)
        affected.append(snapshot.chain.id)
    return affected


def _differ_in_weights_only(before: model.PortPairGroup, after: model.PortPairGroup) -> bool:
    """Tell whether nothing but weights of pairs differs: chains need as many flows as before."""

    def without_weights(group: model.PortPairGroup) -> model.PortPairGroup:
        # A pair of weight 0 needs other flows than one that is selected.
        pairs = tuple(replace(pair, weight=min(pair.weight, 1)) for pair in group.port_pairs)
        return replace(group, port_pairs=pairs)

    return without_weights(before) == without_weights(after)


def _returns_more(before: model.PortPairGroup, after: model.PortPairGroup) -> bool:
    """Tell whether chains take more with a changed group than before.

    It returns packets at other ports or of another kind, or an empty one lets packets pass now. The
    check costs more, the more chains use the group. A new weight cannot fail it.
    """
    if after.failure_mode != before.failure_mode:
        return True
    functions = [
        {(pair.ingress, pair.egress, traits_of(pair).name) for pair in group.port_pairs}
        for group in (before, after)
    ]
    return not functions[1] <= functions[0]


def _check_new_pairs(request: Request, pair_ids: Sequence[str]) -> None:
    """Check that pairs exist and are in no group.

    :raises NotFound: one does not exist, or the caller cannot see it.
    :raises Violation: one is in a group.
    """
    lookup.require(request.context, lookup.PORT_PAIR, pair_ids, "port_pairs")
    owners = relations.groups_of_pairs(request.session, pair_ids)
    refuse_if_member_elsewhere(request, "port pair", lookup.PORT_PAIR_GROUP, owners, "port_pairs")


def delete_port_pair_group(request: Request, group_id: str) -> None:
    """Delete a port pair group.

    :raises NotFound: the group does not exist, or the caller cannot see it.
    :raises ResourceInUse: a chain uses the group.
    """
    row = lookup.find_one(request.context, lookup.PORT_PAIR_GROUP, group_id)
    chains = relations.chains_of_group(request.session, group_id)
    refuse_if_in_use(request, "Port pair group", group_id, lookup.PORT_CHAIN, chains)
    writer.remove(request.session, row)
