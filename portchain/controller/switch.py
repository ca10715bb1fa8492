"""A host's Open vSwitch, reached over the network."""

import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from oslo_config import cfg
from oslo_log import log

from portchain.controller.endpoint import Endpoint
from portchain.controller.switch_copy import copied
from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import LocalSwitch
from portchain.host.bridge import (
    OPENFLOW,
    OPENFLOW_FOR_FLOODING,
    BridgeConnection,
    UnreachableSwitchError,
    ofctl_argv,
)
from portchain.host.flow_monitor import FlowMonitor
from portchain.host.live.switch import NO_DEVICES, Vif
from portchain.host.open_vswitch import OpenVSwitch, configured_firewall
from portchain.host.tracer import Tracing
from portchain.ovsdb.switch_database import SwitchDatabase

LOG = log.getLogger(__name__)


class RemoteBridge:
    """A ``portchain.host.bridge.BridgeConnection`` over TCP or SSL.

    :param database: an ``ovsdbapp.schema.open_vswitch.api.API``.
    :param index: position of the bridge in ``configured_bridges``.
    """

    def __init__(self, name: str, database: Any, endpoint: Endpoint, index: int) -> None:
        self.name = name
        self.database = database
        self.target = endpoint.bridge(index)
        self._listener = endpoint.listener(index)
        self._options = (*endpoint.tls_options, f"--timeout={endpoint.timeout}")

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``BridgeConnection``."""
        argv = ofctl_argv(self.target, command, (*self._options, *args), version)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def appctl(self, command: str, *args: str) -> str:
        """See ``BridgeConnection``. The socket of ovs-vswitchd is not reached over the network.

        :raises UnreachableSwitchError: always.
        """
        raise UnreachableSwitchError(
            "a portchain-controller programs this host over the network, and Open vSwitch answers "
            "such questions on the host only"
        )

    def ensure_listener(self) -> None:
        """Make the bridge listen for the controller, besides its connection to Neutron's agent.

        A new bridge does not listen yet. Neutron's agent also removes the listener whenever it sets
        itself as the bridge's controller.

        :raises Exception: of ovsdbapp, if the database refuses or does not answer.
        """
        database = self.database
        if self._listener in database.get_controller(self.name).execute(check_error=True):
            return
        with database.transaction(check_error=True) as transaction:
            row = transaction.add(database.db_create("Controller", target=self._listener))
            transaction.add(database.db_add("Bridge", self.name, "controller", row))
            versions = (OPENFLOW, OPENFLOW_FOR_FLOODING)
            transaction.add(database.db_add("Bridge", self.name, "protocols", *versions))
        LOG.info("Bridge %s now listens at %s for this controller", self.name, self._listener)


class RemoteSwitch(OpenVSwitch):
    """The bridges that Neutron's agent has set up on another host.

    The bridges are looked up by name before each use: the agent may not have created them yet.

    :param names: bridge -> name, in an order that never changes: it decides about the TCP ports.
    :param changed: called when our flows have changed or may have; must not block.
    """

    def __init__(
        self,
        host: str,
        endpoint: Endpoint,
        database: SwitchDatabase,
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
        self._monitors: dict[Bridge, FlowMonitor] = {}

    def read_ports(self) -> LocalSwitch:
        """See ``Switch``. Also looks up the bridges and makes each listen for the controller.

        :raises OvsdbUnreachableError: the database does not answer.
        :raises Exception: of ovsdbapp, if there is no br-int or the database does not answer in
            time.
        """
        self._bridges = self._find_bridges(self._database.connect())
        return super().read_ports()

    def _find_bridges(self, database: Any) -> dict[Bridge, BridgeConnection]:
        found: dict[Bridge, BridgeConnection] = {}
        for index, (bridge, name) in enumerate(self._names.items()):
            if bridge != Bridge.INT and not database.br_exists(name).execute(check_error=True):
                continue
            remote = RemoteBridge(name, database, self._endpoint, index)
            remote.ensure_listener()
            found[bridge] = remote
            if bridge not in self._monitors:
                self._monitors[bridge] = FlowMonitor(remote.target, self._changed)
        for bridge in self._monitors.keys() - found.keys():
            self._monitors.pop(bridge).stop()
        return found

    def tracing(self) -> AbstractContextManager[Tracing]:
        """See ``TraceableSwitch``: a copy of the bridges answers.

        :raises Exception: as ``switch_copy.copied``.
        """
        return copied(self._bridges.values())

    def vifs(self) -> Mapping[str, Vif]:
        """See ``LiveSwitch``. The devices are on the host.

        :raises UnreachableSwitchError: always.
        """
        raise UnreachableSwitchError(NO_DEVICES)

    def close(self) -> None:
        """Stop the flow monitors and disconnect from the database. Flows stay in the switch."""
        for monitor in self._monitors.values():
            monitor.stop()
        self._database.close()


def configured_bridges() -> dict[Bridge, str]:
    """Return bridge -> name, from the agents' own options in section ``ovs``."""
    ovs = cfg.CONF.OVS
    names = {Bridge.INT: ovs.integration_bridge, Bridge.TUN: ovs.tunnel_bridge}
    pairs = (mapping.partition(":") for mapping in ovs.bridge_mappings)
    return names | {Bridge.physical(network): name for network, _, name in pairs}
