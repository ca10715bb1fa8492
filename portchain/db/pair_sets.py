"""The pairs that groups select from, and those that they selected from before their last changes.

While the set of a group's pairs and weights does not change, hosts compute the pair of a flow from
the packet's header. After a change they need the earlier sets, as long as flows from before can
live (docs/decisions/0058).

A set depends on the group and its ports alone, not on a chain: it has the pairs that can forward
packets. Each group has at most one set in force, and some earlier ones. These are forgotten all at
once, when the last change is long ago: where flows from before go depends on the oldest of them.

Lock order: groups, by id, then their sets. `age` locks chains, by id, then sets. No request holds
a set and waits for anything else.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc
from oslo_utils import timeutils

from portchain.core.availability import pair_weights
from portchain.dataplane.balance import dispensable
from portchain.dataplane.plan import EarlierPairs
from portchain.db import pair_health, realisation, snapshots
from portchain.db.models import ChainGroup, PairSet, PortChain, PortPairGroup
from portchain.db.ports import load_ports_by_id

MAX_EARLIER = 8
"""At most this many earlier sets of a group are kept: each costs flows on hosts."""

Weights = tuple[tuple[str, int], ...]
"""Pair id and weight >= 0 of each pair of a set, sorted by id."""


@dataclass(frozen=True, slots=True)
class AffinityTimes:
    """How long the earlier sets of a group are in use after its last change, in seconds.

    :param connections: for TCP connections; then the set is forgotten. 0: it is not kept at all.
    :param new_flows: for flows that no host remembers.
    """

    connections: int
    new_flows: int


@dataclass(frozen=True, slots=True)
class _Set:
    """A row of the table."""

    number: int
    weights: Weights
    replaced_at: datetime.datetime | None
    new_flows: bool

    @property
    def replaced(self) -> bool:
        """Whether another set has replaced this one, which is not in force any more."""
        return self.replaced_at is not None


_Sets = defaultdict[str, list[_Set]]
"""Group id -> its sets, the oldest first. The last one is in force."""


@db_api.retry_if_session_inactive()
def record(
    context: Any, present: Mapping[str, Weights], times: AffinityTimes
) -> dict[str, tuple[EarlierPairs, ...]]:
    """Record the sets in force; each one that another has replaced becomes an earlier one.

    One query if no set has changed, and one statement more for groups that have none yet. Otherwise
    the present pairs are read again under a lock, so that a server with an older snapshot does not
    bring back what another one has replaced.

    :param present: group id -> its set in a snapshot.
    :returns: group id -> its earlier sets, the oldest first.
    """
    with db_api.CONTEXT_READER.using(context):
        sets = _load(context.session, present)
    changed = sorted(group for group in present if _in_force(sets[group]) != present[group])
    new = {group: present[group] for group in changed if not sets[group]}
    if new and len(new) == len(changed) and _add_first(context, new):
        changed = []
    if changed:
        sets.update(_replace(context, changed, times))
    return {group: tuple(_earlier(sets[group])) for group in present}


def earlier(context: Any, group_ids: Collection[str]) -> dict[str, tuple[EarlierPairs, ...]]:
    """Return the earlier sets of groups as they are recorded, the oldest first; writes nothing."""
    if not group_ids:
        return {}
    with db_api.CONTEXT_READER.using(context):
        sets = _load(context.session, group_ids)
    return {group: tuple(_earlier(sets[group])) for group in group_ids}


def _add_first(context: Any, first: Mapping[str, Weights]) -> bool:
    """Put the first sets of groups in force.

    If the snapshot was an older one, the next plan replaces them as it replaces others.

    :returns: False, and nothing is written, if another server has added one, or a group has gone.
    """
    rows = [
        {"group_id": group_id, "number": 0, "weights": dict(weights), "new_flows": False}
        for group_id, weights in first.items()
    ]
    try:
        with db_api.CONTEXT_WRITER.using(context):
            context.session.execute(sa.insert(PairSet), rows)
    except (db_exc.DBDuplicateEntry, db_exc.DBReferenceError):
        return False
    return True


def _earlier(sets: Iterable[_Set]) -> Iterator[EarlierPairs]:
    return (EarlierPairs(one.weights, one.new_flows) for one in sets if one.replaced)


def _load(session: Any, group_ids: Iterable[str]) -> _Sets:
    row = PairSet
    query = (
        sa.select(row.group_id, row.number, row.weights, row.replaced_at, row.new_flows)
        .where(row.group_id.in_(sorted(group_ids)))
        .order_by(row.group_id, row.number)
    )
    found: _Sets = defaultdict(list)
    for group_id, number, weights, replaced_at, new_flows in session.execute(query):
        known = tuple(sorted(weights.items()))
        found[group_id].append(_Set(number, known, replaced_at, new_flows))
    return found


def _in_force(sets: Sequence[_Set]) -> Weights:
    """Return the pairs of the set in force; none if it is not known."""
    return sets[-1].weights if sets else ()


def _replace(context: Any, group_ids: Sequence[str], times: AffinityTimes) -> _Sets:
    """Replace the sets in force of groups by what the groups select from at this moment.

    :returns: the sets of these groups.
    """
    group = PortPairGroup
    query = sa.select(group.id).where(group.id.in_(group_ids)).order_by(group.id)
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        # Nothing is read before the locks are held, which would fix what the transaction sees.
        existing = list(session.scalars(query.with_for_update()))
        sets, present = _load(session, existing), _present(session, existing)
        for group_id in existing:
            if _in_force(sets[group_id]) != present[group_id]:
                _replace_one(session, group_id, sets[group_id], present[group_id], times)
        return _load(session, existing)


def _present(session: Any, group_ids: Iterable[str]) -> dict[str, Weights]:
    groups = snapshots.load_groups(session, group_ids)
    port_ids = {port_id for group in groups.values() for port_id in group.port_ids}
    ports = load_ports_by_id(session, port_ids)
    failed = pair_health.failed(session, groups.values(), ports)
    return {
        group_id: pair_weights(group, ports, failed, same_host=True)
        for group_id, group in groups.items()
    }


def _replace_one(
    session: Any, group_id: str, sets: Sequence[_Set], present: Weights, times: AffinityTimes
) -> None:
    """Put a new set in force, and drop earlier ones that are not worth keeping."""
    kept = [one for one in sets if one.weights and times.connections]
    if kept and kept[-1].weights == present:
        kept.pop()  # nothing was selected in between
    while len(kept) > MAX_EARLIER:
        del kept[dispensable([*(dict(one.weights) for one in kept), dict(present)])]
    row = PairSet
    dropped = [one.number for one in sets if one not in kept]
    if dropped:
        session.execute(
            sa.delete(row)
            .where(row.group_id == group_id, row.number.in_(dropped))
            .execution_options(synchronize_session=False)
        )
    if kept and not kept[-1].replaced:
        session.execute(
            sa.update(row)
            .where(row.group_id == group_id, row.number == kept[-1].number)
            .values(replaced_at=timeutils.utcnow(), new_flows=times.new_flows > 0)
            .execution_options(synchronize_session=False)
        )
    number = sets[-1].number + 1 if sets else 0
    session.execute(
        sa.insert(row).values(
            group_id=group_id, number=number, weights=dict(present), new_flows=False
        )
    )


def due(context: Any, times: AffinityTimes) -> dict[str, frozenset[str]]:
    """Return the groups whose earlier sets must age, each with the chains that use it."""
    found: dict[str, set[str]] = defaultdict(set)
    with db_api.CONTEXT_READER.using(context):
        for group_id, chain_id in context.session.execute(_due_groups(times)):
            found[group_id] |= {chain_id} - {None}
        sets = _load(context.session, found) if found else {}
    return {group_id: frozenset(found[group_id]) for group_id, _ in _aging(sets, times)}


def _due_groups(times: AffinityTimes) -> sa.Select[str, str]:
    row, link = PairSet, ChainGroup
    return (
        sa.select(row.group_id, link.chain_id)
        .join(link, link.group_id == row.group_id, isouter=True)
        .where(_is_due(times))
        .distinct()
    )


@db_api.retry_if_session_inactive()
def age(
    context: Any, group_ids: Collection[str], chain_ids: Collection[str], times: AffinityTimes
) -> bool:
    """Forget the sets of groups whose time is over, and give chains a new revision.

    :param chain_ids: the chains whose plans have these sets.
    :returns: False, and nothing is written, if another server has done it.
    """
    chains = sa.select(PortChain.id).where(PortChain.id.in_(sorted(chain_ids)))
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        session.execute(chains.order_by(PortChain.id).with_for_update())
        changes = list(_aging(_load(session, group_ids), times))
        for _, change in changes:
            session.execute(change.execution_options(synchronize_session=False))
        if changes and chain_ids:
            realisation.advance(session, sorted(chain_ids))
    return bool(changes)


def _aging(sets: Mapping[str, Iterable[_Set]], times: AffinityTimes) -> Iterator[tuple[str, Any]]:
    """Yield the groups whose earlier sets must age, and the statement that does it.

    The statement names the sets: another server may replace one more at the same time.

    :param sets: group id -> its sets.
    """
    row = PairSet
    for group_id, of_group in sorted(sets.items()):
        replaced = [(one.replaced_at, one) for one in of_group if one.replaced_at]
        if not replaced:
            continue
        last_change = max(at for at, _ in replaced)
        numbers = [one.number for _, one in replaced]
        earlier = sa.and_(row.group_id == group_id, row.number.in_(numbers))
        is_recent = any(one.new_flows for _, one in replaced)
        if last_change <= _ago(times.connections):
            yield group_id, sa.delete(row).where(earlier)
        elif is_recent and last_change <= _ago(times.new_flows):
            yield group_id, sa.update(row).where(earlier).values(new_flows=False)


def _is_due(times: AffinityTimes) -> sa.ColumnElement[bool]:
    """Return the condition for sets that may have to age, unless their group has changed since.

    In a form that the index of both columns can answer.
    """
    row = PairSet
    new_flows = _ago(min(times.new_flows, times.connections))
    return sa.or_(
        sa.and_(row.new_flows == sa.true(), row.replaced_at <= new_flows),
        sa.and_(row.new_flows == sa.false(), row.replaced_at <= _ago(times.connections)),
    )


def _ago(seconds: int) -> datetime.datetime:
    return timeutils.utcnow() - datetime.timedelta(seconds=seconds)
