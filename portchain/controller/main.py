"""The program ``portchain-controller``."""

import resource
import signal
import sys
import threading

import neutron  # noqa: F401  # first: it chooses the threading backend of oslo.service
import oslo_messaging
from neutron.common import config as common_config
from neutron.conf import service as service_conf
from neutron.conf.agent import securitygroups_rpc
from neutron.conf.plugins.ml2.drivers import ovs_conf
from neutron_lib import rpc as n_rpc
from oslo_log import log

from portchain.controller.endpoint import Endpoint, configured_endpoints
from portchain.controller.options import register_controller_opts
from portchain.controller.ovn_switch import RemoteOvnSwitch
from portchain.controller.switch import RemoteSwitch, configured_bridges
from portchain.host.endpoint import endpoints_of
from portchain.host.metrics import HostCollector
from portchain.host.worker import HostWorker
from portchain.metrics.exporter import serve
from portchain.ovsdb.polling import allow_many_connections
from portchain.ovsdb.switch_database import SwitchDatabase
from portchain.rpc import contract

LOG = log.getLogger(__name__)

_DESCRIPTORS, _DESCRIPTORS_OF_HOST = 256, 24
"""How many a process may need, and how many more for each host; some 14 are usual."""


class Host:
    """One host of the controller. To the server it looks like one with the agent extension.

    :param name: the host's name in Neutron.
    :ivar worker: programs the host's switch.
    """

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self._database = SwitchDatabase(
            lambda: endpoint.database, endpoint.timeout, self._row_changed
        )
        self._switch = self._open_switch(name, endpoint)
        self.worker = HostWorker(name, self._switch)
        self._rpc = n_rpc.get_server(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, server=name),
            endpoints_of(self.worker, self._switch, endpoint.is_there),
        )

    def _open_switch(self, name: str, endpoint: Endpoint) -> RemoteSwitch | RemoteOvnSwitch:
        return RemoteSwitch(
            name, endpoint, self._database, configured_bridges(), self._flows_changed
        )

    def start(self) -> None:
        """Receive plans and program the switch, in threads of their own."""
        self._rpc.start()
        self.worker.start()

    def stop(self) -> None:
        """Disconnect from the switch. Its flows stay."""
        self._switch.close()

    def _row_changed(self, port_id: str) -> None:
        if port_id:
            self.worker.port_changed(port_id)
        else:
            self.worker.request_reconcile()

    def _flows_changed(self) -> None:
        self.worker.request_reconcile()


class OvnHost(Host):
    """One host with ovn-controller, whose br-chain the controller programs."""

    def _open_switch(self, name: str, endpoint: Endpoint) -> RemoteOvnSwitch:
        self._ovn_switch = RemoteOvnSwitch(
            name, endpoint, self._database, self._flows_changed, self._call_later
        )
        return self._ovn_switch

    def start(self) -> None:
        """As that of ``Host``. Ports of br-chain are connected before the server answers."""
        self.worker.run_soon(self._ovn_switch.restore_wires)
        super().start()

    def _flows_changed(self) -> None:
        if self.worker.synchronised.is_set():
            self.worker.request_reconcile()
        else:
            self.worker.run_soon(self._ovn_switch.restore_wires)

    def _call_later(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self.worker.request_reconcile)
        timer.daemon = True
        timer.start()


def main() -> None:
    """Run until SIGTERM or SIGINT. Flows stay in the switches.

    :raises SystemExit: status 1 if no hosts are configured.
    """
    read_configuration(sys.argv[1:])
    endpoints, on_ovn = configured_endpoints(), configured_endpoints("ovn_hosts")
    if not endpoints and not on_ovn:
        sys.exit(
            "portchain-controller: no hosts to program: set the option openflow_hosts or ovn_hosts "
            "in the section port_chain"
        )
    allow_descriptors(len(endpoints) + len(on_ovn))
    allow_many_connections()
    hosts = [
        *(Host(name, endpoint) for name, endpoint in endpoints.items()),
        *(OvnHost(name, endpoint) for name, endpoint in on_ovn.items()),
    ]
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    for host in hosts:
        host.start()
    serve(HostCollector([host.worker for host in hosts]))
    LOG.info("Programming the switches of the hosts %s", ", ".join([*endpoints, *on_ovn]))
    stopped.wait()
    for host in hosts:
        host.stop()


def allow_descriptors(hosts: int) -> None:
    """Let this process open as many files and connections as its hosts take."""
    needed = _DESCRIPTORS + hosts * _DESCRIPTORS_OF_HOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < needed:
            LOG.error(
                "%d hosts take %d open files, and this process may have %d: set LimitNOFILE in "
                "its unit file, or configure fewer hosts for each controller",
                *(hosts, needed, allowed),
            )


def read_configuration(arguments: list[str]) -> None:
    """Register the options of the controller and of the libraries it uses, and read their files.

    :param arguments: of the command line, without the name of the program.
    """
    common_config.register_common_config_options()
    service_conf.register_service_opts(service_conf.RPC_EXTRA_OPTS)  # neutron-lib's RPC reads them
    # Options of the hosts' agents: names of bridges, and the firewall driver.
    ovs_conf.register_ovs_agent_opts()
    securitygroups_rpc.register_securitygroups_opts()
    register_controller_opts()
    common_config.init(arguments)
    common_config.setup_logging()
