"""The servers of a lab: database, broker, Keystone, Neutron and OVN, and the clients that speak to them."""
