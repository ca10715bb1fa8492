"""The program ``neutron``, with the commands as the specification of port chains writes them.

OpenStack has removed the original program; decision 25 explains why this package has one.
"""

import argparse
import functools
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
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
    """The program: global options, and the connection that all commands use.

    :param argv: the command line. The kind of credentials in it decides which options exist.
    """

    NAME = "neutron"

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv
        self._config = OpenStackConfig()
        # The specification writes names of commands with dashes.
        manager = commandmanager.CommandManager("portchain.neutron", convert_underscores=False)
        for name, command in commands.all_commands().items():
            manager.add_command(name, command)
        super().__init__(
            description="Manage ports and port chains. Credentials come from OS_* environment "
            "variables, from clouds.yaml (--os-cloud) or from the options below.",
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
        # An abbreviated global option could be an option of a command.
        unabbreviated = {"allow_abbrev": False, **(argparse_kwargs or {})}
        parser = super().build_option_parser(description, version, unabbreviated)
        self._config.register_argparse_arguments(parser, self._argv, service_keys=["network"])
        return parser

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command that the user typed, whether in a shell or in the interactive mode."""
        return int(super().run_subcommand(list(in_present_form(argv))))

    @functools.cached_property
    def client(self) -> Client:
        """The network service, with the credentials of the options or the environment.

        :raises ClientError: the credentials are incomplete or refused.
        """
        try:
            region = self._config.get_one(argparse=self.options)
            return Client(openstack.connection.Connection(config=region).network)
        except (keystone.MissingRequiredOptions, exceptions.ConfigException) as error:
            raise ClientError(
                f"{error}. Set OS_CLOUD or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and "
                "OS_PROJECT_NAME, or give --os-cloud"
            ) from error
        except (keystone.ClientException, exceptions.SDKException) as error:
            raise ClientError(str(error)) from error


def in_present_form(arguments: Iterable[str]) -> Iterator[str]:
    """Yield arguments that the original program understood as this one does.

    It took options with underscores, such as ``--port_security_enabled``, and a ``--`` before
    options that it did not know.
    """
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument == "--":
            continue
        is_option = name.startswith("--")
        yield f"{name.replace('_', '-')}{equals}{value}" if is_option else argument


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program ``neutron``.

    :param argv: arguments without the program's name; None for those of this process.
    :returns: 0 on success, another number after an error, which is printed.
    """
    if not sys.warnoptions:
        # Deprecation warnings of the libraries are for developers, not for users.
        warnings.simplefilter("ignore")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        shell = NeutronShell(arguments)
    except exceptions.SDKException as error:
        print(f"neutron: {error}", file=sys.stderr)
        return 1
    return shell.run(arguments)
