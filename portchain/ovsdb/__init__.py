"""Connections to the databases of Open vSwitch and OVN: the one place that opens them."""
