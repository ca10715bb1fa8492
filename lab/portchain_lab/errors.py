"""What can go wrong in the lab."""


class LabError(RuntimeError):
    """The lab could not do what it was asked; the message says what and where to look."""


class DeadlineError(LabError):
    """Something that was waited for did not happen in time."""
