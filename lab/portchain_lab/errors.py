"""Errors of the lab."""


class LabError(RuntimeError):
    """The lab could not do what it was asked to. The message says why, and where to look."""


class DeadlineError(LabError):
    """A state was not reached before its deadline."""
