"""Notifications of functions that have failed or are back, on the bus of oslo.messaging.

They are for Ceilometer, Aodh and whoever replaces failed instances or tells the owners of chains.
A group or a chain has a notification of its own if its operating status changes with that of the
function. Neutron itself notifies of what users and agents change: ``port_pair.update.end``,
``port.update.end``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron_lib import rpc
from neutron_lib.db import api as db_api
from sqlalchemy import orm

from portchain.core import model
from portchain.core.operating_status import GroupOperating, Operating
from portchain.db import models, operating_status, pair_health, relations
from portchain.db.ports import load_ports_by_id


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a change of verdicts concerns, read in one transaction.

    :param before: group id -> its operating status without the change.
    :param after: group id -> its operating status now.
    """

    ports: Mapping[str, model.Port]
    chains: tuple[models.PortChain, ...]
    before: Mapping[str, GroupOperating]
    after: Mapping[str, GroupOperating]


def send(context: Any, change: pair_health.HealthChange) -> None:
    """Send a notification for each pair, group and chain whose operating status has changed."""
    notifier = rpc.get_notifier("network")
    for resource, payload in list(_payloads(_read(context, change), change)):
        event_type = f"{resource}.operating_status.changed"
        notifier.info(context, event_type, {resource: payload})


def _read(context: Any, change: pair_health.HealthChange) -> _Seen:
    earlier = {
        pair_id: model.PairHealth(pair_id, not one.is_up, "")
        for pair_id, one in change.changed.items()
    }
    table = models.PortChain
    own = sa.select(table).where(table.id.in_(change.chain_ids)).order_by(table.id)
    with db_api.CONTEXT_READER.using(context):
        session = context.session
        groups = relations.groups_of_pairs(session, change.changed)
        rows = session.scalars(own.options(orm.lazyload("*"), orm.selectinload(table.groups)))
        chains = tuple(rows)
        of_chains = {link.group_id for chain in chains for link in chain.groups}
        concerned = sorted({*groups.values(), *of_chains})
        before, after = operating_status.before_and_now(session, concerned, earlier)
        changed = set(groups.values()) & after.keys()
        ids = {port for one in changed for port in after[one].group.port_ids}
        return _Seen(load_ports_by_id(session, ids), chains, before, after)


def _payloads(
    seen: _Seen, change: pair_health.HealthChange
) -> Iterator[tuple[str, dict[str, Any]]]:
    for group_id, state in seen.after.items():
        for pair in state.group.port_pairs:
            if pair.id in change.changed:
                yield "port_pair", _shown_pair(pair, state, seen.ports)
        if seen.before[group_id].own.status is not state.own.status:
            yield "port_pair_group", _shown(state.group, state.own)
    for chain in seen.chains:
        own = operating_status.of_chain(chain, seen.after)
        if operating_status.of_chain(chain, seen.before).status is not own.status:
            yield "port_chain", _shown(chain, own)


def _shown(
    resource: model.PortPair | model.PortPairGroup | models.PortChain, own: Operating
) -> dict[str, Any]:
    return {
        "id": resource.id,
        "name": resource.name,
        "project_id": resource.project_id,
        "tenant_id": resource.project_id,
        "operating_status": str(own.status),
        "operating_status_reason": own.reason,
    }


def _shown_pair(
    pair: model.PortPair, state: GroupOperating, ports: Mapping[str, model.Port]
) -> dict[str, Any]:
    ingress = ports.get(pair.ingress)
    return {
        **_shown(pair, state.pairs[pair.id]),
        "port_pair_group_id": state.group.id,
        "ingress": pair.ingress,
        "egress": pair.egress,
        "device_id": ingress.device_id if ingress else "",
        "host": ingress.host if ingress else "",
    }
