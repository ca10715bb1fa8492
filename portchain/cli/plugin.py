"""The plug-in module of openstackclient for the commands of `portchain.cli.sharing`.

openstackclient demands these names of a module in the entry points ``openstack.cli.extension``.
"""

import argparse
from typing import Any

from portchain.cli.client import Client

API_NAME = "portchain"
# No API version of our own: the commands follow the network service's, as ``openstack sfc`` does.
API_VERSION_OPTION = "os_network_api_version"
DEFAULT_API_VERSION = "2.0"
API_VERSIONS = ("2", "2.0")


def make_client(instance: Any) -> Client:
    """Return the client that commands find as ``app.client_manager.portchain``.

    :param instance: openstackclient's client manager.
    """
    return Client(instance.network)


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add options for all commands: there are none."""
    return parser
