"""The extension of Neutron's Open vSwitch agent: turns its events into work for the reconciler."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.agent import l2_extension
from neutron_lib.plugins.ml2 import ovs_constants
from oslo_config import cfg
from oslo_log import log

from portchain import conf
from portchain.agent.reconciler import Reconciler
from portchain.agent.switch import OpenVSwitch
from portchain.dataplane.change import Patience
from portchain.dataplane.local import Firewall
from portchain.model import HostReport
from portchain.rpc import contract
from portchain.rpc.agent import AgentEndpoint
from portchain.rpc.server import ServerClient

LOG = log.getLogger(__name__)

_OVS_FIREWALLS = ("openvswitch", "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver")
_RETRY_SECONDS = 2
_FIRST_ANSWER_SECONDS = 10.0
"""How long the first ports of an agent that has started wait for the server to say which chains they are in."""


class PortChainAgentExtension(l2_extension.L2AgentExtension):
    """Steers traffic through port chains on one compute host.

    Two threads of its own: one talks to the server, so that a broker that is away does not delay the switch; the other works
    on the switch, so that Neutron's agent is not held up.
    """

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
        conf.register_agent_opts(cfg.CONF)
        self._host = cfg.CONF.host
        options = cfg.CONF[conf.GROUP]
        patience = Patience(options.switch_timeout, options.drain_time)
        self._physical: dict[str, Any] = {}
        self._switch = self._open_switch()
        self._reconciler = Reconciler(self._switch, self._host, self._queue_reports, patience)
        self._server = ServerClient()
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._reports: dict[str, HostReport] = {}
        self._reports_lock = threading.Lock()
        self._talk = threading.Event()
        self._informed = threading.Event()
        self._wait_seconds = _FIRST_ANSWER_SECONDS
        connection.create_consumer(
            contract.AGENT_TOPIC, [AgentEndpoint(self._host, self._receive)], fanout=False
        )
        for target in (self._work_on_switch, self._talk_to_server):
            threading.Thread(
                target=target, name=f"port_chain{target.__name__}", daemon=True
            ).start()

    def _open_switch(self) -> OpenVSwitch:
        ovs, api = cfg.CONF.OVS, self._agent_api
        return OpenVSwitch(
            host=self._host,
            firewall=_firewall(),
            int_br=api.request_int_br(),
            tun_br=api.request_tun_br(),
            physical_brs=self._new_physical_bridges(),
            patch_to_tun=ovs.int_peer_patch_port,
            patch_to_int=ovs.tun_peer_patch_port,
        )

    def _new_physical_bridges(self) -> dict[str, Any]:
        """The bridges to physical networks, by those, that Neutron's agent has made since this was asked last.

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
        return {name: api.request_physical_br(name) for name in made}

    # Neutron's events.

    def handle_port(self, context: Any, data: dict[str, Any]) -> None:
        """A port was plugged in or updated.

        Done at once: the agent lets the port's traffic pass when this returns, and nothing may go around a chain.
        """
        self._wait_until_informed()
        try:
            if made := self._new_physical_bridges():
                self._switch.take(made)
                self._reconciler.reconcile()
            self._reconciler.ports_changed([data["port_id"]])
        except Exception:
            LOG.exception("Rules for port %s could not be applied; trying again", data["port_id"])
            self._work.put(self._reconciler.reconcile)

    def _wait_until_informed(self) -> None:
        """An agent that has started does not know its chains yet. Neutron's server has just answered it, so ours does soon; if
        not, ports are wired all the same, once: those of machines that are in no chain must not wait for it for ever.
        """
        if not self._informed.wait(self._wait_seconds) and self._wait_seconds:
            self._wait_seconds = 0.0
            LOG.warning(
                "The Neutron server has not said which port chains there are. Ports are wired without"
            )

    def delete_port(self, context: Any, data: dict[str, Any]) -> None:
        """A port was unplugged or deleted."""
        self._work.put(lambda: self._reconciler.ports_changed([data["port_id"]]))

    def handle_switch_restart(self) -> None:
        """The switch lost its rules: put ours back before the agent goes on to wire the ports."""
        try:
            self._switch.take(self._new_physical_bridges())
            self._reconciler.reconcile()
        except Exception:
            LOG.exception(
                "Rules could not be restored after the restart of the switch; trying again"
            )
            self._work.put(self._reconciler.reconcile)

    # The server's messages.

    def _receive(self, update: contract.PlanUpdate) -> None:
        self._work.put(lambda: self._reconciler.update(update))

    def _queue_reports(self, reports: list[HostReport]) -> None:
        with self._reports_lock:
            self._reports.update((report.chain_id, report) for report in reports)
        self._talk.set()

    # The threads.

    def _work_on_switch(self) -> None:
        """Do one thing after the other; when one fails, go on and compare everything with the switch soon."""
        while True:
            try:
                self._next_work()()
            except Exception:
                LOG.exception(
                    "Rules could not be applied; the switch is compared again in %s s",
                    _RETRY_SECONDS,
                )

    def _next_work(self) -> Callable[[], object]:
        """Wait for something to do."""
        reconciler = self._reconciler
        failed, waiting = not reconciler.is_in_sync, reconciler.is_waiting
        times = [reconciler.seconds_left, _RETRY_SECONDS if failed or waiting else None]
        timeout = min((seconds for seconds in times if seconds is not None), default=None)
        try:
            return self._work.get(timeout=timeout)
        except queue.Empty:
            if reconciler.seconds_left == 0:
                return reconciler.advance
            return reconciler.reconcile if failed else reconciler.look_for_missing

    def _talk_to_server(self) -> None:
        """Bring reports to the server as they come, and ask now and then whether a message was lost."""
        next_sync = _Timer(cfg.CONF.port_chain.sync_interval)
        while True:
            # Each by itself: a report that the server refuses must not keep this host from what it should do.
            reported = self._attempt(self._send_reports)
            if next_sync.due and self._attempt(self._synchronise):
                next_sync.restart()
            self._talk.wait(next_sync.left if reported and not next_sync.due else _RETRY_SECONDS)
            self._talk.clear()

    @staticmethod
    def _attempt(conversation: Callable[[], None]) -> bool:
        """Hold a conversation with the server; returns whether it came to its end."""
        try:
            conversation()
        except Exception as exc:
            LOG.warning(
                "The Neutron server did not answer (%s); trying again in %s s", exc, _RETRY_SECONDS
            )
            return False
        return True

    def _synchronise(self) -> None:
        update = self._server.sync(
            n_context.get_admin_context_without_session(), self._host, self._reconciler.known
        )
        self._work.put(lambda: self._repair(update))

    def _repair(self, update: contract.PlanUpdate) -> None:
        if self._reconciler.synchronise(update):
            LOG.info("The switch was brought to the plans of its chains")
        self._informed.set()

    def _send_reports(self) -> None:
        with self._reports_lock:
            reports = list(self._reports.values())
        if not reports:
            return
        self._server.report(n_context.get_admin_context_without_session(), self._host, reports)
        with self._reports_lock:
            for report in reports:
                if self._reports.get(report.chain_id) == report:
                    del self._reports[report.chain_id]


class _Timer:
    """Comes due after an interval, and at once the first time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = time.monotonic()

    @property
    def due(self) -> bool:
        return self.left <= 0

    @property
    def left(self) -> float:
        return max(0.0, self._due_at - time.monotonic())

    def restart(self) -> None:
        self._due_at = time.monotonic() + self._seconds


def _firewall() -> Firewall:
    group = cfg.CONF.SECURITYGROUP
    on_bridge = group.enable_security_group and group.firewall_driver in _OVS_FIREWALLS
    return Firewall.OPENVSWITCH if on_bridge else Firewall.ELSEWHERE
