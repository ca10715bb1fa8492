"""The lab that tests of chains with a controller share."""

from portchain_lab.lab import Lab

from tests.lab.labs import FIREWALL, Labs

CONTROLLER = "portchain-controller"
# The controller compares all flows every ten minutes instead of every 30 seconds: what it repairs
# in a test, it repairs because the switch reported a change.
SELDOM = "\n[port_chain]\nsync_interval = 600\n"


def lab(labs: Labs) -> Lab:
    """Hosts that run Neutron's agents without our extension, and a controller of ours.

    The lab's layout is the one of the demo with this driver, which so uses the same lab.
    """
    made = labs.get(firewall=FIREWALL, driver="openflow")
    configuration = made.layout.directory / "controller.conf"
    if SELDOM not in configuration.read_text():
        with configuration.open("a") as file:
            file.write(SELDOM)
        made.restart(CONTROLLER)
    return made
