"""How one bridge of a host is worked on: the part of the switch that depends on where one works from."""

from collections.abc import Callable
from typing import Any, Protocol

from neutron.agent.common import utils as agent_utils
from neutron_lib import exceptions
from neutron_lib.plugins.ml2 import ovs_constants

from portchain.dataplane.flow import COOKIE

# Bundles came with OpenFlow 1.4; Neutron's bridges speak it already.
OPENFLOW = ovs_constants.OPENFLOW14
# Later versions know no "no-flood" of a port: with one of them ovs-ofctl changes nothing and says nothing.
OPENFLOW_OF_FLOODS = ovs_constants.OPENFLOW10


class Reach(Protocol):
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


def ports_of(reach: Reach, table: str, columns: list[str]) -> list[dict[str, Any]]:
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


def before_default_rules(bridge: Any, act: Callable[[], None]) -> None:
    """Have something done whenever Neutron's agent is about to give br-int its default rules: after a restart of the switch.

    With the first of them br-int switches like any switch. The agent tells its extensions when all bridges are set up, which is
    too late for what must not go around a chain, and has no earlier event; hence this wraps the method of the one object.

    :param bridge: br-int, as the agent itself works on it.
    """
    set_up = bridge.setup_default_table

    def setup_default_table(*args: Any, **kwargs: Any) -> Any:
        act()
        return set_up(*args, **kwargs)

    bridge.setup_default_table = setup_default_table


class NeutronBridge:
    """A bridge of this host, as the agent extension API gives it.

    :param bridge: Neutron's ``OVSBridge``.
    """

    def __init__(self, bridge: Any) -> None:
        self._bridge = bridge
        # Neutron's agent deletes rules with cookies that nobody reserved; ours outlive restarts by keeping one cookie.
        bridge.set_agent_uuid_stamp(COOKIE)
        bridge.use_at_least_protocol(OPENFLOW)
        bridge.add_protocols(OPENFLOW_OF_FLOODS)

    @property
    def name(self) -> str:
        """See ``Reach``."""
        return str(self._bridge.br_name)

    @property
    def database(self) -> Any:
        """See ``Reach``."""
        return self._bridge.ovsdb

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``Reach``."""
        # OVSBridge.run_ofctl logs failures and goes on.
        try:
            return agent_utils.execute(
                ofctl_argv(self.name, command, args, version),
                run_as_root=True,
                process_input=stdin,
                privsep_exec=True,
                log_fail_as_error=False,
            )
        except exceptions.ProcessExecutionError as exc:
            # Its text repeats all that was sent; what the switch says to it stands at the end.
            said = str(exc).rpartition("Stderr: ")[2] or str(exc)
            raise RuntimeError(" ".join(said.split())) from exc
