"""Records what hosts are sent of the plans of chains, before they are notified.

A host whose part of a plan is the same as in the plan before keeps its row, with the revision of
the plan that it has: it is neither notified nor waited for. So a change costs what it changes,
however many hosts a chain has (docs/decisions/0065).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_utils import timeutils

from portchain.core.plan_records import HostChanges, PlanRecord
from portchain.db.many_values import in_parts
from portchain.db.models import REASON_SIZE, ChainHost, PortChain

_Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Chain id -> host -> columns of the host's row."""


@db_api.retry_if_session_inactive()
def record(
    context: Any, records: Iterable[PlanRecord], *, quiet: Collection[str] = ()
) -> dict[str, HostChanges]:
    """Record which hosts are about to be sent which plans.

    Rows of hosts that no longer take part are removed. The other hosts keep what they confirmed,
    and their errors until their next report. The number of statements does not depend on the number
    of records.

    A record of some hosts reads and writes the rows of these hosts only. It holds if what is common
    to all hosts is the same as in the record before, and if it is known what each of the others was
    sent: then nothing changes for these.

    :param records: at most one for each chain.
    :param quiet: chains that stay ACTIVE: a host that had confirmed the plan before counts as if it
        had confirmed this one, too.
    :return: chain id -> what changes for hosts. Chains of which a newer revision is recorded, and
        deleted ones, are left out, and nothing is written for them.
    """
    by_id = {one.chain_id: one for one in records}
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        if (first := _record_first(session, by_id)) is not None:
            return first
        rows = _lock(session, by_id)
        recorded = {chain_id: row.realised_revision for chain_id, row in rows.items()}
        latest = [
            one
            for chain_id, one in by_id.items()
            if recorded.get(chain_id, one.revision + 1) <= one.revision
        ]
        current = [one for one in latest if _is_enough(one, rows[one.chain_id].common_part)]
        needs_all = {one.chain_id: HostChanges(needs_all=True) for one in latest}
        if not current:
            return needs_all
        known = _rows_of(session, current)
        changes = {one.chain_id: changes_for_hosts(one, known[one.chain_id]) for one in current}
        # A quiet change counts as recorded already (`realisation.advance`). If it does not, a
        # change that hosts must confirm came in between.
        kept = {one.chain_id for one in current if recorded[one.chain_id] == one.revision}
        new = _new_rows(by_id, known, changes, kept.intersection(quiet))
        _update_chains(session, current, {row["chain_id"] for row in new if _is_doubtful(row)})
        _replace_rows(session, known, changes, new)
    return needs_all | changes


def _record_first(session: Any, records: Mapping[str, PlanRecord]) -> dict[str, HostChanges] | None:
    """Record the plan of a new chain: it has no rows of hosts that would have to be read.

    The database decides whether it is the first plan that is recorded of the chain.

    :returns: what `record` does; None if it is not the first, and nothing is written then.
    """
    new = [one for one in records.values() if one.revision == 1 and one.hosts is None]
    if len(records) != 1 or not new:
        return None
    known: _Rows = {new[0].chain_id: {}}
    changes = {new[0].chain_id: changes_for_hosts(new[0], {})}
    rows = _new_rows(records, known, changes, ())
    doubtful = {row["chain_id"] for row in rows if _is_doubtful(row)}
    if not _update_chains(session, new, doubtful, PortChain.realised_revision == 0):
        return None
    _replace_rows(session, known, changes, rows)
    return changes


def _is_enough(record: PlanRecord, common_part: str) -> bool:
    """Tell whether a record has all hosts for which something changes.

    :param common_part: what was common to all hosts in the record before; empty if unknown.
    """
    return record.hosts is None or (record.common == common_part != "")


def _lock(session: Any, chain_ids: Iterable[str]) -> dict[str, Any]:
    """Lock chains; return what is recorded for each of those that exist, by id."""
    query = (
        sa.select(PortChain.id, PortChain.realised_revision, PortChain.common_part)
        .order_by(PortChain.id)
        .with_for_update()
    )
    # The parts are in order, too: whoever locks several chains does so in the order of their ids.
    parts = (session.execute(query.where(PortChain.id.in_(part))) for part in in_parts(chain_ids))
    return {row.id: row for rows in parts for row in rows}


def _update_chains(
    session: Any, records: Sequence[PlanRecord], doubtful: Collection[str], *conditions: Any
) -> int:
    """Record what is known of chains, and return of how many.

    :param doubtful: the chains of which hosts exist that must be notified of the next plan, too,
        whatever it says.
    :param conditions: which of the chains to update.
    """

    def each(values: Mapping[str, Any]) -> Any:
        return sa.case(values, value=PortChain.id)

    updated = session.execute(
        sa.update(PortChain)
        .where(PortChain.id.in_([one.chain_id for one in records]), *conditions)
        .values(
            realised_revision=each({one.chain_id: one.revision for one in records}),
            down_reason=each({one.chain_id: shortened(one.down_reason) for one in records}),
            warning=each({one.chain_id: shortened(one.warning) for one in records}),
            common_part=each(
                {one.chain_id: "" if one.chain_id in doubtful else one.common for one in records}
            ),
            touched_at=timeutils.utcnow(),
        )
        .execution_options(synchronize_session=False)
    )
    return int(updated.rowcount)


def shortened(reason: str) -> str:
    """Shorten a reason to what the tables can hold; it may name hundreds of ports."""
    return reason if len(reason) <= REASON_SIZE else f"{reason[: REASON_SIZE - 4]} ..."


_COLUMNS = tuple(column for column in ChainHost.__table__.columns if column.computed is None)


def _rows_of(session: Any, records: Sequence[PlanRecord]) -> _Rows:
    """Return the rows of the hosts that records are of."""
    rows: defaultdict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    whole = in_parts(one.chain_id for one in records if one.hosts is None)
    conditions: list[Any] = [ChainHost.chain_id.in_(part) for part in whole]
    some = [
        sa.and_(ChainHost.chain_id == one.chain_id, ChainHost.host.in_(sorted(one.hosts)))
        for one in records
        if one.hosts is not None
    ]
    for condition in [*conditions, sa.or_(*some)] if some else conditions:
        query = sa.select(*_COLUMNS).where(condition)
        for row in session.execute(query).mappings():
            rows[row["chain_id"]][row["host"]] = row
    return rows


def changes_for_hosts(new: PlanRecord, rows: Mapping[str, Mapping[str, Any]]) -> HostChanges:
    """Return what a plan changes for hosts, by the rows of the plan before. Pure.

    :param rows: host -> columns of the host's row.
    """
    before = {host: part_of(row) for host, row in rows.items()}
    # The same plan once more: it is repaired, because hosts may not have heard of it.
    silent = {
        host
        for host, row in rows.items()
        if row["wanted_revision"] == new.revision and _is_unprepared(row)
    }
    notify = {
        host: before.get(host, "")
        for host, part in new.parts.items()
        if not part or before.get(host) != part or host in silent
    }
    return HostChanges(notify, frozenset(rows.keys() - new.parts.keys()))


def _is_unprepared(row: Mapping[str, Any]) -> bool:
    return max(row["prepared_revision"], row["applied_revision"]) < row["wanted_revision"]


def part_of(row: Mapping[str, Any]) -> str:
    """Return the part of a plan that a host was sent last; empty if it is not known.

    A server of the previous release sends plans and does not record parts.
    """
    is_latest = row["part_revision"] == row["wanted_revision"]
    return row["part"] or "" if is_latest else ""


def _is_doubtful(row: Mapping[str, Any]) -> bool:
    """Tell whether it is not known which part of a plan a host has."""
    return not part_of(row)


def _new_rows(
    records: Mapping[str, PlanRecord],
    known: _Rows,
    changes: Mapping[str, HostChanges],
    quiet: Collection[str],
) -> list[dict[str, Any]]:
    return [
        _new_row(records[chain_id], host, known[chain_id].get(host), chain_id in quiet)
        for chain_id, change in changes.items()
        for host in sorted(change.notify)
    ]


def _replace_rows(
    session: Any,
    known: _Rows,
    changes: Mapping[str, HostChanges],
    rows: Sequence[dict[str, Any]],
) -> None:
    obsolete: list[Any] = []
    for chain_id, change in changes.items():
        before = known[chain_id]
        gone = sorted((change.notify.keys() & before.keys()) | change.removed)
        if gone:
            obsolete.append(sa.and_(ChainHost.chain_id == chain_id, ChainHost.host.in_(gone)))
    if obsolete:
        session.execute(
            sa.delete(ChainHost)
            .where(sa.or_(*obsolete))
            .execution_options(synchronize_session=False)
        )
    if rows:
        session.execute(sa.insert(ChainHost), rows)


def _new_row(
    plan: PlanRecord, host: str, before: Mapping[str, Any] | None, quiet: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "prepared_revision": 0,
        "applied_revision": 0,
        "error": "",
        "warning": "",
        **(before or {}),
        "chain_id": plan.chain_id,
        "host": host,
        "wanted_revision": plan.revision,
        "missing": "",
        "gets_packets": host in plan.packet_hosts,
        "part": plan.parts[host],
        "part_revision": plan.revision,
    }
    if before is None:
        return row
    if before["wanted_revision"] >= plan.revision:
        # Two contents have one revision: the host keeps that which it hears of last.
        row |= {"wanted_revision": before["wanted_revision"], "part_revision": -1}
    if quiet and before["applied_revision"] >= before["wanted_revision"]:
        # The snapshot may have had a port whose change is about to be planned, and confirmed.
        row |= {"applied_revision": plan.revision, "part_revision": -1}
    return row


@db_api.retry_if_session_inactive()
def parts_on(context: Any, host: str, chain_ids: Collection[str]) -> dict[str, tuple[int, str]]:
    """Return what a host was sent last of some chains.

    :return: chain id -> the revision, and the text of the part; empty if that is not known.
    """
    columns = (
        ChainHost.chain_id,
        ChainHost.wanted_revision,
        ChainHost.part,
        ChainHost.part_revision,
    )
    query = sa.select(*columns).where(ChainHost.host == host, ChainHost.chain_id.in_(chain_ids))
    if not chain_ids:
        return {}
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(query).mappings().all()
    return {row["chain_id"]: (row["wanted_revision"], part_of(row)) for row in rows}


@db_api.retry_if_session_inactive()
def forget_parts(context: Any, host: str, revisions: Mapping[str, int]) -> None:
    """Note that a host gets another part of chains than what is recorded.

    It is notified of the next plan whatever that says.

    :param revisions: chain id -> the revision of what it gets.
    """
    if not revisions:
        return
    sent = sa.case(revisions, value=ChainHost.chain_id)
    with db_api.CONTEXT_WRITER.using(context) as session:
        _lock(session, revisions)
        # The next plan is recorded for all hosts.
        session.execute(
            sa.update(PortChain)
            .where(PortChain.id.in_(sorted(revisions)))
            .values(common_part="")
            .execution_options(synchronize_session=False)
        )
        session.execute(
            sa.update(ChainHost)
            .where(ChainHost.host == host, ChainHost.chain_id.in_(sorted(revisions)))
            .values(
                part_revision=-1,
                wanted_revision=sa.case(
                    (ChainHost.wanted_revision < sent, sent), else_=ChainHost.wanted_revision
                ),
            )
            .execution_options(synchronize_session=False)
        )
