"""Service function chaining for OpenStack Neutron.

Data flows one way through the package::

    api -> plugin -> requests (core.rules, db) -> drivers.manager -> drivers.base -> a driver
    drivers.hosts -> dataplane.planning -> rpc -> host -> dataplane.compile -> the switch
"""
