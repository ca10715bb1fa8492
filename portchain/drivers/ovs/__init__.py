"""The Open vSwitch driver: realises chains through an extension of Neutron's own agents."""
