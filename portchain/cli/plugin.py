"""The plug-in of ``openstack`` itself: says where its commands are. They use the network service that the program has."""

import argparse
from typing import Any

from portchain.cli.client import Client

API_NAME = "portchain"
# Commands come with the version of the network service, as those of ``openstack sfc`` do.
API_VERSION_OPTION = "os_network_api_version"
DEFAULT_API_VERSION = "2.0"
API_VERSIONS = ("2", "2.0")


def make_client(instance: Any) -> Client:
    """Called by the program, which is ``instance``: the client of commands."""
    return Client(instance.network)


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Called by the program for options of its own: there are none."""
    return parser
