"""The commands of ``neutron``: create, list, show, update and delete, for each kind of resource."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from cliff import columns, command, lister, show
from osc_lib.cli import format_columns

from portchain.cli import statuses
from portchain.cli.client import Client, ClientError, Shown
from portchain.cli.kinds import KINDS, PORT_CHAIN, Kind

Table = tuple[Sequence[str], Any]
"""Column names, and one row or several: what cliff prints."""


class _OfKind(command.Command):
    """A command about one kind of resource.

    ``purpose`` is the first line of its help, with a placeholder for the kind.
    """

    kind: ClassVar[Kind]
    purpose: ClassVar[str]

    def get_description(self) -> str:
        """Return the first line of the help."""
        return self.purpose.format(kind=self.kind.words)

    @property
    def client(self) -> Client:
        """The network service; requests carry the user's credentials."""
        client: Client = self.app.client  # type: ignore[attr-defined]  # NeutronShell has one
        return client

    def _attributes(self, arguments: argparse.Namespace, *, creating: bool) -> Shown:
        attributes: Shown = {}
        for option in self.kind.options:
            if option.creatable if creating else option.updatable:
                attributes |= option.read(arguments, self.client.find)
        return attributes


class _Create(_OfKind, show.ShowOne):
    purpose = "Create a {kind}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        for option in self.kind.options:
            if option.creatable:
                option.add_to(parser, creating=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        attributes = self._attributes(parsed_args, creating=True)
        return _fields(self.client.create(self.kind, attributes))


class _Show(_OfKind, show.ShowOne):
    purpose = "Display {kind} details"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind, "display")
        _add_old_column_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        return _fields(self.client.show(self.kind, parsed_args.resource))


class _List(_OfKind, lister.Lister):
    purpose = "List {kind}s"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="List additional fields in output")
        parser.add_argument(
            "--name", metavar="<name>", help=f"List only {self.kind.words}s with this name"
        )
        for name in self.kind.filters:
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                dest=f"filter_{name}",
                metavar=f"<{name}>",
                help=f"List only {self.kind.words}s with this {name}",
            )
        _add_old_column_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        more = self.kind.long_columns if parsed_args.long else ()
        names = ["id", "name", *self.kind.columns, *more]
        values = {name: getattr(parsed_args, f"filter_{name}") for name in self.kind.filters}
        query = {"name": parsed_args.name, **values}
        given = {name: value for name, value in query.items() if value is not None}
        return names, self._rows(names, given)

    def _rows(self, names: Sequence[str], query: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        for resource in self.client.list(self.kind, **query):
            yield tuple(_cell(resource.get(name)) for name in names)


class _Update(_OfKind):
    purpose = "Update a {kind}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind, "update")
        for option in self.kind.options:
            if option.updatable:
                option.add_to(parser, creating=False)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        attributes = self._attributes(parsed_args, creating=False)
        if not attributes:
            raise ClientError("nothing to update: give at least one option, see --help")
        resource_id = self.client.find(self.kind.name, parsed_args.resource)
        self.client.update(self.kind, resource_id, attributes)
        self.app.stdout.write(f"Updated {self.kind.name}: {parsed_args.resource}\n")


class _Delete(_OfKind):
    purpose = "Delete {kind}(s)"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind, "delete", nargs="+")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete every resource that can be deleted; log why each of the others cannot."""
        failed = 0
        for name in parsed_args.resource:
            try:
                self.client.delete(self.kind, self.client.find(self.kind.name, name))
                self.app.stdout.write(f"Deleted {self.kind.name}: {name}\n")
            except ClientError as error:
                failed += 1
                self.app.LOG.error("%s", error)
        if failed:
            raise ClientError(f"{failed} of {len(parsed_args.resource)} could not be deleted")


def _add_resource(parser: argparse.ArgumentParser, kind: Kind, doing: str, **options: Any) -> None:
    """Declare the argument that names the resource of the command."""
    help_text = f"{kind.words.capitalize()} to {doing} (name or ID)"
    parser.add_argument("resource", metavar=f"<{kind.command}>", help=help_text, **options)


def _add_old_column_option(parser: argparse.ArgumentParser) -> None:
    """Declare the name that ``--column`` had in the original program, too."""
    parser.add_argument(
        *("-F", "--field"), dest="columns", action="append", help="The same as --column"
    )


def _fields(shown: Shown) -> Table:
    fields = sorted(shown.items())
    return [name for name, _ in fields], [_cell(value) for _, value in fields]


def _cell(value: Any) -> Any:
    """Return a value with the way tables format it; JSON and YAML print the plain value."""
    formats: dict[type, type[columns.FormattableColumn[Any]]] = {
        dict: format_columns.DictColumn,
        list: format_columns.ListColumn,
    }
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return format_columns.ListDictColumn(value)
    return formats[type(value)](value) if type(value) in formats else value


class _ShowStatus(_OfKind, lister.Lister):
    purpose = "Show the operating status of a {kind}, its groups and their port pairs"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind, "show")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        chain_id = self.client.find(self.kind.name, parsed_args.resource)
        return statuses.COLUMNS, statuses.rows(self.client.read(self.kind, chain_id, "statuses"))


_VERBS: dict[str, type[_OfKind]] = {
    "create": _Create,
    "list": _List,
    "show": _Show,
    "update": _Update,
    "delete": _Delete,
}


def all_commands() -> dict[str, type[command.Command]]:
    """Return every command by its name, such as ``port-chain-create``."""
    return {
        f"{kind.command}-{verb}": type(f"{verb}_{kind.name}", (base,), {"kind": kind})
        for kind in KINDS.values()
        for verb, base in _VERBS.items()
    } | {
        f"{PORT_CHAIN.command}-status-show": type(
            "status_show_port_chain", (_ShowStatus,), {"kind": PORT_CHAIN}
        )
    }
