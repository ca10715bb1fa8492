"""A database that networking-sfc filled, and what its API said of it: see ``make``."""
