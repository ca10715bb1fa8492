"""The rows of traces."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api
from oslo_utils import timeutils

from portchain.core.model import TracePhase
from portchain.db import models

_MOST_DELETED = 1000
_LIVE_SECONDS = 60
"""No trace takes longer: hosts are asked one after the other for 20 s at most, and then watch."""


@dataclass(frozen=True, slots=True)
class TraceResult:
    """What a trace has found out.

    :param outcome: how the packet's way ends; empty if that is not known.
    :param reason: of the outcome.
    :param steps: as the API shows them.
    """

    phase: TracePhase
    outcome: str = ""
    reason: str = ""
    steps: Sequence[Mapping[str, Any]] = ()


def add(session: Any, values: dict[str, Any], lifetime: int) -> None:
    """Add the row of a trace that begins now.

    :param values: what the request says, by the names of the columns.
    :param lifetime: seconds after which the trace is deleted.
    """
    expires = timeutils.utcnow() + datetime.timedelta(seconds=lifetime)
    session.add(
        models.Trace(
            **values,
            phase=str(TracePhase.RUNNING),
            outcome="",
            reason="",
            steps=[],
            expires_at=expires,
        )
    )
    session.flush()


def is_live_now(session: Any, port_id: str, lifetime: int) -> bool:
    """Return whether a live trace of a port is under way.

    One whose server has ended meanwhile counts for ``_LIVE_SECONDS``.

    :param lifetime: of traces, in seconds.
    """
    since = timeutils.utcnow() + datetime.timedelta(seconds=lifetime - _LIVE_SECONDS)
    table = models.Trace
    running = table.phase == str(TracePhase.RUNNING)
    query = sa.select(table.id).where(
        table.port_id == port_id, table.live, running, table.expires_at > since
    )
    return session.scalar(query.limit(1)) is not None


def count_running(session: Any, project_id: str, lifetime: int) -> int:
    """Return how many traces of a project are under way.

    :param lifetime: as for ``is_live_now``, for the same reason.
    """
    since = timeutils.utcnow() + datetime.timedelta(seconds=lifetime - _LIVE_SECONDS)
    table = models.Trace
    running = table.phase == str(TracePhase.RUNNING)
    query = sa.select(sa.func.count(table.id)).where(
        table.project_id == project_id, running, table.expires_at > since
    )
    return int(session.scalar(query))


@db_api.retry_if_session_inactive()
def finish(context: Any, trace_id: str, result: TraceResult) -> None:
    """Record what a trace has found out. Does nothing if the trace has been deleted meanwhile."""
    with db_api.CONTEXT_WRITER.using(context) as session:
        row = session.get(models.Trace, trace_id)
        if row is not None:
            row.phase, row.outcome = str(result.phase), result.outcome
            row.reason, row.steps = result.reason, list(result.steps)


@db_api.retry_if_session_inactive()
def delete_expired(context: Any) -> None:
    """Delete traces whose time is over."""
    table = models.Trace
    query = sa.select(table).where(table.expires_at < timeutils.utcnow()).limit(_MOST_DELETED)
    with db_api.CONTEXT_WRITER.using(context) as session:
        for row in session.scalars(query).all():
            session.delete(row)
