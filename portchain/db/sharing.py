"""Connects port pair groups with Neutron's RBAC policies, by which a group is shared.

Neutron finds these classes by their base classes, and its own code checks and stores the policies.
It refuses (409) to remove a policy while a chain of the target project uses the group.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from neutron.extensions import rbac as rbac_exc
from neutron.objects import base, rbac, rbac_db
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.objects import common_types
from oslo_versionedobjects import fields

from portchain.db import models, project_lock


@base.NeutronObjectRegistry.register
class PortPairGroupRBAC(rbac.RBACBaseObject):
    """An RBAC policy that shares a group with a project, or with all projects."""

    VERSION = "1.0"
    db_model = models.PortPairGroupRBAC

    def create(self) -> None:
        """Store the policy and, once it is committed, publish that a group is shared.

        Neutron publishes the deletion of policies only.
        """
        super().create()
        payload = events.DBEventPayload(
            self.obj_context,
            states=(self.to_dict(),),
            resource_id=self.id,
            metadata={"object_type": self.db_model.object_type},
        )

        def publish(_session: Any) -> None:
            registry.publish(resources.RBAC_POLICY, events.AFTER_CREATE, self, payload=payload)

        sa.event.listen(self.obj_context.session, "after_commit", publish, once=True)

    def update(self) -> None:
        """Change the policy.

        :raises RbacPolicyInUse: a chain that began to use the group meanwhile would lose it.
        """
        with _keeping_groups_of_chains(self.obj_context, self.object_id):
            super().update()

    def delete(self) -> None:
        """Delete the policy.

        :raises RbacPolicyInUse: as for `update`.
        """
        with _keeping_groups_of_chains(self.obj_context, self.object_id):
            super().delete()


@contextmanager
def _keeping_groups_of_chains(context: Any, group_id: str) -> Iterator[None]:
    """Run a change of a group's policies, and undo it if a chain would lose the group.

    Neutron checks that before its transaction. A chain can be created in between, so this checks
    again, under the lock that a request about such a chain holds.

    :raises RbacPolicyInUse: a chain would lose the group.
    """
    with db_api.CONTEXT_WRITER.using(context):
        project_lock.acquire_for_group(context.session, group_id)
        before = projects_without_policy(context.session, group_id)
        yield
        lost = projects_without_policy(context.session, group_id) - before
        if lost:
            raise rbac_exc.RbacPolicyInUse(
                object_id=group_id, details=f"project_id={', '.join(sorted(lost))}"
            )


def projects_without_policy(session: Any, group_id: str) -> set[str]:
    """Return the projects whose chains use a group that no policy shares with them."""
    policy = models.PortPairGroupRBAC
    targets = sa.select(policy.target_project).where(policy.object_id == group_id)
    allowed = set(session.scalars(targets))
    return set() if "*" in allowed else _projects_using(session, group_id) - allowed


def remove_policies(session: Any, group_id: str, target: str) -> bool:
    """Remove the policies that share a group with a project, or with all; tell if there were any.

    :param target: a project's id; ``*`` removes all policies of the group.
    """
    policy = models.PortPairGroupRBAC
    wanted = [policy.object_id == group_id]
    if target != "*":
        wanted.append(policy.target_project == target)
    rows = session.scalars(sa.select(policy).where(*wanted)).all()
    for row in rows:
        session.delete(row)
    session.flush()
    return bool(rows)


def _projects_using(session: Any, group_id: str) -> set[str]:
    """Return the other projects whose chains use a group."""
    chain, link, group = models.PortChain, models.ChainGroup, models.PortPairGroup
    query = (
        sa.select(chain.project_id)
        .join(link, link.chain_id == chain.id)
        .join(group, group.id == link.group_id)
        .where(group.id == group_id, chain.project_id != group.project_id)
    )
    return set(session.scalars(query))


@base.NeutronObjectRegistry.register
class PortPairGroup(rbac_db.NeutronRbacObject):
    """A port pair group, with the fields that Neutron's RBAC code needs."""

    VERSION = "1.0"
    rbac_db_cls = PortPairGroupRBAC
    db_model = models.PortPairGroup
    fields = {  # noqa: RUF012 - the base class reads it
        "id": common_types.UUIDField(),
        "project_id": fields.StringField(nullable=True),
        "name": fields.StringField(nullable=True),
        "shared": fields.BooleanField(default=False),
    }

    @classmethod
    @db_api.CONTEXT_READER
    def get_bound_project_ids(cls, context: Any, obj_id: str) -> set[str]:
        """Return the other projects whose chains use a group."""
        return _projects_using(context.session, obj_id)


def keep_policies_in_use() -> None:
    """Refuse changes of policies that chains rely on. Repeated calls are harmless.

    Neutron's metaclass subscribes the same check when it creates the class, but the callback
    registry may have been cleared since.
    """
    for event in (events.BEFORE_CREATE, events.BEFORE_UPDATE, events.BEFORE_DELETE):
        registry.subscribe(PortPairGroup.validate_rbac_policy_change, resources.RBAC_POLICY, event)


def is_shared(session: Any, group_id: str, project_id: str) -> bool:
    """Return whether a policy shares a group with a project."""
    policy = models.PortPairGroupRBAC
    query = sa.select(policy.id).where(
        policy.object_id == group_id, policy.target_project.in_(("*", project_id))
    )
    return session.scalar(query) is not None


def is_shared_with(row: models.PortPairGroup, project_id: str | None) -> bool:
    """Return whether a policy shares a group with a project."""
    return any(entry.target_project in ("*", project_id) for entry in row.rbac_entries)
