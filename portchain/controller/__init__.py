"""``portchain-controller``: programs the switches of hosts without the agent extension."""
