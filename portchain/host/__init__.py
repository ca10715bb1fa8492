"""What the agent extension and the controller share: programming the flows of one host from its plans."""
