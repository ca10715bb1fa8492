"""The extension of Neutron's Open vSwitch agent; the work itself is done by `portchain.host`."""
