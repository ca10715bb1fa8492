"""The extension of Neutron's Open vSwitch agent: passes the agent's events on to the reconciler."""

from typing import Any

from neutron_lib.agent import l2_extension
from neutron_lib.callbacks import events, priority_group, registry, resources
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_config import cfg
from oslo_log import log

from portchain.agent.datapath import read_lacking
from portchain.agent.neutron_bridge import NeutronBridge, call_before_default_flows
from portchain.agent.options import register_agent_opts
from portchain.dataplane.flow import Bridge
from portchain.host.bridge import BridgeConnection
from portchain.host.endpoint import endpoints_of
from portchain.host.metrics import HostCollector
from portchain.host.open_vswitch import OpenVSwitch, configured_firewall, configured_rate_limits
from portchain.host.worker import HostWorker
from portchain.metrics.exporter import serve
from portchain.rpc import contract

LOG = log.getLogger(__name__)

_FIRST_SYNC_SECONDS = 10.0
"""How long the first port after a start of the agent waits for the server's first answer."""


class PortChainAgentExtension(l2_extension.L2AgentExtension):
    """Steers traffic through port chains on one compute host."""

    def consume_api(self, agent_api: Any) -> None:
        """Store the agent extension API, which gives access to the agent's bridges."""
        self._agent_api = agent_api

    def initialize(self, connection: Any, driver_type: str) -> None:
        """Connect to the bridges and to the server, and start to work.

        :raises ValueError: the agent is not an Open vSwitch agent.
        """
        if driver_type != ovs_constants.EXTENSION_DRIVER_TYPE:
            raise ValueError(
                "the extension port_chain works with the Open vSwitch agent only; the type of this "
                f"agent is {driver_type}"
            )
        register_agent_opts(cfg.CONF)
        self._physical: dict[str, Any] = {}
        self._switch = self._open_switch()
        self._read_datapath()
        self._worker = HostWorker(cfg.CONF.host, self._switch)
        self._reconciler = self._worker.reconciler
        self._first_sync_seconds = _FIRST_SYNC_SECONDS
        endpoints = endpoints_of(self._worker, self._switch)
        connection.create_consumer(contract.AGENT_TOPIC, endpoints, fanout=False)
        self._worker.start()
        serve(HostCollector([self._worker]))
        call_before_default_flows(self._agent_api.br_int, self._restore_flows)
        # The method handle_switch_restart of extensions is called from Neutron 29 on only.
        registry.subscribe(
            self._switch_restarted,
            resources.AGENT,
            events.OVS_RESTARTED,
            priority=priority_group.PRIORITY_DEFAULT - 1,  # before Neutron's firewall
        )

    def _open_switch(self) -> OpenVSwitch:
        ovs, api = cfg.CONF.OVS, self._agent_api
        bridges: dict[Bridge, BridgeConnection] = {Bridge.INT: NeutronBridge(api.request_int_br())}
        if (tunnels := api.request_tun_br()) is not None:
            bridges[Bridge.TUN] = NeutronBridge(tunnels)
        return OpenVSwitch(
            host=cfg.CONF.host,
            firewall=configured_firewall(),
            bridges=bridges | self._new_physical_bridges(),
            patch_to_tun=ovs.int_peer_patch_port,
            patch_to_int=ovs.tun_peer_patch_port,
            has_rate_limits=configured_rate_limits(),
        )

    def _new_physical_bridges(self) -> dict[Bridge, BridgeConnection]:
        """Return the physical bridges that the agent has created since the last call.

        When a bridge is created again, the agent creates a new object for it. Soon afterwards, it
        deletes the flows whose cookie is not reserved on that object. Between the two, it handles
        all ports: so calling this for each port is early enough to reserve our cookie.
        """
        api = self._agent_api
        created = {
            name: bridge
            for name in api.bridge_mappings
            if (bridge := api.br_phys.get(name)) and bridge is not self._physical.get(name)
        }
        self._physical |= created
        return {
            Bridge.physical(name): NeutronBridge(api.request_physical_br(name)) for name in created
        }

    # Events of Neutron's agent.

    def handle_port(self, context: Any, data: dict[str, Any]) -> None:
        """Program the chains of a port that was plugged in or updated.

        This blocks until the flows are in the switch: when it returns, the agent lets traffic of
        the port pass, and that traffic must not bypass its chains.
        """
        self._wait_for_first_sync()
        try:
            if bridges := self._new_physical_bridges():
                self._switch.update_bridges(bridges)
                self._reconciler.reconcile()
            self._reconciler.ports_changed([data["port_id"]])
        except Exception:
            LOG.exception("Could not program the chains of port %s; trying again", data["port_id"])
            self._worker.request_reconcile()

    def _wait_for_first_sync(self) -> None:
        """Wait until the plans of this host are known, at most once and for a limited time.

        Neutron's server has just answered the agent, so it usually answers us as well. If it does
        not, ports are wired without chains, because ports that are in no chain must not wait for
        ever.
        """
        seconds = self._first_sync_seconds
        if not self._reconciler.plans_known.wait(seconds) and seconds:
            self._first_sync_seconds = 0.0
            LOG.warning(
                "The Neutron server has not sent the port chains of this host within %s s. Ports "
                "are wired without chains until it does. Check the connection to the message "
                "broker, and that the server has loaded the service plugin port_chain",
                seconds,
            )

    def delete_port(self, context: Any, data: dict[str, Any]) -> None:
        """Program the chains of a port that was unplugged or deleted."""
        self._worker.port_changed(data["port_id"])

    def _switch_restarted(self, *_: Any, payload: Any = None) -> None:
        """Restore flows after a restart of the switch, before the agent wires the ports again."""
        self._restore_flows(renew_bridges=True)
        # It may be another release, with another module of the kernel. Flows were more urgent.
        if self._read_datapath():
            self._worker.request_reconcile()

    def _read_datapath(self) -> bool:
        """Read what the datapath lacks; return whether that has changed."""
        before = self._switch.lacks
        lacks = read_lacking(
            cfg.CONF.host, self._agent_api.br_int.br_name, cfg.CONF.OVS.datapath_type
        )
        self._switch.lacks = lacks or frozenset()  # chains work without the answer
        return self._switch.lacks != before

    def _restore_flows(self, renew_bridges: bool = False) -> None:
        try:
            if renew_bridges:
                self._switch.update_bridges(self._new_physical_bridges())
            self._reconciler.reconcile()
        except Exception:
            LOG.exception("Flows could not be restored after a restart of the switch; trying again")
            self._worker.request_reconcile()
