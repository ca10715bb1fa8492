"""A virtual machine with Debian's kernel, whose Open vSwitch datapath clouds run."""
