"""``openstack sfc port chain stats show``: what hosts have counted of a chain."""

import argparse
import time
from collections.abc import Iterator
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from portchain.cli.client import Client, ClientError, Shown
from portchain.cli.kinds import PORT_CHAIN

_COLUMNS = (
    *("Path", "Hop", "Group", "Counter", "Host"),
    *("Packets In", "Packets Out", "Bytes In", "Bytes Out", "Learned Flows"),
)
_SECONDS = 2.0
_CLEAR = "\x1b[H\x1b[J"  # ECMA-48: cursor to the first line, and erase from there


class ShowSfcPortChainStats(command.Lister):
    _description = "Show how many packets have passed each hop of a port chain"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("chain", metavar="<port-chain>", help="Port chain (name or ID)")
        parser.add_argument(
            "--watch",
            nargs="?",
            type=_positive,
            const=_SECONDS,
            metavar="<seconds>",
            help=f"Show it again until interrupted, by default every {_SECONDS:g} seconds",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Return a row for each classifier, each pair, and each reason of drops.

        :raises CommandError: the chain cannot be found, or the server refuses the request.
        """
        client: Client = self.app.client_manager.portchain  # type: ignore[attr-defined]
        try:
            chain_id = client.find(PORT_CHAIN.name, parsed_args.chain)
            shown = client.read(PORT_CHAIN, chain_id, "stats")
            while parsed_args.watch:
                if self.app.stdout.isatty():
                    self.app.stdout.write(_CLEAR)
                self.produce_output(parsed_args, *self._table(shown))
                time.sleep(parsed_args.watch)
                shown = client.read(PORT_CHAIN, chain_id, "stats")
        except ClientError as error:
            raise exceptions.CommandError(str(error)) from error
        return self._table(shown)

    def _table(self, shown: Shown) -> Any:
        for host in shown["hosts_without_answer"]:
            name = host.get("host", "of this chain")
            self.app.LOG.warning("Without the counts of host %s: %s", name, host["reason"])
        return _COLUMNS, list(rows(shown))


def rows(shown: Shown) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the table, in the order in which packets pass."""
    for path in shown["paths"]:
        direction = path["direction"]
        for one in path["flow_classifiers"]:
            counter = f"classified by {_name(one)}"
            yield (direction, "", "", counter, "", one["packets"], "", one["bytes"], "", "")
        for number, hop in enumerate(path["hops"], 1):
            for pair in hop["port_pairs"]:
                yield (
                    *(direction, number, _name(hop["port_pair_group"]), _name(pair)),
                    pair.get("host", ""),
                    *(pair[f"{unit}_{way}"] for unit in ("packets", "bytes") for way in _WAYS),
                    pair.get("learned_flows", ""),  # an older server does not say
                )
        for one in path["dropped"]:
            counter = f"dropped: {one['reason']}"
            yield (direction, "", "", counter, "", one["packets"], "", one["bytes"], "", "")


_WAYS = ("in", "out")


def _name(resource: Shown) -> str:
    return str(resource["name"] or resource["id"])


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a positive number of seconds")
    return seconds
