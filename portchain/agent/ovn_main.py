"""The program ``portchain-ovn-agent``, for hosts of OVN that do not run Neutron's OVN agent.

It is the agent's extension alone, with the agent's configuration files.
"""

import signal
import sys
import threading

import neutron  # noqa: F401  # first: it chooses the threading backend of oslo.service
from neutron.common import config as common_config
from neutron.conf.agent import common as agent_common
from neutron.conf.agent.ovn.ovn_neutron_agent import config as ovn_agent_config
from oslo_config import cfg
from oslo_log import log

from portchain.agent.ovn import OvnHost

LOG = log.getLogger(__name__)


def main() -> None:
    """Run until SIGTERM or SIGINT. Ports and flows stay in the switch."""
    common_config.register_common_config_options()
    ovn_agent_config.register_opts()
    agent_common.register_root_helper(cfg.CONF)
    common_config.init(sys.argv[1:])
    common_config.setup_logging()
    ovn_agent_config.setup_privsep()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    host = OvnHost()
    host.start()
    stopped.wait()
    host.stop()
