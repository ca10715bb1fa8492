"""The pure core: values and decisions that need no OpenStack, OpenFlow or SQL library."""
