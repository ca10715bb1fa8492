"""The extension of Neutron's Open vSwitch agent: turns its events into work for the reconciler."""

from typing import Any

from neutron_lib.agent import l2_extension
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_config import cfg
from oslo_log import log

from portchain.agent.neutron_bridge import NeutronBridge, before_default_rules
from portchain.agent.options import register_agent_opts
from portchain.dataplane.flow import Bridge
from portchain.host.bridge import BridgeConnection
from portchain.host.open_vswitch import OpenVSwitch, configured_firewall
from portchain.host.worker import HostWorker
from portchain.rpc import contract
from portchain.rpc.agent import AgentEndpoint

LOG = log.getLogger(__name__)

_FIRST_ANSWER_SECONDS = 10.0
"""How long the first ports of an agent that has started wait for the server to say which chains they are in."""


class PortChainAgentExtension(l2_extension.L2AgentExtension):
    """Steers traffic through port chains on one compute host."""

    def consume_api(self, agent_api: Any) -> None:
        """Take the bridges the agent works on."""
        self._agent_api = agent_api

    def initialize(self, connection: Any, driver_type: str) -> None:
        """Start working.

        :raises ValueError: the agent is not an Open vSwitch agent.
        """
        if driver_type != ovs_constants.EXTENSION_DRIVER_TYPE:
            raise ValueError(
                f"port_chain is an extension of the Open vSwitch agent; this agent's type is {driver_type}"
            )
        register_agent_opts(cfg.CONF)
        self._physical: dict[str, Any] = {}
        self._switch = self._open_switch()
        self._worker = HostWorker(cfg.CONF.host, self._switch)
        self._reconciler = self._worker.reconciler
        self._wait_seconds = _FIRST_ANSWER_SECONDS
        endpoint = AgentEndpoint(cfg.CONF.host, self._worker.receive)
        connection.create_consumer(contract.AGENT_TOPIC, [endpoint], fanout=False)
        self._worker.start()
        before_default_rules(self._agent_api.br_int, self._restore)

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
        )

    def _new_physical_bridges(self) -> dict[Bridge, BridgeConnection]:
        """The bridges to physical networks that Neutron's agent has made since this was asked last.

        Where the bridge was made anew, so is the agent's object for it; and soon after that it deletes the rules with a cookie
        that is not reserved there. In between it handles all ports.
        """
        api = self._agent_api
        made = {
            name: bridge
            for name in api.bridge_mappings
            if (bridge := api.br_phys.get(name)) and bridge is not self._physical.get(name)
        }
        self._physical |= made
        return {
            Bridge.physical(name): NeutronBridge(api.request_physical_br(name)) for name in made
        }

    # Neutron's events.

    def handle_port(self, context: Any, data: dict[str, Any]) -> None:
        """A port was plugged in or updated.

        Done at once: the agent lets the port's traffic pass when this returns, and nothing may go around a chain.
        """
        self._wait_until_informed()
        try:
            if made := self._new_physical_bridges():
                self._switch.update_bridges(made)
                self._reconciler.reconcile()
            self._reconciler.ports_changed([data["port_id"]])
        except Exception:
            LOG.exception("Rules for port %s could not be applied; trying again", data["port_id"])
            self._worker.compare()

    def _wait_until_informed(self) -> None:
        """An agent that has started does not know its chains yet. Neutron's server has just answered it, so ours does soon; if
        not, ports are wired all the same, once: those of machines that are in no chain must not wait for it for ever.
        """
        if not self._worker.informed.wait(self._wait_seconds) and self._wait_seconds:
            self._wait_seconds = 0.0
            LOG.warning(
                "The Neutron server has not said which port chains there are. Ports are wired without"
            )

    def delete_port(self, context: Any, data: dict[str, Any]) -> None:
        """A port was unplugged or deleted."""
        self._worker.port_changed(data["port_id"])

    def handle_switch_restart(self) -> None:
        """The switch lost its rules: see that ours are back, on bridges made anew too, before the agent wires the ports."""
        self._restore(renew_bridges=True)

    def _restore(self, renew_bridges: bool = False) -> None:
        try:
            if renew_bridges:
                self._switch.update_bridges(self._new_physical_bridges())
            self._reconciler.reconcile()
        except Exception:
            LOG.exception(
                "Rules could not be restored after the restart of the switch; trying again"
            )
            self._worker.compare()
