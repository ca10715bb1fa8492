"""A connection to one bridge of a host: its OVSDB rows and its OpenFlow flows."""

from typing import Any, Protocol

from neutron_lib.plugins.ml2 import ovs_constants

OPENFLOW = ovs_constants.OPENFLOW14
"""The version for flows: the first with bundles. Neutron's agent enables it on its bridges."""

OPENFLOW_FOR_FLOODING = ovs_constants.OPENFLOW10
"""The version for the port setting "no-flood". Later versions do not have it: with one of them,
``ovs-ofctl mod-port`` changes nothing and reports no error."""


class BridgeConnection(Protocol):
    """One bridge of a host, reached locally or over the network."""

    @property
    def name(self) -> str:
        """The bridge's name in the database."""

    @property
    def database(self) -> Any:
        """The host's Open vSwitch database, an ``ovsdbapp.schema.open_vswitch.api.API``."""

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """Run ``ovs-ofctl COMMAND BRIDGE ARGUMENTS...``.

        :param args: options and arguments, in any order.
        :param version: of OpenFlow.
        :returns: what it printed.
        :raises RuntimeError: it failed. A caller must be able to rely on a flow being there.
        """


def ofctl_argv(target: str, command: str, args: tuple[str, ...], version: str) -> list[str]:
    """Return the command line of ``ovs-ofctl``.

    Our flows have numbers for ports and tables. To look up names, ovs-ofctl would read the features
    of all tables, 16 MB, before it adds a flow.

    :param target: a bridge's name, or its address, e.g. ``tcp:192.0.2.1:6654``.
    """
    options = [arg for arg in args if arg.startswith("--")]
    operands = [arg for arg in args if not arg.startswith("--")]
    return ["ovs-ofctl", "--no-names", *options, "-O", version, command, target, *operands]


def read_port_rows(
    bridge: BridgeConnection, table: str, columns: list[str]
) -> list[dict[str, Any]]:
    """Read columns of all ports of a bridge.

    :param table: ``Port`` or ``Interface``.
    :raises Exception: of ovsdbapp, if there is no such bridge or the database does not answer.
    """
    names = bridge.database.list_ports(bridge.name).execute(check_error=True)
    if not names:
        return []
    query = bridge.database.db_list(table, names, columns=columns, if_exists=True)
    rows: list[dict[str, Any]] = query.execute(check_error=True)
    return rows
