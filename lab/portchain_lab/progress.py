"""How the lab reports what it does to whoever waits for it."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Is called with a line for people each time a step is complete."""


def silent(_: str) -> None:
    """Report nothing."""
