"""The controller of a lab: database, broker, Keystone, Neutron, OVN, and their clients."""
