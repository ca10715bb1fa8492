"""A connection to one bridge of a host: its database and its OpenFlow flows."""

from typing import Any, Protocol

from neutron_lib.plugins.ml2 import ovs_constants

# Bundles came with OpenFlow 1.4; Neutron's bridges speak it already.
OPENFLOW = ovs_constants.OPENFLOW14
# Later versions know no "no-flood" of a port: with one of them ovs-ofctl changes nothing and says nothing.
OPENFLOW_OF_FLOODS = ovs_constants.OPENFLOW10


class BridgeConnection(Protocol):
    """A bridge within reach."""

    @property
    def name(self) -> str:
        """Its name in the switch's database."""

    @property
    def database(self) -> Any:
        """The switch's database, an ``ovsdbapp.schema.open_vswitch.api.API``."""

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """Run ``ovs-ofctl COMMAND BRIDGE ARGUMENTS...``.

        :param args: options and arguments, in any order.
        :param version: of OpenFlow.
        :returns: what it printed.
        :raises RuntimeError: it failed: a rule that is not there must not pass for one that is.
        """


def ofctl_argv(target: str, command: str, args: tuple[str, ...], version: str) -> list[str]:
    """Return the command line of ``ovs-ofctl``.

    :param target: a bridge's name, or a connection such as ``tcp:192.0.2.1:6654``.
    """
    options = [arg for arg in args if arg.startswith("--")]
    operands = [arg for arg in args if not arg.startswith("--")]
    return ["ovs-ofctl", *options, "-O", version, command, target, *operands]


def ports_of(reach: BridgeConnection, table: str, columns: list[str]) -> list[dict[str, Any]]:
    """Read columns of all ports of a bridge.

    :param table: ``Port`` or ``Interface``.
    :raises Exception: of ovsdbapp, when there is no such bridge or the database does not answer.
    """
    names = reach.database.list_ports(reach.name).execute(check_error=True)
    if not names:
        return []
    found = reach.database.db_list(table, names, columns=columns, if_exists=True)
    rows: list[dict[str, Any]] = found.execute(check_error=True)
    return rows
