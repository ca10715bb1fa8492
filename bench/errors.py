"""What can go wrong in a measurement."""


class BenchError(RuntimeError):
    """A measurement would not mean what it says; the message tells why."""
