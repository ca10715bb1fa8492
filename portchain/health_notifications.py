"""Notifications of functions that have failed or are back, on the bus of oslo.messaging.

They are for Ceilometer, Aodh and whoever replaces failed instances. Neutron itself notifies of
what users and agents change: ``port_pair.update.end``, ``port.update.end``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from neutron_lib import rpc
from neutron_lib.db import api as db_api

from portchain.core import model
from portchain.core.operating_status import GroupOperating
from portchain.db import operating_status, pair_health, relations
from portchain.db.ports import load_ports_by_id

EVENT_TYPE = "port_pair.operating_status.changed"


def send(context: Any, change: pair_health.HealthChange) -> None:
    """Send one notification for each pair whose verdict has changed."""
    notifier = rpc.get_notifier("network")
    for payload in list(_payloads(context, change)):
        notifier.info(context, EVENT_TYPE, payload)


def _payloads(context: Any, change: pair_health.HealthChange) -> Iterator[dict[str, Any]]:
    with db_api.CONTEXT_READER.using(context):
        session = context.session
        groups = relations.groups_of_pairs(session, change.changed)
        states = operating_status.of_groups(session, sorted(set(groups.values())))
        ids = {port for state in states.values() for port in state.group.port_ids}
        ports = load_ports_by_id(session, ids)
    for state in states.values():
        for pair in state.group.port_pairs:
            if pair.id in change.changed:
                yield {"port_pair": _shown(pair, state, ports)}


def _shown(
    pair: model.PortPair, state: GroupOperating, ports: Mapping[str, model.Port]
) -> dict[str, Any]:
    own, ingress = state.pairs[pair.id], ports.get(pair.ingress)
    return {
        "id": pair.id,
        "name": pair.name,
        "project_id": pair.project_id,
        "tenant_id": pair.project_id,
        "port_pair_group_id": state.group.id,
        "ingress": pair.ingress,
        "egress": pair.egress,
        "device_id": ingress.device_id if ingress else "",
        "host": ingress.host if ingress else "",
        "operating_status": str(own.status),
        "operating_status_reason": own.reason,
    }
