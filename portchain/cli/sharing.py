"""``openstack sfc port pair group share`` and ``unshare``: Neutron's RBAC policies for groups.

``openstack network rbac create`` does not know this type of object.
"""

import argparse
from typing import Any

from openstackclient.identity import common
from osc_lib import exceptions
from osc_lib.command import command

from portchain.cli.kinds import PORT_PAIR_GROUP

EVERYBODY = "*"
_ACTION = "access_as_shared"


class _OfPolicy(command.Command):
    """A command about the policy that shares a group with somebody."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "group", metavar="<port-pair-group>", help="Port pair group (name or ID)"
        )
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--project", metavar="<project>", help="Project (name or ID)")
        whom.add_argument("--all-projects", action="store_true", help="Every project")
        common.add_project_domain_option_to_parser(parser)
        return parser

    @property
    def _clients(self) -> Any:
        """OpenStack's clients, and ours."""
        return self.app.client_manager

    def _policy(self, parsed_args: argparse.Namespace) -> dict[str, str]:
        """Return what the policy says."""
        whom = EVERYBODY
        if parsed_args.project:
            whom = common.find_project_id_sdk(
                self._clients.sdk_connection.identity,
                parsed_args.project,
                parsed_args.project_domain,
            )
        return {
            "object_type": PORT_PAIR_GROUP.name,
            "object_id": self._clients.portchain.find(PORT_PAIR_GROUP.name, parsed_args.group),
            "action": _ACTION,
            "target_project_id": whom,
        }


class ShareSfcPortPairGroup(_OfPolicy, command.ShowOne):
    _description = "Let a project, or all, use a port pair group in its chains"

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Create the policy."""
        made = self._clients.network.create_rbac_policy(**self._policy(parsed_args))
        shown = {
            "ID": made.id,
            "Port Pair Group": made.object_id,
            "Shared With": "all projects"
            if made.target_project_id == EVERYBODY
            else made.target_project_id,
        }
        return tuple(shown), tuple(shown.values())


class UnshareSfcPortPairGroup(_OfPolicy):
    _description = "Take back what share gave; refused while chains rely on it"

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete the policy.

        :raises CommandError: there is none.
        """
        network = self._clients.network
        found = list(network.rbac_policies(**self._policy(parsed_args)))
        if not found:
            raise exceptions.CommandError(
                f"Port pair group {parsed_args.group} is not shared with "
                f"{parsed_args.project or 'all projects'}"
            )
        for policy in found:
            network.delete_rbac_policy(policy, ignore_missing=False)
