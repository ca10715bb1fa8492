"""Read the state of this host for the checks. Nothing here changes anything."""
