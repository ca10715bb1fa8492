"""A whole OpenStack network on one machine.

Servers, agents and switches are real; hosts and virtual machines are network namespaces.
"""

import warnings

# os-vif's privilege daemon says so to everyone who imports it; it is not for the lab's users to act
# on.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
