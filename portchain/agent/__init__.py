"""The extension of Neutron's Open vSwitch agent. ``portchain.host`` does the work."""
