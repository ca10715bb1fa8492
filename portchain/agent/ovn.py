"""The extension of Neutron's OVN agent, and what it shares with the program for other hosts."""

import os
import threading
from typing import Any

import oslo_messaging
from neutron.agent.ovn.extensions import extension_manager
from neutron.conf import service as service_conf
from neutron_lib import rpc as n_rpc
from oslo_config import cfg
from oslo_log import log

from portchain.agent.datapath import read_lacking
from portchain.agent.neutron_bridge import run_ofctl
from portchain.agent.options import register_agent_opts
from portchain.dataplane.datapath import Feature
from portchain.dataplane.interposing import BR_CHAIN
from portchain.host.bridge import OPENFLOW, appctl_argv, ofctl_argv
from portchain.host.endpoint import endpoints_of
from portchain.host.flow_monitor import FlowMonitor, FlowPoll
from portchain.host.metrics import HostCollector
from portchain.host.ovn_switch import OvnSwitch, integration_bridge
from portchain.host.worker import HostWorker
from portchain.metrics.exporter import serve
from portchain.ovsdb.switch_database import SwitchDatabase
from portchain.rpc import contract

LOG = log.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0


class PortChainOvnExtension(extension_manager.OVNAgentExtension):
    """Steers traffic through port chains on one host of OVN.

    It has connections of its own: the agent's connection holds no bridges, and the agent has none
    to the message broker.
    """

    ovs_idl_events: tuple[()] = ()
    nb_idl_tables: tuple[()] = ()
    nb_idl_events: tuple[()] = ()
    sb_idl_tables: tuple[()] = ()
    sb_idl_events: tuple[()] = ()

    @property
    def name(self) -> str:
        """How the agent's log calls the extension."""
        return "Port chain extension"

    def start(self) -> None:
        """Connect to the switch and to the server, and start to work."""
        self._host = OvnHost()
        self._host.start()
        super().start()


class OvnHost:
    """This host: its switch, and its connection to the server.

    Uses the options of Neutron's OVN agent, and registers those that it lacks.
    """

    def __init__(self) -> None:
        service_conf.register_service_opts(service_conf.RPC_EXTRA_OPTS)
        register_agent_opts(cfg.CONF)
        remote = cfg.CONF.ovs.ovsdb_connection
        database = SwitchDatabase(lambda: remote, _TIMEOUT_SECONDS, self._row_changed)
        self._database = database
        self._worker: HostWorker | None = None
        self._lacks: frozenset[Feature] | None = None  # the last answer of the switch

    def start(self) -> None:
        """Receive plans and program the switch, in threads of their own.

        :raises OvsdbUnreachableError: the switch's database does not answer.
        """
        # Unlike Neutron's other programs, its OVN agent does not set this.
        oslo_messaging.set_transport_defaults(control_exchange="neutron")
        n_rpc.init(cfg.CONF)
        api = self._database.connect()
        name = self._name = host_name(api)
        self._switch = OvnSwitch(
            host=name, database=self._database, connect=LocalBridge, call_later=self._call_later
        )
        self._read_datapath()
        self._worker = HostWorker(name, self._switch)
        self._worker.run_soon(self._switch.restore_wires)
        self._rpc = n_rpc.get_server(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, server=name),
            endpoints_of(self._worker, self._switch),
        )
        self._rpc.start()
        self._worker.start()
        serve(HostCollector([self._worker]))
        self._watch_flows()
        LOG.info("Programming the port chains of host %s on %s", name, BR_CHAIN)

    def stop(self) -> None:
        """Disconnect. Ports stay on br-chain, and flows in the switch."""
        self._rpc.stop()
        self._switch.close()

    def _row_changed(self, port_id: str) -> None:
        """Called by the database's thread, from the first replica on."""
        if self._worker is None:
            return
        if port_id:
            self._worker.port_changed(port_id)
        else:
            self._worker.request_reconcile()

    def _flows_changed(self) -> None:
        """Called if the switch was restarted, too: nothing passes br-chain then."""
        if self._worker is None:
            return
        if self._worker.synchronised.is_set():
            self._worker.request_reconcile()
        else:
            self._worker.run_soon(self._switch.restore_wires)

    def _switch_connected(self) -> None:
        """Called before ``_flows_changed``, and at least once a minute.

        The switch may be another release, with another module of the kernel.
        """
        if self._worker is not None:
            self._worker.run_soon(self._read_datapath)

    def _call_later(self, seconds: float) -> None:
        if self._worker is not None:
            timer = threading.Timer(seconds, self._worker.request_reconcile)
            timer.daemon = True
            timer.start()

    def _watch_flows(self) -> None:
        """Watch br-chain for a restart of the switch.

        Only root can have Open vSwitch report changes; anybody else asks again and again.
        """
        if os.geteuid() == 0:
            FlowMonitor(BR_CHAIN, self._flows_changed, self._switch_connected)
        else:
            bridge = LocalBridge(None, BR_CHAIN)
            FlowPoll(bridge, self._flows_changed, self._switch_connected)

    def _read_datapath(self) -> None:
        """Read what the datapath lacks, if ovs-vswitchd and br-int are there to say it.

        The server hears of it when it is asked for plans the next time.
        """
        api = self._database.connect()
        bridge = integration_bridge(api)
        if not api.br_exists(bridge).execute(check_error=True):
            return  # ovn-controller creates it when it starts
        kind = api.db_get("Bridge", bridge, "datapath_type").execute(check_error=True)
        lacks = read_lacking(self._name, bridge, kind, self._lacks)
        if lacks is not None:
            self._lacks = self._switch.lacks = lacks


class LocalBridge:
    """A ``BridgeConnection`` to a bridge of this host.

    :param database: an ``ovsdbapp.schema.open_vswitch.api.API``.
    """

    def __init__(self, database: Any, name: str) -> None:
        self.name = self.target = name
        self.database = database

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        """See ``BridgeConnection``."""
        return run_ofctl(ofctl_argv(self.name, command, args, version), stdin)

    def appctl(self, command: str, *args: str) -> str:
        """See ``BridgeConnection``."""
        return run_ofctl(appctl_argv(command, *args))


def host_name(api: Any) -> str:
    """Return the host's name in Neutron: ML2/OVN takes it from the chassis."""
    (row,) = api.db_list("Open_vSwitch", columns=["external_ids"]).execute(check_error=True)
    return str(row["external_ids"].get("hostname") or cfg.CONF.host)
