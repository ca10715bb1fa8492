"""Port pair groups for Neutron's RBAC policies: whom a group is shared with, and who uses it.

Neutron finds the classes by their bases. Its own code checks policies and keeps them; a policy that
somebody relies on is kept (409).
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
    """A policy that shares a group."""

    VERSION = "1.0"
    db_model = models.PortPairGroupRBAC


@base.NeutronObjectRegistry.register
class PortPairGroup(rbac_db.NeutronRbacObject):
    """A group, as far as sharing goes."""

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
        """Return the projects whose chains use a group that is not theirs."""
        chain, link, group = models.PortChain, models.ChainGroup, models.PortPairGroup
        query = (
            sa.select(chain.project_id)
            .join(link, link.chain_id == chain.id)
            .join(group, group.id == link.group_id)
            .where(group.id == obj_id, chain.project_id != group.project_id)
        )
        return set(context.session.scalars(query))


def keep_policies_in_use() -> None:
    """Have changes of policies checked; harmless when repeated.

    Neutron's metaclass does it too, when the class is made: for a registry that somebody may have
    cleared since.
    """
    for event in (events.BEFORE_CREATE, events.BEFORE_UPDATE, events.BEFORE_DELETE):
        registry.subscribe(PortPairGroup.validate_rbac_policy_change, resources.RBAC_POLICY, event)


def shared_with(row: models.PortPairGroup, project_id: str | None) -> bool:
    """Tell whether a group's policies share it with a project."""
    return any(entry.target_project in ("*", project_id) for entry in row.rbac_entries)
