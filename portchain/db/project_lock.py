"""Requests that could break a rule together take turns.

Whether classifiers overlap, and what a group's or a graph's chains have in common, is seen by reading rows
that other servers may be writing; no constraint of the database says it. Such requests of one project
wait for each other at a row of the project. A turn is taken before anything else is read: the
database then shows what was committed by those before.
"""

from typing import Any

import sqlalchemy as sa

from portchain.db.lookup import Resource
from portchain.db.models import ProjectLock


def acquire(session: Any, project_id: str) -> None:
    """Wait until no other transaction has the project's turn, and keep it until this one ends."""
    query = (
        sa.select(ProjectLock.project_id)
        .where(ProjectLock.project_id == project_id)
        .with_for_update()
    )
    if session.scalar(query) is None:
        # Of two that are first, one is told of the other's row or of a deadlock, and runs again.
        session.execute(sa.insert(ProjectLock).values(project_id=project_id))


def acquire_for(session: Any, resource: Resource, an_id: str) -> None:
    """Take the turn of the project that a row belongs to, if there is such a row."""
    row = resource.model
    owner = session.scalar(sa.select(row.project_id).where(row.id == an_id).with_for_update())
    if owner is not None:
        acquire(session, owner)
