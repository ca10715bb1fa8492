"""The Open vSwitch driver: snapshot -> plan -> RPC messages to the hosts."""
