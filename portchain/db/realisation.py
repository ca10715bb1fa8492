"""The progress of each chain's realisation: what hosts were sent and what they have confirmed.

Every function runs in the caller's transaction or in one of its own, with a constant number of
queries. Calls may be repeated, late or out of order: anything older than what is stored is ignored.

Each host of a chain has a row with three revisions of the chain:

* ``wanted_revision``: the latest plan that was sent to the host;
* ``prepared_revision``: the host accepts packets that follow this plan;
* ``applied_revision``: the host also sends packets that follow this plan.
"""

import datetime
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_log import log as logging
from oslo_utils import timeutils
from sqlalchemy import orm

from portchain.core.model import HostReport
from portchain.db.models import ChainHost, PortChain, PortEvent
from portchain.db.sent_plans import shortened

LOG = logging.getLogger(__name__)


@db_api.retry_if_session_inactive()
def record_reports(
    context: Any, host: str, reports: Sequence[HostReport]
) -> dict[str, list[tuple[str, int]]]:
    """Record a host's reports about its part of chains.

    :param reports: at most one for each chain. A report is ignored if the host takes no part in the
        chain, has applied a later revision, or cannot have been sent the revision yet. Otherwise
        one wrong report would make every later one look old.
    :return: host -> pairs of a chain id and a revision to which the host can switch now: every host
        of the chain is prepared, and this one has not applied the revision yet.
    """
    if not reports:
        return {}
    ids = [report.chain_id for report in reports]
    with db_api.CONTEXT_WRITER.using(context):
        session = context.session
        # If two hosts report at once, the second must see what the first has written.
        chains = sa.select(PortChain.id, PortChain.revision).where(PortChain.id.in_(ids))
        locked = chains.order_by(PortChain.id).with_for_update()
        newest: dict[str, int] = dict(session.execute(locked).all())
        own_rows = sa.select(ChainHost).where(ChainHost.host == host, ChainHost.chain_id.in_(ids))
        rows = {row.chain_id: row for row in session.scalars(own_rows)}
        prepared: list[ChainHost] = []  # for the revision that they were sent last
        newly: set[str] = set()  # the chains for which they were not before
        for report in reports:
            row = rows.get(report.chain_id)
            if row is None or not _is_expected(row, report, newest.get(report.chain_id, 0)):
                continue
            was_prepared = _is_prepared(row)
            _record_report(row, report)
            if not (report.error or report.missing) and _is_prepared(row):
                prepared.append(row)
                newly |= set() if was_prepared else {row.chain_id}
        session.flush()
        return _ready(session, prepared, newly)


def _is_expected(row: ChainHost, report: HostReport, newest: int) -> bool:
    """Tell whether a report is neither older than another one nor about what was never sent.

    :param newest: the chain's present revision. The answer to a host's request for changes can
        contain it before it is recorded that the host was sent it.
    """
    if report.revision <= max(newest, row.wanted_revision):
        # A host that restarts may be sent an older revision than it had, if nothing has changed.
        return report.revision >= min(row.applied_revision, row.wanted_revision)
    LOG.warning(
        "Host %s reports revision %s of port chain %s, which it was never sent; ignoring it",
        row.host,
        report.revision,
        report.chain_id,
    )
    return False


def _record_report(row: ChainHost, report: HostReport) -> None:
    """Write a report to its host's row."""
    row.error, row.missing, row.warning = report.error, report.missing, shortened(report.warning)
    if report.error or report.missing:
        return
    row.prepared_revision = report.revision
    if not report.prepared:
        row.applied_revision = report.revision


def _is_prepared(row: ChainHost) -> bool:
    return max(row.prepared_revision, row.applied_revision) >= row.wanted_revision


def _ready(
    session: Any, prepared: Sequence[ChainHost], newly: Collection[str]
) -> dict[str, list[tuple[str, int]]]:
    """Return which hosts can switch to which revisions of chains.

    The last host to become prepared lets all of them switch. A host that repeats its report gets
    the same answer again.

    :param prepared: the rows of a host that is prepared.
    :param newly: the chains for which it was not before its report.
    """
    if not prepared:
        return {}
    complete = set(session.scalars(_fully_prepared(row.chain_id for row in prepared)))
    ready: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in prepared:
        is_behind = row.applied_revision < row.wanted_revision
        if is_behind and row.chain_id in complete and row.chain_id not in newly:
            ready[row.host].append((row.chain_id, row.wanted_revision))
    finished = sorted(complete.intersection(newly))
    query = sa.select(ChainHost.host, ChainHost.chain_id, ChainHost.wanted_revision).where(
        ChainHost.chain_id.in_(finished), ChainHost.applied_revision < ChainHost.wanted_revision
    )
    for host, chain_id, revision in session.execute(query) if finished else ():
        ready[host].append((chain_id, revision))
    return ready


def _fully_prepared(chain_ids: Iterable[str]) -> sa.Select[str]:
    """Return the query for those of some chains whose hosts are all prepared.

    For each chain, the database reads one entry of an index, however many hosts the chain has.
    """
    unprepared = _first_unprepared(PortChain.id)
    return sa.select(PortChain.id).where(PortChain.id.in_(sorted(chain_ids)), unprepared.is_(None))


def _first_unprepared(chain_id: Any) -> Any:
    """Return the subquery for one host of a chain that is not prepared, by an index.

    :param chain_id: column of the query around it.
    """
    other = orm.aliased(ChainHost)
    query = sa.select(other.host).where(other.chain_id == chain_id, other.unprepared == sa.true())
    return query.limit(1).scalar_subquery()


@db_api.retry_if_session_inactive()
def mark_failed(context: Any, chain_ids: Iterable[str], reason: str) -> None:
    """Record that chains could not be realised; the repair worker tries them again.

    :param reason: the cause, as users see it in ``status_reason``.
    """
    with db_api.CONTEXT_WRITER.using(context):
        context.session.execute(
            sa.update(PortChain)
            .where(PortChain.id.in_(list(chain_ids)))
            .values(failure=shortened(reason), touched_at=timeutils.utcnow())
            .execution_options(synchronize_session=False)
        )


@db_api.retry_if_session_inactive()
def mark_realised(
    context: Any, revisions: Iterable[tuple[str, int]], digests: Mapping[str, str] | None = None
) -> None:
    """Record that the drivers have accepted these revisions of chains.

    :param revisions: pairs of a chain id and a revision.
    :param digests: chain id -> digest of the accepted snapshot (`portchain.db.drift`).
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


def advance(session: Any, chain_ids: Sequence[str]) -> None:
    """Give chains a new revision that changes nothing that their status depends on.

    Where the present revision is realised, the new one counts as realised, too. So chains stay
    ACTIVE. They must be planned now; if this server ends before, the periodic comparison finds them
    (`portchain.db.drift`).
    """
    chain = PortChain
    # MariaDB assigns from left to right, so that each value must be read before it is changed.
    session.execute(
        sa.update(chain)
        .where(chain.id.in_(chain_ids))
        .ordered_values(
            (chain.realised_revision, _one_more_if(chain.realised_revision, chain.revision)),
            (chain.revision, chain.revision + 1),
            (chain.realised_digest, ""),
            (chain.touched_at, timeutils.utcnow()),
        )
        .execution_options(synchronize_session=False)
    )


def _one_more_if(revision: Any, latest: Any) -> Any:
    """Return the revision that follows, for a revision that is the latest one."""
    return sa.case((revision == latest, revision + 1), else_=revision)


def project_of(context: Any, chain_id: str) -> str | None:
    """Return the project that owns a chain; None if the chain does not exist."""
    with db_api.CONTEXT_READER.using(context):
        query = sa.select(PortChain.project_id).where(PortChain.id == chain_id)
        owner: str | None = context.session.scalar(query)
    return owner


def hosts_of(context: Any, chain_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the hosts of the last plan of each chain; chains without hosts are left out."""
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
    """Return the ids of the chains in which a host takes part, or is about to."""
    tables = (ChainHost, PortEvent)
    queries = (sa.select(table.chain_id).where(table.host == host) for table in tables)
    with db_api.CONTEXT_READER.using(context):
        return list(context.session.scalars(sa.union(*queries)))


def expected_on(context: Any, host: str) -> dict[str, int]:
    """Return the chains in which a host takes part, with the revision that it was last sent."""
    query = sa.select(ChainHost.chain_id, ChainHost.wanted_revision).where(ChainHost.host == host)
    with db_api.CONTEXT_READER.using(context):
        return dict(context.session.execute(query).all())


def applied(context: Any, chain_ids: Iterable[str]) -> dict[str, int]:
    """Return the last planned revision of those chains whose hosts have all applied it."""
    ids = list(chain_ids)
    behind = sa.select(ChainHost.chain_id).where(
        ChainHost.chain_id == PortChain.id, ChainHost.applied_revision < ChainHost.wanted_revision
    )
    query = sa.select(PortChain.id, PortChain.realised_revision).where(
        PortChain.id.in_(ids), ~behind.exists()
    )
    if not ids:
        return {}
    with db_api.CONTEXT_READER.using(context) as session:
        return {row.id: row.realised_revision for row in session.execute(query)}


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A revision of a chain that a host has not confirmed.

    :param missing: what the host waits for, by its last report; empty if it has not said.
    """

    host: str
    chain_id: str
    revision: int
    missing: str


def unconfirmed(context: Any, hosts: Container[str]) -> list[Unconfirmed]:
    """Return what some hosts have not confirmed yet.

    Cheap enough to be called every second: confirmed rows are not read.
    """
    with db_api.CONTEXT_READER.using(context):
        found = [Unconfirmed(*row) for row in context.session.execute(_unconfirmed())]
    return [item for item in found if item.host in hosts]


def _unconfirmed() -> Any:
    return sa.select(
        ChainHost.host, ChainHost.chain_id, ChainHost.wanted_revision, ChainHost.missing
    ).where(ChainHost.unconfirmed == sa.true())


def ready_on(context: Any, host: str) -> list[tuple[str, int]]:
    """Return the revisions to which a host can switch: every host of the chain is prepared.

    :return: pairs of a chain id and a revision that this host has not applied yet.
    """
    row = orm.aliased(ChainHost)
    query = sa.select(row.chain_id, row.wanted_revision).where(
        row.host == host,
        row.unconfirmed == sa.true(),
        row.applied_revision < row.wanted_revision,
        _first_unprepared(row.chain_id).is_(None),
    )
    with db_api.CONTEXT_READER.using(context):
        return [(chain_id, revision) for chain_id, revision in context.session.execute(query)]


def realised(context: Any, after: str, limit: int) -> dict[str, tuple[int, str]]:
    """Return one page of the chains that are realised in their present revision.

    :param after: return chains with greater ids than this.
    :param limit: the size of the page.
    :return: chain id -> revision, and digest of the snapshot from which it was realised.
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
    """Return the ids of chains whose present revision the drivers have not accepted.

    The chain that was left alone for longest comes first.

    :param limit: return at most so many.
    :param older_than: leave out chains that were changed or tried within so many seconds.
    """
    before = timeutils.utcnow() - datetime.timedelta(seconds=older_than)
    with db_api.CONTEXT_READER.using(context):
        return list(context.session.scalars(_unrealised(before).limit(limit)))


def _unrealised(before: datetime.datetime) -> Any:
    return (
        sa.select(PortChain.id)
        .where(PortChain.unrealised == sa.true(), PortChain.touched_at <= before)
        .order_by(PortChain.touched_at)
    )
