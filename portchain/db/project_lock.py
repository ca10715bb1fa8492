"""A lock for each project, for requests whose rules read other rows.

Some rules compare a request with rows that another server may be writing at the same moment:
whether classifiers overlap, and what the chains of a group or of a graph have in common. No
database constraint can express these rules. Such requests of one project therefore wait for each
other at a row of the project. A request acquires the lock before it reads anything else, so that
it sees what the requests before it have committed.
"""

from typing import Any

import sqlalchemy as sa

from portchain.db.lookup import Resource
from portchain.db.models import ProjectLock


def acquire(session: Any, project_id: str) -> None:
    """Wait for the project's lock and hold it until the transaction ends."""
    row = sa.select(ProjectLock.project_id).where(ProjectLock.project_id == project_id)
    if session.scalar(row.with_for_update()) is None:
        # If two requests of a new project get here at once, the database refuses one of them with a
        # duplicate key or a deadlock, and Neutron runs that request again.
        session.execute(sa.insert(ProjectLock).values(project_id=project_id))


def acquire_for(session: Any, resource: Resource, resource_id: str) -> None:
    """Acquire the lock of the project that owns a resource, if the resource exists."""
    table = resource.model
    query = sa.select(table.project_id).where(table.id == resource_id)
    owner = session.scalar(query.with_for_update())
    if owner is not None:
        acquire(session, owner)
