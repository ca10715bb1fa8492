"""The OpenFlow driver: for hosts without an agent of ours, whose switches ``portchain-controller`` programs from afar.

What hosts have to know of a chain, and how one asks them for it, does not depend on who makes rules of it. So this
driver plans and tells like the ``ovs`` driver does, and the controller answers in the hosts' names.
"""

from oslo_config import cfg

from portchain.conf import GROUP
from portchain.drivers.ovs.driver import OvsDriver


class OpenFlowDriver(OvsDriver):
    """Realises chains on the hosts that the option ``openflow_hosts`` lists; Neutron's Open vSwitch agents run there as they
    come.
    """

    name = "openflow"

    def serves(self, host: str) -> bool:
        """Whether a controller programs the switch of a host."""
        return host in cfg.CONF[GROUP].openflow_hosts
