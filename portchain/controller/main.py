"""The program ``portchain-controller``."""

import signal
import sys
import threading

import neutron  # noqa: F401  # before all that brings oslo.service: it has that use threads
import oslo_messaging
from neutron.common import config as common_config
from neutron.conf import service as service_conf
from neutron.conf.agent import securitygroups_rpc
from neutron.conf.plugins.ml2.drivers import ovs_conf
from neutron_lib import rpc as n_rpc
from oslo_log import log

from portchain.controller import endpoint
from portchain.controller.database import Database
from portchain.controller.options import register_controller_opts
from portchain.controller.switch import RemoteSwitch, configured_bridges
from portchain.host.worker import HostWorker
from portchain.rpc import contract
from portchain.rpc.agent import AgentEndpoint

LOG = log.getLogger(__name__)


class Host:
    """A host that the controller is in charge of: towards the server it is what the host's agent would be.

    :param place: how it is reached.
    """

    def __init__(self, name: str, place: endpoint.Endpoint) -> None:
        self._switch = RemoteSwitch(
            name, place, Database(place, self._row_changed), configured_bridges(), self._compare
        )
        self._worker = HostWorker(name, self._switch)
        self._rpc = n_rpc.get_server(
            oslo_messaging.Target(topic=contract.AGENT_TOPIC, server=name),
            [AgentEndpoint(name, self._worker.receive)],
        )

    def start(self) -> None:
        """Begin to work."""
        self._rpc.start()
        self._worker.start()

    def stop(self) -> None:
        """Leave the switch as it is."""
        self._switch.close()

    def _row_changed(self, port_id: str) -> None:
        if port_id:
            self._worker.port_changed(port_id)
        else:
            self._compare()

    def _compare(self) -> None:
        self._worker.compare()


def main() -> None:
    """Run until SIGTERM. What the switches hold stays.

    :raises SystemExit: 1 if no hosts are configured, 0 at the end.
    """
    read_configuration(sys.argv[1:])
    places = endpoint.configured()
    if not places:
        sys.exit("portchain-controller: no hosts in the option openflow_hosts, section port_chain")
    hosts = [Host(name, place) for name, place in places.items()]
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    for host in hosts:
        host.start()
    LOG.info("In charge of the switches of %s", ", ".join(places))
    ended.wait()
    for host in hosts:
        host.stop()


def read_configuration(arguments: list[str]) -> None:
    """Make all options known that are read here and in libraries, and read their files.

    :param arguments: of the command line.
    """
    common_config.register_common_config_options()
    service_conf.register_service_opts(service_conf.RPC_EXTRA_OPTS)  # neutron-lib's RPC reads them
    # The hosts' own: which bridges they have, and which firewall.
    ovs_conf.register_ovs_agent_opts()
    securitygroups_rpc.register_securitygroups_opts()
    register_controller_opts()
    common_config.init(arguments)
    common_config.setup_logging()
