"""How the lab reports its progress to the user."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with a line of text each time a step is complete."""


def silent(_: str) -> None:
    """Report nothing."""
