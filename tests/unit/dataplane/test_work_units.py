"""Which chains a host programs together, and in which order."""

from dataclasses import replace

from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import ChainPlan, GraphIngress
from portchain.dataplane.transition import ChainTransition
from portchain.dataplane.work_units import work_units
from tests.plans import chain, target


def plan_of(number: int, *after: int, serial: int = 0) -> ChainPlan:
    """Return the plan of a chain that follows others in a service graph."""
    plan = chain([target("a", "h1")], name=f"pc{number}", path_id=number)
    entries = tuple(GraphIngress(path_id=one, hops=1, senders=(), origins=()) for one in after)
    path = replace(plan.paths[0], entries=entries)
    return replace(plan, id=f"pc{number & ~ODD_GENERATION}", paths=(path,), serial=serial)


def units(*plans: ChainPlan, gone: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    states = {plan.id: ChainTransition(plan) for plan in plans}
    return work_units(states, [*reversed(states), *gone])


def test_a_chain_that_follows_several_joins_their_units() -> None:
    assert units(plan_of(1), plan_of(2), plan_of(3), plan_of(4, 3, 1)) == [
        ("pc1", "pc3", "pc4"),
        ("pc2",),
    ]
    assert units(plan_of(1), plan_of(2), plan_of(3, 2), plan_of(4), plan_of(5, 3, 1)) == [
        ("pc1", "pc2", "pc3", "pc5"),
        ("pc4",),
    ]


def test_chains_are_linked_by_their_numbers_whichever_list_of_groups_they_follow() -> None:
    for one, link in ((1, 1 | ODD_GENERATION), (1 | ODD_GENERATION, 1)):
        assert units(plan_of(one), plan_of(2), plan_of(3, link)) == [("pc1", "pc3"), ("pc2",)]


def test_a_chain_that_follows_one_of_other_hosts_is_alone() -> None:
    assert units(plan_of(1), plan_of(2, 99)) == [("pc1",), ("pc2",)]


def test_chains_come_in_the_order_of_their_creation_and_those_that_have_gone_first() -> None:
    first, second = plan_of(2, serial=1), plan_of(1, serial=2)
    assert units(second, first, gone=("x",)) == [("x",), ("pc2",), ("pc1",)]
    older_server = (plan_of(5 | ODD_GENERATION), plan_of(6))
    assert units(*older_server, gone=("x",)) == [("x",), ("pc5",), ("pc6",)]


def test_chains_of_one_age_come_in_the_order_of_their_ids() -> None:
    assert units(plan_of(1), gone=("z", "x", "y")) == [("x",), ("y",), ("z",), ("pc1",)]
