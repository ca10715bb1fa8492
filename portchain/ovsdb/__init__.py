"""Connections to the databases of Open vSwitch and OVN."""
