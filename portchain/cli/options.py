"""Types of command line options, each with the API attributes that its value becomes.

Nothing here talks to a server: callers pass a function that resolves names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Find = Callable[[str, str], str]
"""Returns the id of a resource, given its kind and its name or id."""
Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option whose value becomes an attribute as it is.

    :param flag: as users type it, or a name without dashes for a positional argument.
    :param attribute: name in the API.
    :param help: shown by ``--help``: what it does, allowed values and default.
    :param required: the create command demands it.
    :param creatable: the create command has it.
    :param updatable: the update command has it.
    """

    flag: str
    attribute: str
    help: str
    required: bool = False
    creatable: bool = True
    updatable: bool = False

    def add_to(self, parser: argparse.ArgumentParser, *, creating: bool) -> None:
        """Declare the option to the parser of a create command, or else of an update command."""
        parsing = self._parsing()
        if self.flag.startswith("-"):
            parsing |= {"dest": self._name, "required": self.required and creating}
        parser.add_argument(self.flag, help=self._help(creating=creating), **parsing)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of the API that the option sets."""
        return (self.attribute,)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags by which users give the option."""
        return (self.flag,)

    def read(self, arguments: argparse.Namespace, find: Find) -> Attributes:
        """Return the attributes that the user gave on the command line.

        :param find: resolves names and ids of other resources.
        """
        value = getattr(arguments, self._name)
        return {} if value is None else self._attributes(value, find)

    @property
    def _name(self) -> str:
        """The name of the value in argparse's namespace; cliff uses names such as ``name``."""
        return self.flag if not self.flag.startswith("-") else f"option_{self.attribute}"

    @property
    def _metavar(self) -> str:
        return f"<{self.flag.removeprefix('--')}>"

    def _help(self, *, creating: bool) -> str:
        return self.help

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar}

    def _attributes(self, value: Any, find: Find) -> Attributes:
        return {self.attribute: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Option):
    """One of a few words.

    :param values: the allowed words.
    """

    values: tuple[str, ...]

    def _parsing(self) -> dict[str, Any]:
        return {"choices": self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Option):
    """An integer."""

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar, "type": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Option):
    """A flag without a value.

    :param value: what the attribute becomes.
    """

    value: Any = True

    def _parsing(self) -> dict[str, Any]:
        return {"action": "store_const", "const": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toggle(Option):
    """A flag that makes an attribute true, and another one that makes it false.

    :param off: the flag for false.
    """

    off: str

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags by which users give the option."""
        return self.flag, self.off

    def add_to(self, parser: argparse.ArgumentParser, *, creating: bool) -> None:
        """Declare both flags; only one of them can be given."""
        both = parser.add_mutually_exclusive_group()
        both.add_argument(
            self.flag, dest=self._name, action="store_const", const=True, help=self.help
        )
        both.add_argument(
            self.off, dest=self._name, action="store_const", const=False, help=self.help
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Boolean(Option):
    """``true`` or ``false``, in any case."""

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": "{true,false}", "type": boolean}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaybeText(Option):
    """Text that the user may leave out: the option alone means the same as no option."""

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar, "nargs": "?", "const": ""}

    def _attributes(self, value: str, find: Find) -> Attributes:
        return {self.attribute: value} if value else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange(Option):
    """Transport ports as ``<first>:<last>``, or one port.

    ``attribute`` is the common beginning of the two attributes, such as ``source_port``.
    """

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": "<first>:<last>", "type": port_range}

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes of the API that the option sets."""
        return (f"{self.attribute}_range_min", f"{self.attribute}_range_max")

    def _attributes(self, value: tuple[int, int], find: Find) -> Attributes:
        return dict(zip(self.attributes, value, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Option):
    """The name or id of another resource.

    :param kind: of that resource, such as ``port_pair``.
    """

    kind: str

    def _attributes(self, value: str, find: Find) -> Attributes:
        return {self.attribute: find(self.kind, value)}


@dataclass(frozen=True, slots=True, kw_only=True)
class References(Option):
    """Names or ids of other resources; users repeat the option.

    An update replaces the whole list. ``--no-<option>`` empties it, unless the list is required.

    :param kind: of those resources, such as ``port_pair``.
    :param flag_for_none: the option that empties the list, if it has another name and the create
        command has it, too.
    """

    kind: str
    flag_for_none: str = ""

    def add_to(self, parser: argparse.ArgumentParser, *, creating: bool) -> None:
        """Declare the option, and the one that empties the list."""
        Option.add_to(self, parser, creating=creating)
        if self.flag_for_none or not (creating or self.required):
            flag = self.flag_for_none or f"--no-{self.flag.removeprefix('--')}"
            _add_flag_for_none(parser, flag, self.flag, self._name)

    def _help(self, *, creating: bool) -> str:
        return self.help if creating else f"{self.help}; replaces the whole list"

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar, "action": "append"}

    def _attributes(self, value: list[str], find: Find) -> Attributes:
        return {self.attribute: [find(self.kind, name_or_id) for name_or_id in value]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters(Option):
    """A dict as ``<key>=<value>,...``.

    :param keys: allowed keys, each with the function that parses its value.
    """

    keys: Mapping[str, Callable[[str], Any]] = field(default_factory=dict)

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": ",".join(f"{key}=<{key}>" for key in self.keys), "type": self._parse}

    def _parse(self, text: str) -> Attributes:
        parsed = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            key = key.strip().replace("-", "_")
            if not equals or key not in self.keys:
                known = ", ".join(f"{name}=..." for name in self.keys)
                raise argparse.ArgumentTypeError(f"{part!r} is not one of {known}")
            try:
                parsed[key] = self.keys[key](value.strip())
            except ValueError as error:
                raise argparse.ArgumentTypeError(f"{key}: {error}") from error
        return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOfParameters(Parameters):
    """A list of dicts, each as for ``Parameters``; users repeat the option.

    :param references: keys that name another resource -> its kind.
    :param flag_for_none: the option of update commands that empties the list; empty if there is
        none.
    """

    references: Mapping[str, str] = field(default_factory=dict)
    flag_for_none: str = ""

    def add_to(self, parser: argparse.ArgumentParser, *, creating: bool) -> None:
        """Declare the option, and for updates the option that empties the list."""
        Option.add_to(self, parser, creating=creating)
        if self.flag_for_none and not creating:
            _add_flag_for_none(parser, self.flag_for_none, self.flag, self._name)

    def _parsing(self) -> dict[str, Any]:
        return {**Parameters._parsing(self), "action": "append"}

    def _attributes(self, value: list[Attributes], find: Find) -> Attributes:
        found = [
            {
                key: find(self.references[key], one) if key in self.references else one
                for key, one in each.items()
            }
            for each in value
        ]
        return {self.attribute: found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Option):
    """One key of a dict attribute as an option of its own.

    :param key: in the dict.
    :param value: parses the option's text.
    """

    key: str
    value: Callable[[str], Any]

    @property
    def _name(self) -> str:
        return f"option_{self.key}"

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar, "type": self.value}

    def _attributes(self, value: Any, find: Find) -> Attributes:
        return {self.attribute: {self.key: value}}


def _add_flag_for_none(parser: argparse.ArgumentParser, flag: str, other: str, name: str) -> None:
    parser.add_argument(
        flag,
        dest=name,
        action="store_const",
        const=[],
        help=f"Remove all of them; use it instead of {other}",
    )


def port_range(text: str) -> tuple[int, int]:
    """Parse ``23:100`` or ``23``.

    :raises argparse.ArgumentTypeError: the text has another form.
    """
    first, colon, last = text.partition(":")
    try:
        return int(first), int(last if colon else first)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not <first>:<last>, such as 23:23 or 1000:2000"
        ) from None


def boolean(text: str) -> bool:
    """Parse true or false, in any case.

    :raises ValueError: the text is neither.
    """
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise ValueError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def word_or_none(text: str) -> str | None:
    """Parse a word; ``none`` and the empty text become None."""
    return None if text.lower() in ("", "none") else text


def words(text: str) -> list[str]:
    """Parse words that are separated by ``&``."""
    return [word for word in text.split("&") if word]


def n_tuple_mapping(text: str) -> dict[str, dict[str, Any]]:
    """Parse how a function rewrites headers: ``<field>_ingress=<value>&<field>_egress=<value>``.

    Fields have their names in the API, such as ``source_ip_prefix``.

    :raises ValueError: a part has another form.
    """
    mapping: dict[str, dict[str, Any]] = {"ingress_n_tuple": {}, "egress_n_tuple": {}}
    for part in words(text):
        name, equals, value = part.partition("=")
        field_name, _, side = name.rpartition("_")
        if not equals or not field_name or f"{side}_n_tuple" not in mapping:
            raise ValueError(f"{part!r} is not <field>_ingress=<value> or <field>_egress=<value>")
        mapping[f"{side}_n_tuple"][field_name] = int(value) if value.isdigit() else value
    return mapping
