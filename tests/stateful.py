"""How state machines of hypothesis are run: the same lives with each run, or others with ``PORTCHAIN_EXPLORE=<how many>``."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

EXPLORE = int(os.environ.get("PORTCHAIN_EXPLORE", "0"))


def lead(machine: type[RuleBasedStateMachine], world: object, lives: int, steps: int) -> None:
    """Lead some lives in a world, which the machine finds in its attribute ``world``.

    :param lives: how many, if not told otherwise by ``PORTCHAIN_EXPLORE``.
    :raises AssertionError: one of them came to grief; with its steps.
    """
    here = type("LifeHere", (machine,), {"world": world})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        here,
        settings=settings(
            max_examples=EXPLORE or lives,
            stateful_step_count=steps,
            derandomize=not EXPLORE,
            database=None,
            deadline=None,
            # A failure comes with its steps; to shorten them takes much longer than to read them.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
