"""A whole OpenStack network on one machine.

Servers, agents and switches are the real programs; hosts and virtual machines are network
namespaces.
"""

import warnings

# os-vif's privilege daemon warns whoever imports it. Users of the lab cannot act on that.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
