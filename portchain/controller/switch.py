"""A host's switch, worked on from afar: ``portchain.host.open_vswitch`` over connections to its database and its bridges."""

import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from oslo_config import cfg
from oslo_log import log

from portchain.controller.database import Database
from portchain.controller.endpoint import Endpoint
from portchain.controller.flow_monitor import FlowMonitor
from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import LocalSwitch
from portchain.host.bridge import OPENFLOW, OPENFLOW_OF_FLOODS, BridgeConnection, ofctl_argv
from portchain.host.open_vswitch import OpenVSwitch, configured_firewall

LOG = log.getLogger(__name__)


class RemoteBridge:
    """A bridge within reach of ``ovs-ofctl`` over TCP or SSL; a ``portchain.host.bridge.BridgeConnection``.

    :param database: an ``ovsdbapp.schema.open_vswitch.api.API``.
    :param index: of the bridge among those of the host, from 0.
    """

    def __init__(self, name: str, database: Any, endpoint: Endpoint, index: int) -> None:
        self.name = name
        self.database = database
        self.target = endpoint.switch(index)
        self._listener = endpoint.listener(index)
        self._options = (*endpoint.keys, f"--timeout={endpoint.timeout}")

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``BridgeConnection``."""
        argv = ofctl_argv(self.target, command, (*self._options, *args), version)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def open(self) -> None:
        """Have the bridge listen for us, beside the controller it has: Neutron's agent. A new bridge does not yet, and the
        agent forgets all others when it enters itself into one.

        :raises Exception: of ovsdbapp, when the database refuses or does not answer.
        """
        database = self.database
        if self._listener in database.get_controller(self.name).execute(check_error=True):
            return
        with database.transaction(check_error=True) as change:
            row = change.add(database.db_create("Controller", target=self._listener))
            change.add(database.db_add("Bridge", self.name, "controller", row))
            versions = (OPENFLOW, OPENFLOW_OF_FLOODS)
            change.add(database.db_add("Bridge", self.name, "protocols", *versions))
        LOG.info("Bridge %s listens at %s", self.name, self._listener)


class RemoteSwitch(OpenVSwitch):
    """The bridges that Neutron's agent has set up on a host that is not ours.

    Which they are is looked up each time, by the names that agents are configured with: the agent may not have made them yet.

    :param names: of the bridges, in an order that stays.
    :param changed: called when rules may not be what they were; must not block.
    """

    def __init__(
        self,
        host: str,
        endpoint: Endpoint,
        database: Database,
        names: Mapping[Bridge, str],
        changed: Callable[[], None],
    ) -> None:
        super().__init__(
            host=host,
            firewall=configured_firewall(),
            bridges={},
            patch_to_tun=cfg.CONF.OVS.int_peer_patch_port,
            patch_to_int=cfg.CONF.OVS.tun_peer_patch_port,
        )
        self._endpoint = endpoint
        self._database = database
        self._names = names
        self._changed = changed
        self._watches: dict[Bridge, FlowMonitor] = {}

    def read_ports(self) -> LocalSwitch:
        """Look up what is plugged in now, and see that every bridge is within reach.

        :raises UnreachableError: the database does not answer.
        :raises Exception: of ovsdbapp, when there is no br-int or the database does not answer in time.
        """
        self._bridges = self._reach(self._database.connect())
        return super().read_ports()

    def _reach(self, database: Any) -> dict[Bridge, BridgeConnection]:
        found: dict[Bridge, BridgeConnection] = {}
        for index, (bridge, name) in enumerate(self._names.items()):
            if bridge != Bridge.INT and not database.br_exists(name).execute(check_error=True):
                continue
            reach = RemoteBridge(name, database, self._endpoint, index)
            reach.open()
            found[bridge] = reach
            if bridge not in self._watches:
                watch = FlowMonitor(reach.target, self._endpoint.keys, self._changed)
                self._watches[bridge] = watch
        for bridge in self._watches.keys() - found.keys():
            self._watches.pop(bridge).stop()
        return found

    def close(self) -> None:
        """Stop watching, and disconnect."""
        for watch in self._watches.values():
            watch.stop()
        self._database.close()


def configured_bridges() -> dict[Bridge, str]:
    """The bridges of the hosts by the options that their agents are configured with, section ``ovs``."""
    ovs = cfg.CONF.OVS
    names = {Bridge.INT: ovs.integration_bridge, Bridge.TUN: ovs.tunnel_bridge}
    pairs = (mapping.partition(":") for mapping in ovs.bridge_mappings)
    return names | {Bridge.physical(network): name for network, _, name in pairs}
