"""The lab that tests of chains with a controller share."""

from dataclasses import replace

from portchain_lab.lab import Lab
from portchain_lab.layout import Software

from tests.lab.labs import FIREWALL, Labs

# The controller compares all flows every ten minutes instead of every 30 seconds: what it repairs
# in a test, it repairs because the switch reported a change.
SOFTWARE = replace(Software.installed(), agent_options="[port_chain]\nsync_interval = 600")


def lab(labs: Labs) -> Lab:
    """Hosts that run Neutron's agents without our extension, and a controller of ours."""
    return labs.get(firewall=FIREWALL, driver="openflow", software=SOFTWARE)
