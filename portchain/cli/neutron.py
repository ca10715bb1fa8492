"""The command ``neutron``, with the commands of the specification of port chains.

The maintained clients no longer have it (decision 25).
"""

import argparse
import functools
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import openstack.connection
from cliff import app, commandmanager
from keystoneauth1 import exceptions as keystone
from openstack import exceptions
from openstack.config import OpenStackConfig

from portchain.cli import commands
from portchain.cli.client import Client, ClientError

DISTRIBUTION = "neutron-portchain"


class NeutronShell(app.App):
    """The program: options that all commands have, and the connection they use.

    :param argv: the command line; which options there are depends on the kind of credentials in it.
    """

    NAME = "neutron"

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._config = OpenStackConfig()
        # Names of commands are written as in the specification, with dashes.
        manager = commandmanager.CommandManager("portchain.neutron", convert_underscores=False)
        for name, one in commands.all_commands().items():
            manager.add_command(name, one)
        super().__init__(
            description="Ports and port chains by the commands of the port chain specification. "
            "Credentials come from OS_* variables, clouds.yaml (--os-cloud) or the options below.",
            version=metadata.version(DISTRIBUTION),
            command_manager=manager,
            deferred_help=True,
        )

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        """Add the options that all OpenStack clients have."""
        # An abbreviation of one of these could be an option of a command.
        whole = {"allow_abbrev": False, **(argparse_kwargs or {})}
        parser = super().build_option_parser(description, version, whole)
        self._config.register_argparse_arguments(parser, self._argv, service_keys=["network"])
        return parser

    @functools.cached_property
    def client(self) -> Client:
        """The network service, as the options and variables say.

        :raises ClientError: they are not complete.
        """
        try:
            region = self._config.get_one(argparse=self.options)
            return Client(openstack.connection.Connection(config=region).network)
        except (keystone.MissingRequiredOptions, exceptions.ConfigException) as error:
            raise ClientError(
                f"{error}. Set OS_CLOUD or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME, "
                "or give --os-cloud"
            ) from error
        except (keystone.ClientException, exceptions.SDKException) as error:
            raise ClientError(str(error)) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``neutron``.

    :returns: 0, or another number after an error that is printed.
    """
    if not sys.warnoptions:
        # What the libraries want to tell their own developers.
        warnings.simplefilter("ignore")
    given = list(sys.argv[1:] if argv is None else argv)
    try:
        shell = NeutronShell(given)
    except exceptions.SDKException as error:
        print(f"neutron: {error}", file=sys.stderr)
        return 1
    return shell.run(given)
