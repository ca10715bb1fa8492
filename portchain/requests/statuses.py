"""Requests that show what the parts of a chain do at the moment."""

from typing import Any

from neutron import policy
from neutron_lib.db import api as db_api

from portchain.core import model
from portchain.core.operating_status import GroupOperating, Operating
from portchain.db import lookup, operating_status
from portchain.db.ports import load_ports_by_id

_REASON = "operating_status_reason"


@db_api.retry_if_session_inactive()
def get_port_chain_statuses(context: Any, chain_id: str) -> dict[str, Any]:
    """Return a chain's operating status, and that of its groups and their pairs.

    Of a group of another project, it shows how the group is, and nothing of what is in it.

    :raises NotFound: the chain does not exist, or the caller cannot see it.
    """
    with db_api.CONTEXT_READER.using(context):
        row = lookup.find_one(context, lookup.PORT_CHAIN, chain_id)
        states = operating_status.of_groups(context.session, [one.group_id for one in row.groups])
        chain = operating_status.of_chain(row, states)
        in_order = [states[one.group_id] for one in row.groups if one.group_id in states]
        ids = {port_id for state in in_order for port_id in state.group.port_ids}
        ports = load_ports_by_id(context.session, ids)
        shown = lookup.PORT_CHAIN.show(row)
    hosts = {port.id: port.host for port in ports.values()}
    return {
        **{name: shown[name] for name in ("id", "name", "project_id", "status")},
        **_shown(context, lookup.PORT_CHAIN, shown["project_id"], chain),
        "port_pair_groups": [_group(context, state, hosts) for state in in_order],
    }


def _group(context: Any, state: GroupOperating, hosts: dict[str, str]) -> dict[str, Any]:
    group = state.group
    own = _shown(context, lookup.PORT_PAIR_GROUP, group.project_id, state.own)
    shown = {"id": group.id, "name": group.name, **own}
    if not context.is_admin and group.project_id != context.project_id:
        return shown
    pairs = [_pair(context, pair, state.pairs[pair.id], hosts) for pair in group.port_pairs]
    return {**shown, "port_pairs": pairs}


def _pair(
    context: Any, pair: model.PortPair, state: Operating, hosts: dict[str, str]
) -> dict[str, Any]:
    shown = {
        "id": pair.id,
        "name": pair.name,
        **_shown(context, lookup.PORT_PAIR, pair.project_id, state),
        "weight": pair.weight,
        "admin_state_up": pair.admin_state_up,
        "backup": pair.backup,
    }
    # Who sees hosts is who sees the reasons that name them.
    return shown | ({"host": hosts.get(pair.ingress, "")} if _REASON in shown else {})


def _shown(
    context: Any, resource: lookup.Resource, project_id: str, state: Operating
) -> dict[str, Any]:
    """Return a status, with the reason for it if the policies show it to the caller."""
    target = {"project_id": project_id, "tenant_id": project_id}
    if resource is lookup.PORT_PAIR_GROUP:
        target["shared"] = project_id != context.project_id  # or the caller would have no chain
    shown = {"operating_status": str(state.status)}
    name = f"get_{resource.name}:{_REASON}"
    if policy.check(context, name, target, pluralized=f"{resource.name}s"):
        return shown | {_REASON: state.reason}
    return shown
