"""What decides, for every driver: the model, the rules for requests, who owns a chain. Pure."""
