"""What an agent and the controller share: keeping the switch of one host at what its plans say."""
