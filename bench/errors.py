"""Errors of the benchmark."""


class BenchError(RuntimeError):
    """A measurement is not valid. The message says why."""
