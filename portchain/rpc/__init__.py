"""Between the Neutron server and the agents: the wire contract and its two ends."""
