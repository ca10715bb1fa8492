"""A whole OpenStack network on one machine: real servers, real agents, network namespaces as hosts
and as virtual machines.
"""
