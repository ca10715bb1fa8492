"""The commands of ``neutron``: five verbs, each for every kind of resource."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from cliff import columns, command, lister, show
from osc_lib.cli import format_columns

from portchain.cli.client import Client, ClientError, Shown
from portchain.cli.kinds import KINDS, Kind

Table = tuple[Sequence[str], Any]


class _OfKind(command.Command):
    """A command about one kind of resource."""

    kind: ClassVar[Kind]
    purpose: ClassVar[str]

    def get_description(self) -> str:
        """What ``--help`` begins with."""
        return self.purpose.format(self.kind.words)

    @property
    def client(self) -> Client:
        """The network service, with the user's credentials."""
        client: Client = self.app.client  # type: ignore[attr-defined]  # of our own application
        return client

    def _attributes(self, arguments: argparse.Namespace, *, creating: bool) -> Shown:
        attributes: Shown = {}
        for option in self.kind.options:
            if option.creatable if creating else option.updatable:
                attributes |= option.read(arguments, self.client.find)
        return attributes


class _Create(_OfKind, show.ShowOne):
    purpose = "Create a {}"

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
    purpose = "Show a {}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        return _fields(self.client.show(self.kind, parsed_args.resource))


class _List(_OfKind, lister.Lister):
    purpose = "List {}s"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="show more columns")
        parser.add_argument("--name", help=f"only {self.kind.words}s of this name")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Table:
        names = ["id", "name", *self.kind.columns, *(self.kind.more if parsed_args.long else ())]
        query = {"name": parsed_args.name} if parsed_args.name is not None else {}
        return names, self._rows(names, query)

    def _rows(self, names: Sequence[str], query: dict[str, str]) -> Iterator[tuple[Any, ...]]:
        for one in self.client.list(self.kind, **query):
            yield tuple(_cell(one.get(name)) for name in names)


class _Update(_OfKind):
    purpose = "Change a {}"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind)
        for option in self.kind.options:
            if option.updatable:
                option.add_to(parser, creating=False)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        attributes = self._attributes(parsed_args, creating=False)
        if not attributes:
            raise ClientError("nothing to change: --help lists the options")
        an_id = self.client.find(self.kind.name, parsed_args.resource)
        self.client.update(self.kind, an_id, attributes)
        self.app.stdout.write(f"Updated {self.kind.name}: {parsed_args.resource}\n")


class _Delete(_OfKind):
    purpose = "Delete one {0} or more"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        _add_resource(parser, self.kind, nargs="+")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete what can be deleted; say of each of the others why it could not."""
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


def _add_resource(parser: argparse.ArgumentParser, kind: Kind, **how: Any) -> None:
    parser.add_argument("resource", metavar=f"<{kind.command}>", help="name or id", **how)


def _fields(shown: Shown) -> Table:
    return zip(*((name, _cell(value)) for name, value in sorted(shown.items())), strict=True)  # type: ignore[return-value]


def _cell(value: Any) -> Any:
    """Return a value as tables show it; JSON and YAML get it as it is."""
    formats: dict[type, type[columns.FormattableColumn[Any]]] = {
        dict: format_columns.DictColumn,
        list: format_columns.ListColumn,
    }
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return format_columns.ListDictColumn(value)
    return formats[type(value)](value) if type(value) in formats else value


_VERBS: dict[str, type[_OfKind]] = {
    "create": _Create,
    "list": _List,
    "show": _Show,
    "update": _Update,
    "delete": _Delete,
}


def all_commands() -> dict[str, type[command.Command]]:
    """Return every command by its name."""
    return {
        f"{kind.command}-{verb}": type(f"{verb}_{kind.name}", (base,), {"kind": kind})
        for kind in KINDS.values()
        for verb, base in _VERBS.items()
    }
