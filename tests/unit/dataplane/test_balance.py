"""Hash slots of pairs: shares, and what a change of the group moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.balance import SLOTS, Selection, assign_slots, dispensable, selections

# Few ids: groups from before and after a change have most pairs in common.
groups = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5), min_size=1, max_size=8)


def active(weights):
    return {pair for pair, weight in weights.items() if weight}


@given(groups)
def test_every_slot_goes_to_a_pair_with_weight(weights):
    slots = assign_slots(weights)
    assert len(slots) == (SLOTS if active(weights) else 0)
    assert set(slots) <= active(weights)


@given(groups, st.data())
def test_removing_a_pair_moves_only_its_own_slots(weights, data):
    gone = data.draw(st.sampled_from(sorted(weights)))
    before = assign_slots(weights)
    after = assign_slots({pair: weight for pair, weight in weights.items() if pair != gone})
    assert all(new == old for old, new in zip(before, after, strict=False) if old != gone)


@given(groups, st.uuids().map(str), st.integers(1, 5))
def test_adding_a_pair_moves_slots_only_to_it(weights, new, weight):
    before = assign_slots(weights)
    after = assign_slots({**weights, new: weight})
    assert all(now in (was, new) for was, now in zip(before, after, strict=False))


def test_raising_a_weight_moves_slots_only_to_its_pair():
    """Also if all weights have been equal before."""
    before, after = assign_slots({"a": 1, "b": 1, "c": 1}), assign_slots({"a": 2, "b": 1, "c": 1})
    assert before != after
    assert all(now in (was, "a") for was, now in zip(before, after, strict=True))


def test_slots_have_the_same_pairs_on_every_host():
    """Hosts of several releases must agree."""
    assert "".join(assign_slots({"a": 1, "b": 2})[:16]) == "bbbbbababbbbbbba"


def test_selections_have_the_same_number_at_every_start():
    """A restarted agent, perhaps of another release, finds its flows by it."""
    assert Selection(("a", "b", None), (True, False, False)).number == 2645431851


def test_shares_follow_weights():
    pairs = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(4)]
    shares = Counter(assign_slots(dict.fromkeys(pairs, 1)))
    assert all(SLOTS / 4 * 0.6 < shares[pair] < SLOTS / 4 * 1.4 for pair in pairs)
    weighted = Counter(assign_slots({pairs[0]: 3, pairs[1]: 1}))
    assert 2 < weighted[pairs[0]] / weighted[pairs[1]] < 4.5


@given(groups, groups)
def test_equal_selections_have_equal_numbers(one, other):
    first, second = selections(one).opening, selections(other).opening
    assert (first.number == second.number) == (first == second)
    assert 0 < first.number < 1 << 32
    learning = Selection(first.pairs, tuple(not learns for learns in first.learns))
    assert learning.number != first.number


# Changes of the group: which flows keep their pair.


def each_slot(weights, earlier, recent=None, **changes):
    """Yield for each slot the assigned pairs of before and now, and those of all selections."""
    found = selections(weights, earlier, earlier if recent is None else recent, **changes)
    before = [assign_slots(each) for each in earlier]
    for slot in range(SLOTS):
        pairs = tuple(each.pairs[slot] for each in (found.opening, found.open, found.others))
        assert found.opening.learns == found.open.learns
        learns = found.opening.learns[slot]
        yield [each[slot] if each else None for each in before], pairs, learns


@given(groups)
def test_nothing_is_learned_while_a_group_does_not_change(weights):
    now = assign_slots(weights)
    for earlier in ([], [weights], [weights, weights]):
        for slot, (_, pairs, learns) in enumerate(each_slot(weights, earlier)):
            assert set(pairs) == {now[slot] if now else None}
            assert not learns
    found = selections(weights)
    assert found.distinct == (found.opening,)


@given(groups, st.lists(groups, min_size=1, max_size=3))
def test_flows_from_before_go_by_the_oldest_pair_that_never_left(weights, earlier):
    now = assign_slots(weights) or (None,) * SLOTS
    for slot, (before, (opening, open_, others), learns) in enumerate(each_slot(weights, earlier)):
        assert opening == now[slot], "a new connection goes by the present weights"
        kept = None
        for pair, members in zip([*before, now[slot]], [*earlier, weights], strict=True):
            kept = kept if kept in members else pair
        assert open_ == others == kept
        assert learns == (open_ != opening)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), min_size=1),
        min_size=3,
        max_size=6,
    )
)
def test_a_dispensable_set_makes_no_difference(sets):
    *earlier, weights = sets
    if index := dispensable(sets):
        fewer = earlier[:index] + earlier[index + 1 :]
        assert selections(weights, earlier) == selections(weights, fewer)


def test_dispensable_sets():
    def found(*sets):
        return dispensable([dict.fromkeys(each, 1) for each in sets])

    assert found("a", "ab", "abc") == 1
    assert found("ab", "a", "ab") == 0, "b left meanwhile"
    assert found("ab", "a", "ab", "ab") == 2
    assert found("ac", "a", "ab") == 0, "what was for c went to a"
    assert found("a", "b") == 0
    assert found("ab", "ab", "ab") == 1, "only weights have changed"
    assert dispensable([{"a": 0}, {"a": 1}, {"a": 1, "b": 1}]) == 0, "no flow could be with a"
    assert dispensable([{"a": 1, "b": 0}, {"a": 1, "b": 0, "c": 1}, {"c": 1}]) == 1


@given(groups, groups)
def test_others_than_connections_are_dealt_anew_after_a_time(weights, before):
    for (was,), (opening, open_, others), learns in each_slot(weights, [before], recent=[]):
        assert opening == others
        assert open_ == (was if was in weights else opening)
        assert learns == (open_ != opening), "open connections are not dealt anew"
    assert not any(selections(weights, [before], []).others.learns)
    now, recent = selections(weights).others, selections(weights, [before], [before]).others
    moves = [one != other for one, other in zip(now.pairs, recent.pairs, strict=True)]
    assert list(recent.learns) == moves


@given(groups, groups)
def test_connections_of_one_flow_stay_together(weights, before):
    now = assign_slots(weights) or (None,) * SLOTS
    found = each_slot(weights, [before], spans_connections=True)
    for slot, (_, (opening, _, others), learns) in enumerate(found):
        assert opening == others
        assert learns == (others != now[slot]), "they must stay when the time is over"
    later = selections(weights, [before], [], spans_connections=True)
    assert later.opening == later.others


@given(groups, st.lists(groups, min_size=1, max_size=3))
def test_new_connections_go_by_the_last_weights_while_the_switch_learns(weights, earlier):
    found = each_slot(weights, earlier, remembering=True)
    was, now = assign_slots(earlier[-1]), assign_slots(weights) or (None,) * SLOTS
    for slot, (_, (opening, _, _), learns) in enumerate(found):
        assert opening == (was[slot] if was and was[slot] in weights else now[slot])
        assert learns or opening == now[slot]


def test_selections_that_are_the_same_count_once():
    one, two, both = {"a": 1}, {"a": 1, "b": 3}, {"a": 1, "b": 1}
    changed = selections(both, [one, two], [two])
    assert changed.distinct == (changed.opening, changed.open, changed.others)
    connections = selections(both, [one], [])
    assert connections.distinct == (connections.opening, connections.open, connections.others)
    spanning = selections(both, [one], [one], spans_connections=True)
    assert spanning.distinct == (spanning.open,)


@given(
    st.lists(st.sampled_from([None, "a", "b", "c", "d"]), min_size=SLOTS, max_size=SLOTS),
    st.lists(st.booleans(), min_size=SLOTS, max_size=SLOTS),
)
def test_planes_have_the_choice_of_every_slot(pairs, learns):
    selection = Selection(tuple(pairs), tuple(learns))
    for slot, choice in enumerate(zip(pairs, learns, strict=True)):
        bits = [plane >> slot & 1 for plane in selection.planes]
        assert selection.choices[sum(bit << place for place, bit in enumerate(bits))] == choice


def test_one_choice_needs_no_plane():
    assert Selection(("a",) * SLOTS, (False,) * SLOTS).planes == ()
