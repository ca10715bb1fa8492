"""How portchain behaves as chains become many, beside networking-sfc in the same lab."""
