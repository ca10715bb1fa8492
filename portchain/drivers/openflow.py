"""The OpenFlow driver, for hosts whose switches ``portchain-controller`` programs remotely.

What a host has to know about a chain, and how it is notified, does not depend on whether an agent
or a controller programs its switch. So this driver plans and notifies as the driver ``ovs`` does;
the controller answers for its hosts.
"""

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.drivers.ovs.driver import OvsDriver


class OpenFlowDriver(OvsDriver):
    """Realises chains on the hosts in the option ``openflow_hosts``.

    These hosts run Neutron's Open vSwitch agents without the extension ``port_chain``.
    """

    name = "openflow"

    def serves(self, host: str) -> bool:
        """Return whether a controller programs the flows of a host."""
        return host in cfg.CONF[GROUP].openflow_hosts
