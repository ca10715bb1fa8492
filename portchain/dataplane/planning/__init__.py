"""From a snapshot of a chain to the plan that each host needs. Pure."""
