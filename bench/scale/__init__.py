"""What a change costs with many hosts and many chains."""
