"""Programs the switches of hosts that have no agent of ours, from afar."""
