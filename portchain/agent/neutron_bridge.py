"""A bridge of this host, through the objects of Neutron's Open vSwitch agent."""

from collections.abc import Callable
from typing import Any

from neutron.agent.common import utils as agent_utils
from neutron_lib import exceptions

from portchain.dataplane.flow import COOKIE
from portchain.host.bridge import OPENFLOW, OPENFLOW_FOR_FLOODING, appctl_argv, ofctl_argv


def call_before_default_flows(bridge: Any, callback: Callable[[], None]) -> None:
    """Have a function called each time before Neutron's agent installs the default flows of br-int.

    The agent installs them after a restart of the switch. From the first of them on, br-int
    forwards packets, so our flows must be there before. The agent notifies its extensions only
    when all bridges are set up. That is too late, and there is no earlier event: hence this wraps
    the bridge's method.

    :param bridge: br-int, the agent's own object.
    """
    setup_default_table = bridge.setup_default_table

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        callback()
        return setup_default_table(*args, **kwargs)

    bridge.setup_default_table = wrapped


class NeutronBridge:
    """A ``BridgeConnection`` over the agent extension API.

    :param bridge: Neutron's ``OVSBridge``.
    """

    def __init__(self, bridge: Any) -> None:
        self._bridge = bridge
        # The agent deletes flows whose cookie nobody has reserved. Ours is always the same, so that
        # flows outlive a restart of the agent.
        bridge.set_agent_uuid_stamp(COOKIE)
        bridge.use_at_least_protocol(OPENFLOW)
        bridge.add_protocols(OPENFLOW_FOR_FLOODING)

    @property
    def name(self) -> str:
        """See ``BridgeConnection``."""
        return str(self._bridge.br_name)

    @property
    def target(self) -> str:
        """See ``BridgeConnection``."""
        return self.name

    @property
    def database(self) -> Any:
        """See ``BridgeConnection``."""
        return self._bridge.ovsdb

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``BridgeConnection``."""
        # Not OVSBridge.run_ofctl: it logs failures and does not raise.
        return run_ofctl(ofctl_argv(self.name, command, args, version), stdin)

    def appctl(self, command: str, *args: str) -> str:
        """See ``BridgeConnection``."""
        return run_ofctl(appctl_argv(command, *args))


def run_ofctl(argv: list[str], stdin: str | None = None) -> str:
    """Run ovs-ofctl or ovs-appctl as root, and return what it printed.

    :raises RuntimeError: it failed.
    """
    try:
        return agent_utils.execute(
            argv,
            run_as_root=True,
            process_input=stdin,
            privsep_exec=True,
            log_fail_as_error=False,
        )
    except exceptions.ProcessExecutionError as exc:
        # The text repeats all input, and ends with what the tool printed.
        error = str(exc).rpartition("Stderr: ")[2] or str(exc)
        raise RuntimeError(" ".join(error.split())) from exc
