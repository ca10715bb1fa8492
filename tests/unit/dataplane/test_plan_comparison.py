"""Whether hosts with one plan can receive what is sent by another one."""

import pytest

from portchain.dataplane.plan import Hop
from portchain.dataplane.plan_comparison import is_covered_by
from tests.plans import chain, target


@pytest.mark.parametrize(
    ("before", "after", "covered"),
    [
        (None, None, True),
        (None, ("10.0.0.1/32",), True),
        (("10.0.0.1/32",), None, False),
        (("10.0.0.1/32", "10.0.0.2/32"), ("10.0.0.1/32",), True),
        (("10.0.0.1/32",), ("10.0.0.1/32", "10.0.0.2/32"), False),
        ((), ("10.0.0.1/32",), False),
    ],
)
def test_hosts_must_accept_the_sources_of_a_new_plan(
    before: tuple[str, ...] | None, after: tuple[str, ...] | None, covered: bool
) -> None:
    old, new = (
        chain(Hop(1, (target("a", "h1"),), returned_sources=sources)) for sources in (before, after)
    )
    assert is_covered_by(new, old) is covered
