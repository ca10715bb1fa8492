"""``openstack sfc trace create``, ``list``, ``show`` and ``delete``: what happens to a packet."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cliff import columns
from osc_lib import exceptions
from osc_lib.command import command

from portchain.cli.client import Client, ClientError, Shown
from portchain.cli.kinds import TRACE

_attr_map = tuple(
    (name, name.replace("_", " ").title().replace("Ip ", "IP ").replace("Id", "ID"), "")
    for name in ("id", "name", *TRACE.columns, *TRACE.long_columns)
)
"""The attributes that the commands show, with the headings of their columns."""


class StepsColumn(columns.FormattableColumn[Any]):
    """The steps of a trace: sentences for people, the values themselves for programs."""

    def human_readable(self) -> str:
        """Return one line for each step."""
        return "\n".join(_sentences(self._value))


_SIGHTS = {"SEEN": " [seen]", "NOT_SEEN": " [not seen]", "NOT_WATCHED": " [not watched]"}


def _sentences(steps: Iterable[Shown]) -> Iterator[str]:
    """Yield a line for each step, below a line for each host."""
    host = None
    for number, step in enumerate(steps, 1):
        if step["decision"] == "OBSERVED":
            yield f"the packet that was sent: {step['reason']}"
            continue
        if step["host"] != host:
            host = step["host"]
            yield f"on host {host}:" if host else "on a host of another project:"
        table = "" if step["table"] is None else f" ({step['bridge']} table {step['table']})"
        ids = [
            f"{words} {step[name]}"
            for name, words in (
                ("port_chain_id", "chain"),
                ("flow_classifier_id", "classifier"),
                ("port_pair_id", "pair"),
                ("port_id", "port"),
                ("to", "to"),
            )
            if step[name]
        ]
        seen = _SIGHTS.get(step.get("seen", ""), "")
        yield " ".join([f"{number:3}. {step['decision']}{table}", *ids]) + _reason(step) + seen


def _reason(step: Shown) -> str:
    return f": {step['reason']}" if step["reason"] else ""


class _OfTraces(command.Command):
    @property
    def _client(self) -> Client:
        clients: Any = self.app.client_manager  # openstackclient's; ``portchain`` is ours
        client: Client = clients.portchain
        return client


class _OneTrace(_OfTraces, command.ShowOne):
    def _fields(self, trace: Shown) -> tuple[Sequence[str], Sequence[Any]]:
        shown = [(title, trace.get(name)) for name, title, _ in _attr_map]
        return (
            [title for title, _ in shown],
            [StepsColumn(value) if title == "Steps" else value for title, value in shown],
        )


class CreateSfcTrace(_OneTrace):
    _description = "Show what happens to a packet that a port sends, step by step over all hosts"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        for option in TRACE.options:
            option.add_to(parser, creating=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Trace the packet; return what happens to it."""
        attributes: Shown = {}
        for option in TRACE.options:
            attributes |= option.read(parsed_args, self._client.find)
        return self._fields(self._client.create(TRACE, attributes))


class ShowSfcTrace(_OneTrace):
    _description = "Display a trace"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("trace", metavar="<trace>", help="Trace to display (name or ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Return the fields of the trace."""
        return self._fields(self._client.show(TRACE, parsed_args.trace))


class ListSfcTrace(_OfTraces, command.Lister):
    _description = "List traces"

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Return a row for each trace."""
        shown = {"id", "name", *TRACE.columns}
        titles = {name: title for name, title, _ in _attr_map if name in shown}
        rows = self._client.list(TRACE)
        return list(titles.values()), (tuple(row.get(name) for name in titles) for row in rows)


class DeleteSfcTrace(_OfTraces):
    _description = "Delete trace(s)"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "trace", metavar="<trace>", nargs="+", help="Trace to delete (name or ID)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete every trace that can be deleted.

        :raises CommandError: some cannot.
        """
        failures = []
        for name in parsed_args.trace:
            try:
                self._client.delete(TRACE, self._client.find(TRACE.name, name))
            except ClientError as error:
                failures.append(str(error))
        if failures:
            raise exceptions.CommandError("; ".join(failures))
