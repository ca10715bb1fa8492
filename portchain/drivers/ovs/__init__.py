"""The Open vSwitch driver."""
