"""The kinds of command line options, and the attributes of the API that they give.

Nothing here speaks to a server: what a name stands for is asked of a function.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Find = Callable[[str, str], str]
"""Given a kind of resource and the name or id of one, returns its id."""
Attributes = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option, and how its value becomes attributes.

    :param flag: as it is typed, or a name without dashes for an argument by position.
    :param attribute: of the API.
    :param required: for creation.
    :param creatable: whether it is there when a resource is created; ``updatable``: when it is changed.
    """

    flag: str
    attribute: str
    help: str
    required: bool = False
    creatable: bool = True
    updatable: bool = False

    def add_to(self, parser: argparse.ArgumentParser, *, creating: bool) -> None:
        """Declare the option to the parser of a command that creates or updates."""
        parsing = self._parsing()
        if self.flag.startswith("-"):
            parsing |= {"dest": self._name, "required": self.required and creating}
        parser.add_argument(self.flag, help=self.help, **parsing)

    def read(self, arguments: argparse.Namespace, find: Find) -> Attributes:
        """Return the attributes that were given on the command line."""
        value = getattr(arguments, self._name)
        return {} if value is None else self._attributes(value, find)

    @property
    def _name(self) -> str:
        """What argparse knows it by. Attributes such as ``name`` are also parts of commands."""
        return self.flag if not self.flag.startswith("-") else f"option_{self.attribute}"

    @property
    def _metavar(self) -> str:
        return f"<{self.flag.removeprefix('--')}>"

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar}

    def _attributes(self, value: Any, find: Find) -> Attributes:
        return {self.attribute: value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Option):
    """One of a few words."""

    values: tuple[str, ...]

    def _parsing(self) -> dict[str, Any]:
        return {"choices": self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Option):
    """An attribute that is true if the option is there."""

    def _parsing(self) -> dict[str, Any]:
        return {"action": "store_const", "const": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaybeText(Option):
    """Text that may be left out after the option: then it is any, as without the option."""

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar, "nargs": "?", "const": ""}

    def _attributes(self, value: str, find: Find) -> Attributes:
        return {self.attribute: value} if value else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRange(Option):
    """Transport ports as ``<first>:<last>``, or one of them.

    ``attribute`` is what the names of the two attributes begin with.
    """

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": "<first>:<last>", "type": port_range}

    def _attributes(self, value: tuple[int, int], find: Find) -> Attributes:
        return {
            f"{self.attribute}_range_{end}": n for end, n in zip(("min", "max"), value, strict=True)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference(Option):
    """The name or id of another resource."""

    kind: str

    def _attributes(self, value: str, find: Find) -> Attributes:
        return {self.attribute: find(self.kind, value)}


@dataclass(frozen=True, slots=True, kw_only=True)
class References(Option):
    """Names or ids of other resources: the option is repeated.

    On update they replace those there were, and ``--no-...`` takes all away.
    """

    kind: str

    def add_to(self, parser: argparse.ArgumentParser, *, creating: bool) -> None:
        """Declare the option, and the one that empties the list."""
        Option.add_to(self, parser, creating=creating)
        if not creating and not self.required:
            parser.add_argument(
                f"--no-{self.flag.removeprefix('--')}",
                dest=self._name,
                action="store_const",
                const=[],
                help=f"take all away; instead of {self.flag}",
            )

    def _parsing(self) -> dict[str, Any]:
        return {"metavar": self._metavar, "action": "append"}

    def _attributes(self, value: list[str], find: Find) -> Attributes:
        return {self.attribute: [find(self.kind, one) for one in value]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters(Option):
    """A dict as ``<key>=<value>,...``.

    :param keys: what may be in it, with what makes a value of its text.
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
                raise argparse.ArgumentTypeError(f"{part!r} is none of {known}")
            try:
                parsed[key] = self.keys[key](value.strip())
            except ValueError as error:
                raise argparse.ArgumentTypeError(f"{key}: {error}") from error
        return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter(Option):
    """One key of a dict.

    :param value: makes a value of its text.
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


def port_range(text: str) -> tuple[int, int]:
    """Read ``23:100`` or ``23``.

    :raises argparse.ArgumentTypeError: it is neither.
    """
    first, colon, last = text.partition(":")
    try:
        return int(first), int(last if colon else first)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not <first>:<last>, such as 23:23 or 1000:2000"
        ) from None


def boolean(text: str) -> bool:
    """Read true or false.

    :raises ValueError: it is neither.
    """
    words = {"true": True, "false": False}
    if text.lower() not in words:
        raise ValueError(f"{text!r} is neither true nor false")
    return words[text.lower()]


def word_or_none(text: str) -> str | None:
    """Read a word; ``none`` is none."""
    return None if text.lower() in ("", "none") else text


def words(text: str) -> list[str]:
    """Read words between ``&`` signs."""
    return [word for word in text.split("&") if word]


def n_tuple_mapping(text: str) -> dict[str, dict[str, Any]]:
    """Read how a function changes headers: ``<field>_ingress=<value>&<field>_egress=<value>``, the fields named as in the API.

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
