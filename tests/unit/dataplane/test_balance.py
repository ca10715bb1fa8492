from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.balance import SLOTS, assign_slots, pair_set_number

groups = st.dictionaries(st.uuids().map(str), st.integers(0, 5), min_size=1, max_size=8)


def takers(weights):
    return {pair for pair, weight in weights.items() if weight}


@given(groups)
def test_every_slot_goes_to_a_pair_that_takes_traffic(weights):
    slots = assign_slots(weights)
    assert len(slots) == (SLOTS if takers(weights) else 0)
    assert set(slots) <= takers(weights)


@given(groups, st.data())
def test_a_pair_that_goes_away_moves_only_its_own_slots(weights, data):
    gone = data.draw(st.sampled_from(sorted(weights)))
    before = assign_slots(weights)
    after = assign_slots({pair: weight for pair, weight in weights.items() if pair != gone})
    assert all(new == old for old, new in zip(before, after, strict=False) if old != gone)


@given(groups, st.uuids().map(str), st.integers(1, 5))
def test_a_pair_that_comes_takes_from_others_and_moves_nothing_else(weights, new, weight):
    before = assign_slots(weights)
    after = assign_slots({**weights, new: weight})
    assert all(now in (was, new) for was, now in zip(before, after, strict=False))


def test_equal_pairs_get_about_equal_shares_and_weights_count():
    pairs = [f"0000000{n}-0000-4000-8000-000000000000" for n in range(4)]
    shares = Counter(assign_slots(dict.fromkeys(pairs, 1)))
    assert all(SLOTS / 4 * 0.6 < shares[pair] < SLOTS / 4 * 1.4 for pair in pairs)
    weighted = Counter(assign_slots({pairs[0]: 3, pairs[1]: 1}))
    assert 2 < weighted[pairs[0]] / weighted[pairs[1]] < 4.5


@given(groups, groups)
def test_sets_are_numbered_by_what_decides_the_slots(one, other):
    same = {p: w for p, w in one.items() if w} == {p: w for p, w in other.items() if w}
    assert (pair_set_number(one) == pair_set_number(other)) == same
    assert 0 < pair_set_number(one) < 1 << 32
