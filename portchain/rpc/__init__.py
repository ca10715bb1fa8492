"""Calls between the Neutron server and the hosts: the wire contract, and both ends of each."""
