"""``openstack sfc port chain draw``: a picture of a chain."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from osc_lib.command import command
from rich.console import Console

from portchain.cli.client import Client, ClientError, Shown
from portchain.cli.kinds import FLOW_CLASSIFIER, PORT_CHAIN, PORT_PAIR, PORT_PAIR_GROUP, Kind
from portchain.drawing.dot import to_dot
from portchain.drawing.mermaid import to_mermaid
from portchain.drawing.picture import Picture, picture_of
from portchain.drawing.svg import to_svg
from portchain.drawing.text import draw

_TEXT = "text"
_WRITERS: dict[str, Callable[[Picture], str]] = {
    "svg": to_svg,
    "dot": to_dot,
    "mermaid": to_mermaid,
}


class DrawSfcPortChain(command.Command):
    _description = "Draw a port chain: classifiers, groups and pairs, their health and counters"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("chain", metavar="<port-chain>", help="Port chain to draw (name or ID)")
        parser.add_argument(
            *("-f", "--format"),
            choices=(_TEXT, *_WRITERS),
            default=_TEXT,
            help="text for a terminal (default), svg for pages, dot for Graphviz, or mermaid",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print the picture."""
        client: Client = self.app.client_manager.portchain  # type: ignore[attr-defined]
        drawn = fetch(client, parsed_args.chain)
        if parsed_args.format == _TEXT:
            draw(drawn, Console(file=self.app.stdout, highlight=False))
        else:
            self.app.stdout.write(_WRITERS[parsed_args.format](drawn))


def fetch(client: Client, name_or_id: str) -> Picture:
    """Ask the server for all that a picture of a chain shows.

    What the caller may not see, or the server does not know, is left out of the picture.

    :raises ClientError: there is no such chain, or the server does not answer.
    """
    chain = client.show(PORT_CHAIN, name_or_id)
    groups = list(_by_id(client, PORT_PAIR_GROUP, chain["port_pair_groups"]))
    pair_ids = [pair_id for group in groups for pair_id in group["port_pairs"]]
    return picture_of(
        chain,
        list(_by_id(client, FLOW_CLASSIFIER, chain["flow_classifiers"])),
        groups,
        list(_by_id(client, PORT_PAIR, pair_ids)),
        statuses=_member(client, chain, "statuses"),
        stats=_member(client, chain, "stats"),
    )


def _by_id(client: Client, kind: Kind, ids: list[str]) -> Iterator[Shown]:
    for an_id in dict.fromkeys(ids):
        yield from client.list(kind, id=an_id)


def _member(client: Client, chain: Shown, name: str) -> Any:
    try:
        return client.read(PORT_CHAIN, chain["id"], name)
    except ClientError:
        return None  # an older server, or a policy that forbids it
