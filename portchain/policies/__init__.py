"""Default policies: members of a project manage its resources, and readers see them."""

from oslo_log import log
from oslo_policy import policy

from portchain import coexistence
from portchain.api import definitions

LOG = log.getLogger(__name__)

# As Neutron's own policies have them. neutron-lib exports these texts from 4.0 on only.
_MEMBER = "(rule:admin_only) or (role:member and project_id:%(project_id)s)"
_READER = "(rule:admin_only) or (role:reader and project_id:%(project_id)s)"

_ACTIONS = {
    "create": ("Create a {}", _MEMBER, (("POST", ""),)),
    "get": ("Get a {}", _READER, (("GET", ""), ("GET", "/{id}"))),
    "update": ("Update a {}", _MEMBER, (("PUT", "/{id}"),)),
    "delete": ("Delete a {}", _MEMBER, (("DELETE", "/{id}"),)),
}


def list_rules() -> list[policy.RuleDefault]:
    """Return the policies for Neutron's policy engine and for oslo.policy's generators."""
    if version := coexistence.other_version():
        # With networking-sfc's plugins, nothing else of ours runs before Neutron refuses a policy
        # that is registered twice, and does not say by whom.
        LOG.error("%s", coexistence.OtherPackageInstalledError(version))
    return [
        _shared_groups(),
        *_resource_policies(),
        _STATUS_REASON,
        *_operating_reasons(),
        _STATUSES,
        _STATS,
    ]


_SHARED = "shared_port_pair_groups"
_OTHER_CHECKS = {"get_port_pair_group": f"({_READER}) or rule:{_SHARED}"}


def _shared_groups() -> policy.RuleDefault:
    """Return the policy that matches port pair groups shared with the caller.

    A function, not a constant: oslo.policy parses ``field:`` when the object is created, and only
    Neutron, once loaded, gives that word a meaning.
    """
    return policy.RuleDefault(
        name=_SHARED,
        check_str="field:port_pair_groups:shared=True",
        description="Port pair groups that an RBAC policy shares with the caller's project",
    )


_STATUS_REASON = policy.DocumentedRuleDefault(
    name="get_port_chain:status_reason",
    check_str=_READER,
    scope_types=["project"],
    description="Get the reason for the status of a port chain; the text may name hosts",
    operations=[
        {"method": "GET", "path": "/sfc/port_chains"},
        {"method": "GET", "path": "/sfc/port_chains/{id}"},
    ],
)


_STATUSES = policy.DocumentedRuleDefault(
    name="get_port_chain_statuses",
    check_str=_READER,
    scope_types=["project"],
    description="Get the operating status of a port chain, its groups and their pairs; hosts are "
    "named to those who may get the operating_status_reason of the pairs",
    operations=[{"method": "GET", "path": "/sfc/port_chains/{id}/statuses"}],
)


def _operating_reasons() -> list[policy.DocumentedRuleDefault]:
    """Return the policies of who gets the reasons for operating statuses.

    Those of port pairs can name hosts. Those of groups name nothing of what is in a group.
    """
    return [
        policy.DocumentedRuleDefault(
            name=f"get_{resource}:operating_status_reason",
            check_str=_OTHER_CHECKS.get(f"get_{resource}", _READER),
            scope_types=["project"],
            description=f"Get the reason for the operating status of a {resource.replace('_', ' ')}"
            + ("; the text may name hosts" if resource == "port_pair" else ""),
            operations=[
                {"method": "GET", "path": f"/sfc/{resource}s"},
                {"method": "GET", "path": f"/sfc/{resource}s/{{id}}"},
            ],
        )
        for resource in ("port_pair", "port_pair_group", "port_chain")
    ]


_STATS = policy.DocumentedRuleDefault(
    name="get_port_chain_stats",
    check_str=_READER,
    scope_types=["project"],
    description="Get what hosts have counted of a port chain; the hosts are named to those who may "
    "get its status_reason",
    operations=[{"method": "GET", "path": "/sfc/port_chains/{id}/stats"}],
)


def _resource_policies() -> list[policy.DocumentedRuleDefault]:
    return [
        policy.DocumentedRuleDefault(
            name=f"{action}_{resource}",
            check_str=_OTHER_CHECKS.get(f"{action}_{resource}", check),
            scope_types=["project"],
            description=description.format(resource.replace("_", " ")),
            operations=[
                {"method": method, "path": f"/sfc/{resource}s{path}"} for method, path in paths
            ],
        )
        for resource in definitions.resources()
        for action, (description, check, paths) in _ACTIONS.items()
    ]
