"""Decides from the results of probes whether a function has failed. Pure."""

from dataclasses import dataclass, replace

from portchain.core.model import HealthCheckParameters

MAX_PENALTY = 4
"""A function that fails again and again must answer up to 2**MAX_PENALTY times as often in a row
before it counts as back."""

STABLE_SECONDS = 60.0
"""After this time without a failure, a function needs half as many answers again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a function.

    :param is_up: None before the first verdict.
    :param streak: number of the latest results, in a row, that contradict ``is_up``.
    :param penalty: how often the function has failed lately, at most ``MAX_PENALTY``.
    :param changed_at: time of the last change of ``is_up`` or ``penalty``, in seconds.
    """

    is_up: bool | None = None
    streak: int = 0
    penalty: int = 0
    changed_at: float = 0.0

    def after(self, answered: bool, parameters: HealthCheckParameters, now: float) -> "Verdict":
        """Return the verdict after the result of one more probe.

        The first answer shows that a function works. The first failures are no proof: it may be
        about to start.
        """
        if answered and self.is_up is None:
            return Verdict(is_up=True, changed_at=now)
        if answered == self.is_up:
            return replace(self._recovered(now), streak=0)
        streak = self.streak + 1
        if streak < self._needed(answered, parameters):
            return replace(self, streak=streak)
        penalty = self.penalty if answered else min(self.penalty + 1, MAX_PENALTY)
        return Verdict(answered, 0, penalty, now)

    def _needed(self, answered: bool, parameters: HealthCheckParameters) -> int:
        """Return how many results in a row change the verdict."""
        if not answered:
            return parameters.max_retries_down
        return int(parameters.max_retries * 2 ** max(self.penalty - 1, 0))

    def _recovered(self, now: float) -> "Verdict":
        if self.is_up and self.penalty and now - self.changed_at >= STABLE_SECONDS:
            return replace(self, penalty=self.penalty - 1, changed_at=now)
        return self
