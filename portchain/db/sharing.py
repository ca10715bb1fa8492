"""Connects port pair groups with Neutron's RBAC policies, by which a group is shared.

Neutron finds these classes by their base classes, and its own code checks and stores the policies.
It refuses (409) to remove a policy while a chain of the target project uses the group.
"""

from typing import Any

import sqlalchemy as sa
from neutron.objects import base, rbac, rbac_db
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.objects import common_types
from oslo_versionedobjects import fields

from portchain.db import models


@base.NeutronObjectRegistry.register
class PortPairGroupRBAC(rbac.RBACBaseObject):
    """An RBAC policy that shares a group with a project, or with all projects."""

    VERSION = "1.0"
    db_model = models.PortPairGroupRBAC


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
        chain, link, group = models.PortChain, models.ChainGroup, models.PortPairGroup
        query = (
            sa.select(chain.project_id)
            .join(link, link.chain_id == chain.id)
            .join(group, group.id == link.group_id)
            .where(group.id == obj_id, chain.project_id != group.project_id)
        )
        return set(context.session.scalars(query))


def keep_policies_in_use() -> None:
    """Refuse changes of policies that chains rely on. Repeated calls are harmless.

    Neutron's metaclass subscribes the same check when it creates the class, but the callback
    registry may have been cleared since.
    """
    for event in (events.BEFORE_CREATE, events.BEFORE_UPDATE, events.BEFORE_DELETE):
        registry.subscribe(PortPairGroup.validate_rbac_policy_change, resources.RBAC_POLICY, event)


def is_shared_with(row: models.PortPairGroup, project_id: str | None) -> bool:
    """Return whether a policy shares a group with a project."""
    return any(entry.target_project in ("*", project_id) for entry in row.rbac_entries)
