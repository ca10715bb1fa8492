"""Hooks of cliff that add our attributes to the ``openstack sfc`` commands of python-neutronclient.

A hook extends a command of another package and replaces nothing, so it does not matter which of
the two packages is found first (decision 26). With a server that lacks an attribute, the commands
work as without the hooks.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from cliff import hooks
from openstack.network.v2.sfc_port_pair import SfcPortPair
from openstack.network.v2.sfc_port_pair_group import SfcPortPairGroup

from portchain.cli.client import Client, Shown
from portchain.cli.kinds import PORT_CHAIN, PORT_PAIR, PORT_PAIR_GROUP, Kind
from portchain.cli.options import Attributes, Option, Parameter

_ID = "ID"
_RESOURCES = {PORT_PAIR.name: SfcPortPair, PORT_PAIR_GROUP.name: SfcPortPairGroup}
"""openstacksdk's classes for the resources that commands create and update."""


@dataclass(frozen=True, slots=True)
class Additions:
    """Attributes and options that the hooks add to the commands for one kind of resource.

    Options follow from the attributes: a create command gets those that `portchain.cli.kinds`
    calls creatable, a set command those that it calls updatable.

    :param attributes: attributes that the commands show, and accept if requests may set them.
    :param short: those of them that lists show without ``--long``.
    :param set_options: more options of the set command.
    """

    kind: Kind
    attributes: tuple[str, ...]
    short: tuple[str, ...] = ()
    set_options: tuple[Option, ...] = ()

    @property
    def headings(self) -> dict[str, str]:
        """The attributes, each with the heading of its column."""
        return {name: name.replace("_", " ").title() for name in self.attributes}

    def options(self, *, creating: bool) -> tuple[Option, ...]:
        """Return the options that a create command gets, or else a set command."""
        added = tuple(
            option
            for option in self.kind.options
            if option.attribute in self.attributes
            and (option.creatable if creating else option.updatable)
        )
        return added if creating else (*added, *self.set_options)


_OPERATING = ("operating_status", "operating_status_reason")

CHAINS = Additions(
    PORT_CHAIN, ("status", "status_reason", *_OPERATING), short=("status", "operating_status")
)
GROUPS = Additions(
    PORT_PAIR_GROUP,
    (
        "shared",
        "health_check",
        "health_check_parameters",
        "failure_mode",
        "min_healthy",
        "on_failure",
        *_OPERATING,
    ),
    short=("operating_status",),
)
PAIRS = Additions(
    PORT_PAIR,
    ("function_kind", "admin_state_up", "backup", *_OPERATING),
    short=("operating_status",),
    set_options=(
        Parameter(
            flag="--weight",
            attribute="service_function_parameters",
            key="weight",
            value=int,
            help="Share of new flows that the service function gets, relative to the other port "
            "pairs of its group: 0 to 65535, 0 for none",
        ),
    ),
)


class _Hook(hooks.CommandHook):
    """A hook that changes nothing; cliff demands all of these methods."""

    adds: ClassVar[Additions]

    def get_parser(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Return the command's parser, to which options may be added."""
        return parser

    def get_epilog(self) -> str | None:
        """Return more text for the end of the help."""
        headings = ", ".join(self.adds.headings.values())
        return f"neutron-portchain adds: {headings}."

    def before(self, parsed_args: argparse.Namespace) -> argparse.Namespace:
        """Return the arguments with which the command runs."""
        return parsed_args

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Return what is printed, given what the command returned."""
        return return_code

    @property
    def _network(self) -> Any:
        manager = self.cmd.app.client_manager  # type: ignore[attr-defined]  # openstackclient's
        return manager.network


class _OneHook(_Hook):
    """Adds attributes to a command that shows one resource."""

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Return the command's columns and values, and more of them."""
        columns, values = return_code
        resource_id = dict(zip(columns, values, strict=True))[_ID]
        (shown,) = Client(self._network).list(self.adds.kind, id=resource_id)
        more = {
            heading: shown[name] for name, heading in self.adds.headings.items() if name in shown
        }
        return (*columns, *more), (*values, *more.values())


class _ListHook(_Hook):
    """Adds attributes to a list, with one more request whatever its length."""

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Return the command's columns and rows, and more columns."""
        columns, rows = return_code
        shown = {item["id"]: item for item in Client(self._network).list(self.adds.kind)}
        present = {name for item in shown.values() for name in item}
        more = {
            name: heading
            for name, heading in self.adds.headings.items()
            if name in present and (parsed_args.long or name in self.adds.short)
        }
        return (*columns, *more.values()), self._widen(columns, rows, shown, list(more))

    @staticmethod
    def _widen(
        columns: Sequence[str], rows: Any, shown: dict[str, Shown], more: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        id_column = list(columns).index(_ID)
        for row in rows:
            # A resource deleted between the two requests gets empty columns.
            item = shown.get(row[id_column], {})
            yield (*row, *(item.get(name, "") for name in more))


class _SendingHook(_Hook):
    """Adds options to a command that creates or updates a resource, and sends their values.

    ``method`` is the method of openstacksdk's proxy by which the command sends its request.
    """

    method: ClassVar[str]
    creating: ClassVar[bool]

    @property
    def options(self) -> tuple[Option, ...]:
        """The options that the command gets."""
        return self.adds.options(creating=self.creating)

    def get_epilog(self) -> str | None:
        """Return more text for the end of the help."""
        flags = ", ".join(flag for option in self.options for flag in option.flags)
        return f"neutron-portchain adds: {flags}."

    def get_parser(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Return the command's parser with our options."""
        for option in self.options:
            option.add_to(parser, creating=self.creating)
        return parser

    def before(self, parsed_args: argparse.Namespace) -> argparse.Namespace:
        """Replace the method by which the command is about to send its request.

        openstacksdk's method drops attributes that it does not know.
        """
        client = Client(self._network)
        overrides = vars(self._network)
        overrides.pop(self.method, None)  # an earlier command of this process may have left it
        more: Attributes = {}
        for option in self.options:
            more |= option.read(parsed_args, client.find)
        if more:
            overrides[self.method] = partial(self._send, client, more)
        return parsed_args

    def _send(
        self, client: Client, more: Attributes, resource_id: str = "", **attributes: Any
    ) -> Any:
        """Send the command's attributes and ours; return the resource as openstacksdk would."""
        kind, body = self.adds.kind, attributes | more
        if self.creating:
            return _RESOURCES[kind.name].existing(**client.create(kind, body))
        return _RESOURCES[kind.name].existing(**client.update(kind, resource_id, body))


# The hooks that pyproject.toml names, one for each command.


class OnePortChain(_OneHook):
    """``sfc port chain show`` and ``create``."""

    adds = CHAINS


class PortChains(_ListHook):
    """``sfc port chain list``."""

    adds = CHAINS


class OnePortPairGroup(_OneHook):
    """``sfc port pair group show``."""

    adds = GROUPS


class PortPairGroups(_ListHook):
    """``sfc port pair group list``."""

    adds = GROUPS


class NewPortPairGroup(_SendingHook, OnePortPairGroup):
    """``sfc port pair group create``."""

    method = "create_sfc_port_pair_group"
    creating = True


class ChangedPortPairGroup(_SendingHook):
    """``sfc port pair group set``."""

    adds = GROUPS
    method = "update_sfc_port_pair_group"
    creating = False


class OnePortPair(_OneHook):
    """``sfc port pair show``."""

    adds = PAIRS


class PortPairs(_ListHook):
    """``sfc port pair list``."""

    adds = PAIRS


class NewPortPair(_SendingHook, OnePortPair):
    """``sfc port pair create``."""

    method = "create_sfc_port_pair"
    creating = True


class ChangedPortPair(_SendingHook):
    """``sfc port pair set``."""

    adds = PAIRS
    method = "update_sfc_port_pair"
    creating = False
