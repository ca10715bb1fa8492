"""Programs the flows of one host from its plans: what agent extension and controller share."""
