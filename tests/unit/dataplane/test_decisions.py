"""What the arbiter of flows remembers of chains from one computation to the next."""

from dataclasses import replace

import pytest

from portchain.dataplane.decisions import Decisions
from portchain.dataplane.transition import ABSENT, ChainTransition, Phase
from tests.plans import chain, target

PLAN = chain([target("a", "h1")])
NEWER = replace(PLAN, revision=2)
SENDING = ChainTransition(PLAN)
PREPARED = ChainTransition(NEWER, Phase.PREPARED, PLAN)


@pytest.fixture
def decisions() -> Decisions:
    return Decisions()


def test_a_plan_is_applied_once_the_switch_has_taken_it(decisions: Decisions) -> None:
    decisions.activate(PLAN.id, SENDING)
    assert (decisions.is_active(PLAN.id), decisions.applied) == (True, {})
    decisions.mark_applied()
    assert decisions.applied == {PLAN.id: PLAN}
    decisions.activate(PLAN.id, replace(SENDING, plan=NEWER))
    decisions.deactivate(PLAN.id)
    decisions.mark_applied()
    assert decisions.applied == {PLAN.id: PLAN}, "it has failed before the switch had it"
    assert not decisions.is_active(PLAN.id)
    decisions.activate(PLAN.id, SENDING)
    decisions.activate(PLAN.id, ABSENT)
    decisions.mark_applied()
    assert (decisions.is_active(PLAN.id), decisions.applied) == (False, {})


def test_a_prepared_chain_sends_as_before(decisions: Decisions) -> None:
    decisions.activate(PLAN.id, replace(PREPARED, previous=None))
    assert decisions.is_active(PLAN.id)
    assert decisions.sending_revision(PLAN.id) is None
    decisions.activate(PLAN.id, SENDING)
    decisions.activate(PLAN.id, PREPARED)
    assert decisions.sending_revision(PLAN.id) == 1
    decisions.activate(PLAN.id, replace(SENDING, plan=NEWER))
    assert decisions.sending_revision(PLAN.id) == 2
    decisions.mark_applied()
    assert decisions.applied == {PLAN.id: NEWER}


def test_blocked_chains_are_known_until_they_are_computed_again(decisions: Decisions) -> None:
    decisions.block("late", by="early")
    decisions.block("late", by="other")
    decisions.block("later", by="early")
    assert decisions.chains_blocked_by("early") == {"late", "later"}
    assert decisions.chains_blocked_by("late") == frozenset()
    decisions.unblock("late")
    decisions.unblock("late")
    assert decisions.chains_blocked_by("early") == {"later"}
    assert decisions.chains_blocked_by("other") == frozenset()


def test_entries_of_a_project_are_those_of_all_its_other_chains(decisions: Decisions) -> None:
    decisions.note_size("one", "p", 5)
    decisions.note_size("two", "p", 7)
    decisions.note_size("three", "q", 20)
    assert [decisions.size_of_others(one, "p") for one in ("one", "two", "three", "new")] == [
        *(7, 5, 12, 12)
    ]
    decisions.note_size("one", "p", 6)
    decisions.note_size("two", "q", 8)
    assert decisions.size_of_others("new", "p") == 6
    assert decisions.size_of_others("two", "q") == 20
    decisions.note_size("one", "", 0)
    assert (decisions.size_of_others("new", "p"), decisions.size_of_others("new", "q")) == (0, 28)


def test_what_the_switch_rejects_is_offered_again_when_the_chain_changes(
    decisions: Decisions,
) -> None:
    decisions.note_rejection("one", "/guard", "bad")
    decisions.note_rejection("one", "", "worse")
    found = [decisions.rejection("one", kind) for kind in ("", "/guard", "/draining")]
    assert found == ["worse", "bad", None]
    assert decisions.rejection("two", "") is None
    decisions.forget_rejections("one")
    decisions.forget_rejections("two")
    assert decisions.rejection("one", "") is None
