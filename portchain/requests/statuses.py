"""Requests that show what the parts of a chain do at the moment."""

from typing import Any

from neutron import policy
from neutron_lib.db import api as db_api

from portchain.core import model
from portchain.core.operating_status import GroupOperating, Operating
from portchain.db import lookup, operating_status
from portchain.db.ports import load_ports_by_id

_NAMES_HOSTS = "get_port_pair:operating_status_reason"
"""The policy of who sees hosts, and reasons that name them."""


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
        **_shown(chain),
        "port_pair_groups": [_group(context, state, hosts) for state in in_order],
    }


def _group(context: Any, state: GroupOperating, hosts: dict[str, str]) -> dict[str, Any]:
    group = state.group
    shown = {"id": group.id, "name": group.name, **_shown(state.own)}
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
        "operating_status": str(state.status),
        "weight": pair.weight,
        "admin_state_up": pair.admin_state_up,
        "backup": pair.backup,
    }
    target = {"project_id": pair.project_id, "tenant_id": pair.project_id}
    if policy.check(context, _NAMES_HOSTS, target, pluralized="port_pairs"):
        shown |= {"operating_status_reason": state.reason, "host": hosts.get(pair.ingress, "")}
    return shown


def _shown(state: Operating) -> dict[str, Any]:
    return {"operating_status": str(state.status), "operating_status_reason": state.reason}
