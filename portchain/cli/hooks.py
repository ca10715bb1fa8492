"""What the ``openstack sfc`` commands of python-neutronclient show and take besides, as hooks of cliff.

A hook adds to a command that another package brings; it does not stand in for it, so it does not matter which of the two is
found first (decision 26). With a server that lacks an attribute the commands are as without the hooks.
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


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is shown besides.

    :param heads: attributes, with the heads of their columns.
    :param long: those of them that only long lists have.
    """

    kind: Kind
    heads: dict[str, str]
    long: tuple[str, ...]


_CHAIN = _Columns(
    PORT_CHAIN, {"status": "Status", "status_reason": "Status Reason"}, ("status_reason",)
)
_GROUP = _Columns(
    PORT_PAIR_GROUP,
    {"shared": "Shared", "health_check": "Health Check", "failure_mode": "Failure Mode"},
    ("shared", "health_check", "failure_mode"),
)
_PAIR = _Columns(PORT_PAIR, {"function_kind": "Function Kind"}, ("function_kind",))


class _Hook(hooks.CommandHook):
    """A hook that does nothing yet."""

    adds: ClassVar[_Columns]

    def get_parser(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Called by cliff: options may be added here."""
        return parser

    def get_epilog(self) -> str | None:
        """Called by cliff: more text at the end of the help."""
        heads = ", ".join(self.adds.heads.values())
        return f"neutron-portchain adds: {heads}."

    def before(self, parsed_args: argparse.Namespace) -> argparse.Namespace:
        """Called by cliff before the command is carried out."""
        return parsed_args

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Called by cliff with what the command returns; returns what is used instead."""
        return return_code

    @property
    def _network(self) -> Any:
        return self.cmd.app.client_manager.network  # type: ignore[attr-defined]  # of OpenStack's client


class _OneHook(_Hook):
    """Adds attributes to a command that shows one resource."""

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Called by cliff with the columns and values; returns more of them."""
        heads, values = return_code
        an_id = dict(zip(heads, values, strict=True))[_ID]
        (shown,) = Client(self._network).list(self.adds.kind, id=an_id)
        more = {head: shown[name] for name, head in self.adds.heads.items() if name in shown}
        return (*heads, *more), (*values, *more.values())


class _ListHook(_Hook):
    """Adds attributes to a list: with one more request, however long it is."""

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Called by cliff with the columns and rows; returns wider ones."""
        heads, rows = return_code
        shown = {one["id"]: one for one in Client(self._network).list(self.adds.kind)}
        present = {name for one in shown.values() for name in one}
        more = {
            name: head
            for name, head in self.adds.heads.items()
            if name in present and (parsed_args.long or name not in self.adds.long)
        }
        return (*heads, *more.values()), self._widen(heads, rows, shown, list(more))

    @staticmethod
    def _widen(
        heads: Sequence[str], rows: Any, shown: dict[str, Shown], more: Sequence[str]
    ) -> Iterator[tuple[Any, ...]]:
        place = list(heads).index(_ID)
        for row in rows:
            # Deleted between the two requests: the columns stay empty.
            one = shown.get(row[place], {})
            yield (*row, *(one.get(name, "") for name in more))


class OnePortChain(_OneHook):
    """``sfc port chain show`` and ``create``."""

    adds = _CHAIN


class PortChains(_ListHook):
    """``sfc port chain list``."""

    adds = _CHAIN


class OnePortPairGroup(_OneHook):
    """``sfc port pair group show`` and ``create``."""

    adds = _GROUP


class PortPairGroups(_ListHook):
    """``sfc port pair group list``."""

    adds = _GROUP


class OnePortPair(_OneHook):
    """``sfc port pair show``."""

    adds = _PAIR


class PortPairs(_ListHook):
    """``sfc port pair list``."""

    adds = _PAIR


class _Sending(_Hook):
    """Adds options to a command that creates or changes a resource, and what they give to its request."""

    options: ClassVar[tuple[Option, ...]]
    method: ClassVar[str]  # of openstacksdk's proxy, by which the command sends its request
    creating: ClassVar[bool]

    def get_epilog(self) -> str | None:
        """Called by cliff: more text at the end of the help."""
        flags = ", ".join(option.flag for option in self.options)
        return f"neutron-portchain adds: {flags}."

    def get_parser(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """Add the options."""
        for option in self.options:
            option.add_to(parser, creating=self.creating)
        return parser

    def before(self, parsed_args: argparse.Namespace) -> argparse.Namespace:
        """Have the request that follows carry the options."""
        client = Client(self._network)
        own = vars(self._network)
        own.pop(self.method, None)  # what an earlier command of this process left
        more: Attributes = {}
        for option in self.options:
            more |= option.read(parsed_args, client.find)
        if more:
            own[self.method] = partial(self._send, client, more)
        return parsed_args

    # In the place of openstacksdk's method, which drops attributes that it does not know.
    def _send(self, client: Client, more: Attributes, an_id: str = "", **attributes: Any) -> Any:
        kind, body = self.adds.kind, attributes | more
        shown = client.create(kind, body) if self.creating else client.update(kind, an_id, body)
        return _RESOURCES[kind.name].existing(**shown)


def _options(kind: Kind, *flags: str) -> tuple[Option, ...]:
    return tuple(option for option in kind.options if option.flag in flags)


class NewPortPair(_Sending, OnePortPair):
    """``sfc port pair create``."""

    options = _options(PORT_PAIR, "--function-kind")
    method = "create_sfc_port_pair"
    creating = True


class ChangedPortPair(_Sending):
    """``sfc port pair set``."""

    adds = _PAIR
    options = (
        Parameter(
            flag="--weight",
            attribute="service_function_parameters",
            key="weight",
            value=int,
            help="share of new flows that the service function gets, beside the others of its group; 0 for none",
        ),
    )
    method = "update_sfc_port_pair"
    creating = False


_HEALTH = _options(PORT_PAIR_GROUP, "--health-check", "--failure-mode")


class NewPortPairGroup(_Sending, OnePortPairGroup):
    """``sfc port pair group create``."""

    options = _HEALTH
    method = "create_sfc_port_pair_group"
    creating = True


class ChangedPortPairGroup(_Sending):
    """``sfc port pair group set``."""

    adds = _GROUP
    options = _HEALTH
    method = "update_sfc_port_pair_group"
    creating = False
