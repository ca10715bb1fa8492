"""Service function chaining for OpenStack Neutron.

Data flows one way through the package::

    api -> rules -> plugin -> db -> drivers.manager -> drivers.base -> a driver
    drivers.ovs.plan -> rpc -> agent -> dataplane.compile -> dataplane.diff -> the switch
"""
