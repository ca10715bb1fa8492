"""``openstack sfc port pair group share`` and ``unshare``: RBAC policies for port pair groups.

``openstack network rbac create`` accepts no such object type.
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
    """A command about the RBAC policy that shares a group with a project."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "group", metavar="<port-pair-group>", help="Port pair group to share (name or ID)"
        )
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument(
            "--project",
            metavar="<project>",
            help="Project that may use the group in its chains (name or ID)",
        )
        target.add_argument(
            "--all-projects",
            action="store_true",
            help="Every project may use the group (admin only)",
        )
        common.add_project_domain_option_to_parser(parser)
        return parser

    @property
    def _clients(self) -> Any:
        """openstackclient's clients; ``portchain`` is ours."""
        return self.app.client_manager

    def _policy(self, parsed_args: argparse.Namespace) -> dict[str, str]:
        """Return the attributes of the policy."""
        target = EVERYBODY
        if parsed_args.project:
            target = common.find_project_id_sdk(
                self._clients.sdk_connection.identity,
                parsed_args.project,
                parsed_args.project_domain,
            )
        return {
            "object_type": PORT_PAIR_GROUP.name,
            "object_id": self._clients.portchain.find(PORT_PAIR_GROUP.name, parsed_args.group),
            "action": _ACTION,
            "target_project_id": target,
        }


class ShareSfcPortPairGroup(_OfPolicy, command.ShowOne):
    _description = "Share a port pair group with a project or with all projects"

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Create the policy; return its fields."""
        created = self._clients.network.create_rbac_policy(**self._policy(parsed_args))
        shown = {
            "ID": created.id,
            "Port Pair Group": created.object_id,
            "Shared With": "all projects"
            if created.target_project_id == EVERYBODY
            else created.target_project_id,
        }
        return tuple(shown), tuple(shown.values())


class UnshareSfcPortPairGroup(_OfPolicy):
    _description = "Stop sharing a port pair group; refused while the project's chains use it"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--force",
            action="store_true",
            help="Take the group out of the project's chains: they drop their packets until their "
            "owner chooses other groups",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete the policy; with ``--force``, withdraw the group from chains, too.

        :raises CommandError: the group is not shared with this project.
        """
        network, policy = self._clients.network, self._policy(parsed_args)
        if parsed_args.force:
            order = {"withdraw_from": policy["target_project_id"]}
            self._clients.portchain.update(PORT_PAIR_GROUP, policy["object_id"], order)
            return
        found = list(network.rbac_policies(**policy))
        if not found:
            raise exceptions.CommandError(
                f"Port pair group {parsed_args.group} is not shared with "
                f"{parsed_args.project or 'all projects'}"
            )
        for policy in found:
            network.delete_rbac_policy(policy, ignore_missing=False)
