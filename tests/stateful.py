"""How Hypothesis runs state machines: with the same steps in each run, so that failures repeat.

``PORTCHAIN_EXPLORE=<examples>`` tries as many examples with other steps.
"""

import os

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.full import FULL

MORE_IN_FULL = 10
EXPLORE = int(os.environ.get("PORTCHAIN_EXPLORE", "0"))
REPEATS = FULL or EXPLORE > 0
"""Whether machines run more than the few steps of every run."""


def run_stateful(
    machine: type[RuleBasedStateMachine], world: object, examples: int, steps: int
) -> None:
    """Run examples of a state machine in a world, which it finds in its attribute ``world``.

    :param examples: number of examples in `make test`; `make test-full` runs ten times as many.
    :param steps: number of steps of each example.
    :raises AssertionError: an example failed; the message has its steps.
    """
    bound = type("MachineInWorld", (machine,), {"world": world})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        bound,
        settings=settings(
            max_examples=EXPLORE or (MORE_IN_FULL * examples if FULL else examples),
            stateful_step_count=steps,
            derandomize=not EXPLORE,
            database=None,
            deadline=None,
            # A failure comes with its steps; to shorten them takes much longer than to read them.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            # Hypothesis hides a failure that the same steps do not bring about again: print it.
            verbosity=Verbosity.verbose if EXPLORE else Verbosity.normal,
            report_multiple_bugs=False,
        ),
    )
