"""``openstack sfc port chain status show``: how a chain, its groups and their pairs are."""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from osc_lib.command import command

from portchain.cli.kinds import PORT_CHAIN

COLUMNS = ("Resource", "ID", "Operating Status", "Reason", "Weight", "State", "Backup", "Host")
Row = tuple[Any, ...]


def rows(statuses: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the rows of a table: the chain, then each group with its pairs behind it.

    :param statuses: what ``GET /v2.0/sfc/port_chains/{id}/statuses`` shows.
    """
    yield _row("chain", statuses)
    for group in statuses["port_pair_groups"]:
        yield _row("  group", group)
        for pair in group.get("port_pairs", ()):
            yield _row("    pair", pair)


def _row(level: str, shown: Mapping[str, Any]) -> Row:
    state = {True: "UP", False: "DOWN"}.get(shown.get("admin_state_up", ""), "")
    return (
        f"{level} {shown['name']}".rstrip(),
        shown["id"],
        shown["operating_status"],
        shown.get("operating_status_reason", {}).get("text", ""),
        shown.get("weight", ""),
        state,
        shown.get("backup", ""),
        shown.get("host", ""),
    )


class ShowSfcPortChainStatus(command.Lister):
    _description = "Show the operating status of a port chain, its groups and their port pairs"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("chain", metavar="<port-chain>", help="Port chain (name or ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Return the table."""
        clients: Any = self.app.client_manager  # openstackclient's; ``portchain`` is ours
        client = clients.portchain
        chain_id = client.find(PORT_CHAIN.name, parsed_args.chain)
        return COLUMNS, rows(client.read(PORT_CHAIN, chain_id, "statuses"))
