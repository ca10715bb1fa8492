"""The Open vSwitch driver, for hosts whose agents load the extension ``port_chain``."""

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.core.model import Port
from portchain.drivers.hosts.driver import HostDriver


class OvsDriver(HostDriver):
    """Realises chains on the hosts of Neutron's Open vSwitch agents."""

    name = "ovs"

    def claims(self, port: Port) -> bool:
        """Claim ports of Neutron's Open vSwitch agents, and ports whose mechanism is unknown."""
        return port.mechanism in ("openvswitch", "") and self.serves(port.host)

    def serves(self, host: str) -> bool:
        """Return whether an agent programs the flows of a host: no controller does."""
        return host not in cfg.CONF[GROUP].openflow_hosts
