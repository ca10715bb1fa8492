"""On the compute host: from what the server said and what is plugged in to the rules of the switch."""
