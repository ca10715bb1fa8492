"""The health of functions, as the hosts report that check them.

A verdict is that of one host. It counts while both ports of the pair are bound to that host, and
the pair's group has a health check. So a pair that moves, or whose check is switched off, needs no
change here: its verdict is ignored.

Lock order: chains, by id, then verdicts, by the pair's id.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron.plugins.ml2 import models as ml2
from neutron_lib import constants
from neutron_lib.db import api as db_api
from oslo_utils import timeutils
from sqlalchemy import orm

from portchain.core import model, rules
from portchain.db import relations, writer
from portchain.db.models import ChainGroup, GroupPair, PairHealth, PortChain, PortPair
from portchain.db.models import PortPairGroup as Group
from portchain.port_events import NOT_BOUND

RESOURCE = "port_pair_health"
"""The resource of events about functions that have failed or are back (``HealthChange``)."""

HOST_IS_SILENT = "its host does not answer"
_LONGEST_REASON = 255  # characters; what the column holds
_AT_ONCE = 500  # pairs in one query


@dataclass(frozen=True, slots=True)
class HealthChange:
    """What a report has changed.

    :param changed: the verdicts that differ from those before, by pair.
    :param chain_ids: the chains that have to be realised again; they have a new revision.
    """

    changed: Mapping[str, model.PairHealth]
    chain_ids: tuple[str, ...]


def failed(
    session: Any, groups: Iterable[model.PortPairGroup], ports: Mapping[str, model.Port]
) -> dict[str, str]:
    """Return the pairs of groups that fail their health check, as pair id -> the host's reason.

    No query if no group has a check.

    :param ports: port id -> port, of the groups' functions.
    """
    rows = _verdicts(session, groups, ports)
    return {row.pair_id: row.reason for row in rows if not row.is_up}


def known(
    session: Any, groups: Iterable[model.PortPairGroup], ports: Mapping[str, model.Port]
) -> dict[str, model.PairHealth]:
    """Return what hosts have said of the pairs of groups; those they have not are left out.

    :param ports: as for ``failed``.
    """
    rows = _verdicts(session, groups, ports)
    return {row.pair_id: model.PairHealth(row.pair_id, row.is_up, row.reason) for row in rows}


def _verdicts(
    session: Any, groups: Iterable[model.PortPairGroup], ports: Mapping[str, model.Port]
) -> Iterator[Any]:
    checked = {
        pair.id: pair
        for group in groups
        if group.health_check is not model.HealthCheck.NONE
        for pair in group.port_pairs
    }
    row = PairHealth
    query = sa.select(row.pair_id, row.host, row.is_up, row.reason)
    found = session.execute(query.where(row.pair_id.in_(sorted(checked)))) if checked else ()
    for verdict in found:
        pair = checked[verdict.pair_id]
        hosts = {ports[port].host for port in (pair.ingress, pair.egress) if port in ports}
        if hosts == {verdict.host}:
            yield verdict


@db_api.retry_if_session_inactive()
def record(context: Any, host: str, health: Iterable[model.PairHealth]) -> HealthChange:
    """Record what a host says of functions, and give the chains of changed ones a new revision.

    Whatever concerns pairs that the host does not have to check is ignored. Nothing is written if
    all is known.

    :param health: of a pair that is named more than once, the last one counts.
    """
    said = {one.pair_id: one for one in health}
    changed: dict[str, model.PairHealth] = {}
    chain_ids: set[str] = set()
    ids = sorted(said)
    for start in range(0, len(ids), _AT_ONCE):
        some = {pair_id: said[pair_id] for pair_id in ids[start : start + _AT_ONCE]}
        change = _record_some(context, host, some)
        changed |= change.changed
        chain_ids |= set(change.chain_ids)
    return HealthChange(changed, tuple(sorted(chain_ids)))


def _record_some(context: Any, host: str, said: Mapping[str, model.PairHealth]) -> HealthChange:
    with db_api.CONTEXT_READER.using(context):
        session = context.session
        new = _news(said, host, _checked_by(session, host, said), _rows(session, said))
    if not new:
        return HealthChange({}, ())
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        chain_ids = _chains_of(session, new)
        locked = sa.select(PortChain.id).where(PortChain.id.in_(chain_ids)).order_by(PortChain.id)
        session.execute(locked.with_for_update())
        rows = _rows(session, new, locked=True)
        new = _news(new, host, new, rows)
        changed = {
            pair_id: one
            for pair_id, one in new.items()
            if one.is_up is not _was_up(rows.get(pair_id), host)
        }
        for one in new.values():
            _write(session, rows.get(one.pair_id), host, one)
        session.flush()
        affected = _chains_of(session, changed) if changed else []
        if affected:
            writer.increment_revision(session, affected)
    return HealthChange(changed, tuple(affected))


def _checked_by(session: Any, host: str, pair_ids: Iterable[str]) -> set[str]:
    """Return those of some pairs whose functions a host has to check: both ports are bound to it.

    What a host says of others is not its business.
    """
    pair, member, group = PortPair, GroupPair, Group
    ingress, egress = orm.aliased(ml2.PortBinding), orm.aliased(ml2.PortBinding)
    query = (
        sa.select(pair.id)
        .join(member, member.pair_id == pair.id)
        .join(group, group.id == member.group_id)
        .where(pair.id.in_(sorted(pair_ids)), group.health_check != model.HealthCheck.NONE.value)
    )
    for binding, port_id in ((ingress, pair.ingress), (egress, pair.egress)):
        query = query.join(
            binding,
            sa.and_(
                binding.port_id == port_id,
                binding.status == constants.ACTIVE,
                binding.host == host,
                binding.vif_type.not_in(NOT_BOUND),
            ),
        )
    return set(session.scalars(query))


@db_api.retry_if_session_inactive()
def working_hosts(context: Any) -> dict[str, str]:
    """Return the hosts with functions that are checked and count as working.

    :returns: host -> the mechanism driver that bound ports there.
    """
    level, binding = ml2.PortBindingLevel, ml2.PortBinding
    with db_api.CONTEXT_READER.using(context):
        query = _working(binding.host, level.driver).join(
            level, sa.and_(level.port_id == binding.port_id, level.host == binding.host)
        )
        return dict(context.session.execute(query.distinct()).all())


@db_api.retry_if_session_inactive()
def all_failed(context: Any, host: str) -> list[model.PairHealth]:
    """Return what a host would say of its functions that are checked if it knew that it is off."""
    with db_api.CONTEXT_READER.using(context):
        query = _working(PortPair.id).where(ml2.PortBinding.host == host)
        ids = context.session.scalars(query.distinct())
        return [model.PairHealth(pair_id, False, HOST_IS_SILENT) for pair_id in sorted(ids)]


def _working(*columns: Any) -> Any:
    """Query the pairs that are checked and count as working, with the binding of the ingress."""
    pair, member, group, binding, row = PortPair, GroupPair, Group, ml2.PortBinding, PairHealth
    return (
        sa.select(*columns)
        .select_from(pair)
        .join(member, member.pair_id == pair.id)
        .join(group, group.id == member.group_id)
        .join(binding, binding.port_id == pair.ingress)
        .outerjoin(row, sa.and_(row.pair_id == pair.id, row.host == binding.host))
        .where(
            group.health_check != model.HealthCheck.NONE.value,
            binding.status == constants.ACTIVE,
            binding.vif_type.not_in(NOT_BOUND),
            sa.or_(row.is_up.is_(None), row.is_up.is_(True)),
        )
    )


def _rows(session: Any, pair_ids: Iterable[str], *, locked: bool = False) -> dict[str, PairHealth]:
    row = PairHealth
    query = sa.select(row).where(row.pair_id.in_(sorted(pair_ids))).order_by(row.pair_id)
    locking = query.with_for_update().execution_options(populate_existing=True)
    rows = session.scalars(locking if locked else query)
    return {one.pair_id: one for one in rows}


def _news(
    said: Mapping[str, model.PairHealth],
    host: str,
    checked: Collection[str],
    rows: Mapping[str, PairHealth],
) -> dict[str, model.PairHealth]:
    """Return what is not known yet of the functions that a host has to check."""
    return {
        pair_id: one
        for pair_id, one in said.items()
        if pair_id in checked
        and ((row := rows.get(pair_id)) is None or (row.host, row.is_up) != (host, one.is_up))
    }


def _was_up(row: PairHealth | None, host: str) -> bool:
    """Tell whether a function counted as working: it does until its host says otherwise."""
    return row is None or row.host != host or row.is_up


def _write(session: Any, row: PairHealth | None, host: str, one: model.PairHealth) -> None:
    values = {
        "host": host,
        "is_up": one.is_up,
        "reason": "" if one.is_up else one.reason[:_LONGEST_REASON],
        "changed_at": timeutils.utcnow(),
    }
    if row is None:
        session.add(PairHealth(pair_id=one.pair_id, **values))
        return
    for name, value in values.items():
        setattr(row, name, value)


def _chains_of(session: Any, pair_ids: Iterable[str]) -> list[str]:
    """Return the chains with pairs, and those that packets can reach from them in graphs."""
    link, member = ChainGroup, GroupPair
    query = (
        sa.select(link.chain_id)
        .join(member, member.group_id == link.group_id)
        .where(member.pair_id.in_(sorted(pair_ids)))
        .distinct()
    )
    own = set(session.scalars(query))
    links = relations.links_of_graphs(session, own) if own else []
    return sorted(own | rules.reachable(own, links))


def forget(session: Any, pair_ids: Sequence[str]) -> None:
    """Forget what hosts have said of pairs that nobody checks any more."""
    if pair_ids:
        session.execute(
            sa.delete(PairHealth)
            .where(PairHealth.pair_id.in_(sorted(pair_ids)))
            .execution_options(synchronize_session=False)
        )
