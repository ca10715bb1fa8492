"""How far chains are realised: what each host was told and what it confirmed.

Every function runs in a transaction of its own (or in the caller's), in a constant number of
queries, and may be called twice, late or out of order: what is older than what is stored is
ignored.
"""

import datetime
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_utils import timeutils
from sqlalchemy import orm

from portchain.core.model import HostReport
from portchain.db.models import REASON_SIZE, ChainHost, PortChain


@db_api.retry_if_session_inactive()
def record_plan(
    context: Any,
    chain_id: str,
    revision: int,
    hosts: Iterable[str],
    *,
    down_reason: str = "",
    warning: str = "",
) -> bool:
    """Note what is being told to hosts about a chain.

    Hosts no longer involved are forgotten; those still involved keep what they confirmed, and their
    errors until they report again.

    :param revision: the chain's revision the hosts are told about.
    :param down_reason: why the chain cannot carry traffic even then, empty if it can.
    :param warning: what is amiss although it can, empty if nothing is.
    :return: False if a newer revision has been noted already or the chain is gone; nothing is
        written then.
    """
    wanted = set(hosts)
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        updated = session.execute(
            sa.update(PortChain)
            .where(PortChain.id == chain_id, PortChain.realised_revision <= revision)
            .values(
                realised_revision=revision,
                down_reason=_short(down_reason),
                warning=_short(warning),
                touched_at=timeutils.utcnow(),
            )
            .execution_options(synchronize_session=False)
        )
        if not updated.rowcount:
            return False
        of_chain = ChainHost.chain_id == chain_id
        known = set(session.scalars(sa.select(ChainHost.host).where(of_chain)))
        session.execute(sa.delete(ChainHost).where(of_chain, ChainHost.host.not_in(wanted)))
        session.execute(
            sa.update(ChainHost).where(of_chain).values(wanted_revision=revision, missing="")
        )
        _add_hosts(session, chain_id, revision, wanted - known)
    return True


def _short(reason: str) -> str:
    """A reason as long as one reads, and as the tables can hold: it may name hundreds of ports."""
    return reason if len(reason) <= REASON_SIZE else f"{reason[: REASON_SIZE - 4]} ..."


def _add_hosts(session: Any, chain_id: str, revision: int, hosts: set[str]) -> None:
    rows = [
        {
            "chain_id": chain_id,
            "host": host,
            "wanted_revision": revision,
            "prepared_revision": 0,
            "applied_revision": 0,
            "error": "",
            "missing": "",
        }
        for host in sorted(hosts)
    ]
    if rows:
        session.execute(sa.insert(ChainHost), rows)


@db_api.retry_if_session_inactive()
def record_reports(
    context: Any, host: str, reports: Sequence[HostReport]
) -> dict[str, list[tuple[str, int]]]:
    """Note what a host says it has done.

    :param reports: at most one per chain. Chains unknown or not wanted on the host are ignored, and
        so are revisions older than one applied before.
    :return: host -> chains, with their revisions, that all hosts are prepared for as of now and that
        it has not applied yet: it can switch.
    """
    if not reports:
        return {}
    ids = [report.chain_id for report in reports]
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        # Of two hosts that report at a time, the second must see what the first has written.
        locked = sa.select(PortChain.id).where(PortChain.id.in_(ids)).order_by(PortChain.id)
        session.execute(locked.with_for_update())
        rows: dict[str, dict[str, ChainHost]] = defaultdict(dict)
        for row in session.scalars(sa.select(ChainHost).where(ChainHost.chain_id.in_(ids))):
            rows[row.chain_id][row.host] = row
        ready: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for report in reports:
            of_chain = rows[report.chain_id]
            for waiting in _note(of_chain, host, report):
                ready[waiting.host].append((waiting.chain_id, waiting.wanted_revision))
    return ready


def _note(rows: Mapping[str, ChainHost], host: str, report: HostReport) -> list[ChainHost]:
    """Take a report into the rows of its chain; return those of the hosts that can switch now."""
    row = rows.get(host)
    if row is None or report.revision < row.applied_revision:
        return []
    missing_before = [other for other in rows.values() if not _is_prepared(other)]
    row.error, row.missing = report.error, report.missing
    if report.error or report.missing:
        return []
    row.prepared_revision = report.revision
    if not report.prepared:
        row.applied_revision = report.revision
    if not all(map(_is_prepared, rows.values())):
        return []
    # The last one to be prepared sets all of them going; one that says it again hears it again.
    candidates = rows.values() if missing_before else [row]
    return [each for each in candidates if each.applied_revision < each.wanted_revision]


def _is_prepared(row: ChainHost) -> bool:
    return max(row.prepared_revision, row.applied_revision) >= row.wanted_revision


@db_api.retry_if_session_inactive()
def mark_failed(context: Any, chain_ids: Iterable[str], reason: str) -> None:
    """Note that a driver could not carry out chains; they are tried again later."""
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(
            sa.update(PortChain)
            .where(PortChain.id.in_(list(chain_ids)))
            .values(failure=_short(reason), touched_at=timeutils.utcnow())
            .execution_options(synchronize_session=False)
        )


@db_api.retry_if_session_inactive()
def mark_realised(
    context: Any, revisions: Iterable[tuple[str, int]], digests: Mapping[str, str] | None = None
) -> None:
    """Note that all drivers have accepted these revisions of chains.

    :param revisions: pairs of chain id and revision.
    :param digests: chain id -> digest of the snapshot that the drivers were given.
    """
    wanted: dict[int, list[str]] = defaultdict(list)
    for chain_id, revision in revisions:
        wanted[revision].append(chain_id)
    if not wanted:
        return
    accepted = sa.or_(
        *(
            sa.and_(PortChain.id.in_(ids), PortChain.revision >= revision)
            for revision, ids in wanted.items()
        )
    )
    now_realised = sa.case(
        *((PortChain.id.in_(ids), revision) for revision, ids in wanted.items()), else_=0
    )
    digest = sa.case(digests, value=PortChain.id, else_="") if digests else ""
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(
            sa.update(PortChain)
            .where(accepted, PortChain.realised_revision <= now_realised)
            .values(
                realised_revision=now_realised,
                failure="",
                realised_digest=digest,
                touched_at=timeutils.utcnow(),
            )
            .execution_options(synchronize_session=False)
        )


def hosts_of(context: Any, chain_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the hosts that were last told about each chain; chains with none are left out."""
    found: dict[str, set[str]] = defaultdict(set)
    with db_api.CONTEXT_READER.using(context):
        for chain_id, host in context.session.execute(
            sa.select(ChainHost.chain_id, ChainHost.host).where(
                ChainHost.chain_id.in_(list(chain_ids))
            )
        ):
            found[chain_id].add(host)
    return {chain_id: frozenset(names) for chain_id, names in found.items()}


def chains_on(context: Any, host: str) -> list[str]:
    """Return the chains that a host takes part in."""
    with db_api.CONTEXT_READER.using(context):
        query = sa.select(ChainHost.chain_id).where(ChainHost.host == host)
        return list(context.session.scalars(query))


def expected_on(context: Any, host: str) -> dict[str, int]:
    """Return the revision of each chain that a host should have."""
    query = sa.select(ChainHost.chain_id, ChainHost.wanted_revision).where(ChainHost.host == host)
    with db_api.CONTEXT_READER.using(context):
        return dict(context.session.execute(query).all())


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What a host has yet to confirm.

    :param missing: what it said last that it waits for; empty if it said nothing.
    """

    host: str
    chain_id: str
    revision: int
    missing: str


def unconfirmed(context: Any, hosts: Container[str]) -> list[Unconfirmed]:
    """Return what some hosts have yet to confirm of the chains in which they take part.

    It may be called every second: what is confirmed, on however many hosts, is not read.
    """
    with db_api.CONTEXT_READER.using(context):
        found = [Unconfirmed(*row) for row in context.session.execute(_unconfirmed())]
    return [item for item in found if item.host in hosts]


def _unconfirmed() -> Any:
    return sa.select(
        ChainHost.host, ChainHost.chain_id, ChainHost.wanted_revision, ChainHost.missing
    ).where(ChainHost.unconfirmed == sa.true())


def ready_on(context: Any, host: str) -> list[tuple[str, int]]:
    """Return the chains, with their revisions, that a host has not applied and all are prepared for."""
    of_host, other = orm.aliased(ChainHost), orm.aliased(ChainHost)
    prepared = sa.case(
        (other.prepared_revision > other.applied_revision, other.prepared_revision),
        else_=other.applied_revision,
    )
    unprepared = sa.select(other.chain_id).where(
        other.chain_id == of_host.chain_id, prepared < other.wanted_revision
    )
    query = sa.select(of_host.chain_id, of_host.wanted_revision).where(
        of_host.host == host,
        of_host.applied_revision < of_host.wanted_revision,
        ~unprepared.exists(),
    )
    with db_api.CONTEXT_READER.using(context):
        return [(chain_id, revision) for chain_id, revision in context.session.execute(query)]


def realised(context: Any, after: str, limit: int) -> dict[str, tuple[int, str]]:
    """Return chains that are realised as they stand: id -> revision, and digest of what they were realised from.

    :param after: those with greater ids, of which the ``limit`` first.
    """
    with db_api.CONTEXT_READER.using(context):
        rows = context.session.execute(
            sa.select(PortChain.id, PortChain.revision, PortChain.realised_digest)
            .where(
                PortChain.id > after,
                PortChain.realised_revision == PortChain.revision,
                PortChain.failure == "",
            )
            .order_by(PortChain.id)
            .limit(limit)
        )
        return {row.id: (row.revision, row.realised_digest) for row in rows}


def unrealised(context: Any, limit: int, older_than: float = 0) -> list[str]:
    """Return chains that drivers have not accepted in their present revision, the longest untouched
    first.

    :param limit: at most so many.
    :param older_than: seconds since a chain was changed or last tried.
    """
    before = timeutils.utcnow() - datetime.timedelta(seconds=older_than)
    with db_api.CONTEXT_READER.using(context):
        return list(
            context.session.scalars(
                sa.select(PortChain.id)
                .where(
                    sa.or_(
                        PortChain.realised_revision < PortChain.revision, PortChain.failure != ""
                    ),
                    PortChain.touched_at <= before,
                )
                .order_by(PortChain.touched_at)
                .limit(limit)
            )
        )
