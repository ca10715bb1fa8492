"""A whole OpenStack network on one machine: real servers, real agents, network namespaces as hosts
and as virtual machines.
"""

import warnings

# os-vif's privilege daemon says so to everyone who imports it; it is not for the lab's users to act
# on.
warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
