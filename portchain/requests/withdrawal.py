"""A provider takes a shared group back from chains of other projects, whatever they say.

Neutron refuses to delete an RBAC policy that a chain relies on. The provider of a group needs a
last word: a chain that loses a group drops its packets until its owner chooses other groups.
"""

from portchain.core import rules
from portchain.db import models, relations, sharing, writer
from portchain.requests.request import Request, refresh_chains


def withdraw_group(request: Request, group: models.PortPairGroup, target: str) -> None:
    """End the sharing of a group with a project, and take the group out of the project's chains.

    :param target: the project's id; ``*`` stands for all projects.
    :raises Violation: no policy names the target, or another policy shares the group with it, too.
    """
    session = request.session
    before = sharing.projects_without_policy(session, group.id)
    if not sharing.remove_policies(session, group.id, target):
        raise rules.Violation(
            "withdraw_from", f"no RBAC policy shares the group with {target}; list its policies"
        )
    if target != "*" and sharing.is_shared(session, group.id, target):
        raise rules.Violation(
            "withdraw_from",
            "another RBAC policy shares the group with all projects; withdraw it from *, then "
            "share it again with those that may use it",
        )
    lost = sharing.projects_without_policy(session, group.id) - before
    withdrawn = writer.withdraw_group(session, group.id, lost)
    # Chains that keep the group need not tell their packets from another project's any more.
    affected = relations.with_chains_of_same_graphs(session, withdrawn)
    affected.update(relations.chains_of_group(session, group.id))
    refresh_chains(request, sorted(affected))
