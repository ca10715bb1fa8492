"""Hash slots of pairs: shares, and what a change of the group moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.balance import SLOTS, assign_slots, pair_set_number

groups = st.dictionaries(st.uuids().map(str), st.integers(0, 5), min_size=1, max_size=8)


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


def test_shares_follow_weights():
    pairs = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(4)]
    shares = Counter(assign_slots(dict.fromkeys(pairs, 1)))
    assert all(SLOTS / 4 * 0.6 < shares[pair] < SLOTS / 4 * 1.4 for pair in pairs)
    weighted = Counter(assign_slots({pairs[0]: 3, pairs[1]: 1}))
    assert 2 < weighted[pairs[0]] / weighted[pairs[1]] < 4.5


@given(groups, groups)
def test_equal_pair_sets_have_equal_numbers(one, other):
    same = {p: w for p, w in one.items() if w} == {p: w for p, w in other.items() if w}
    assert (pair_set_number(one) == pair_set_number(other)) == same
    assert 0 < pair_set_number(one) < 1 << 32
