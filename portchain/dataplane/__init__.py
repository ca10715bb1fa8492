"""From a host's plans to the flows of its switch: pure functions and values only."""
