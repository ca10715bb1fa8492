"""``portchain-controller``: programs switches over the network, for hosts without the agent extension."""
