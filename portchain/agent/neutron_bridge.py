"""A bridge of this host, through the objects of Neutron's Open vSwitch agent."""

from collections.abc import Callable
from typing import Any

from neutron.agent.common import utils as agent_utils
from neutron_lib import exceptions

from portchain.dataplane.flow import COOKIE
from portchain.host.bridge import OPENFLOW, OPENFLOW_OF_FLOODS, ofctl_argv


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
        """See ``BridgeConnection``."""
        return str(self._bridge.br_name)

    @property
    def database(self) -> Any:
        """See ``BridgeConnection``."""
        return self._bridge.ovsdb

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``BridgeConnection``."""
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
