"""What the soak concludes from the packets that it saw."""

from bench.soak.run import schedule
from bench.soak.verdict import Minute, Seen, judge, totals

CONNECTION, ANSWERED = (10000, 80), (10000, 90)
FIRST, OTHER, LAST = ("first", "f1"), ("first", "f2"), ("last", "f3")
SYMMETRIC = frozenset({90})


def verdict(**seen):
    return judge(Seen(**seen), 2, SYMMETRIC)


def test_a_connection_that_visits_one_pair_of_each_group_is_right():
    assert verdict(visited={CONNECTION: {FIRST, LAST}}, arrived={(80, 62): 4}) == (0, 0, 0)


def test_two_pairs_of_a_group_in_one_direction_are_a_split():
    assert verdict(visited={CONNECTION: {FIRST, OTHER, LAST}}) == (1, 0, 0)
    assert verdict(returned={ANSWERED: {FIRST, OTHER}}) == (1, 0, 0)


def test_directions_of_a_symmetric_chain_are_compared():
    assert verdict(visited={ANSWERED: {FIRST}}, returned={ANSWERED: {OTHER}}) == (0, 1, 0)
    assert verdict(visited={ANSWERED: {FIRST}}, returned={ANSWERED: {FIRST}}) == (0, 0, 0)


def test_packets_that_passed_too_few_functions_have_gone_around():
    assert verdict(arrived={(80, 62): 9, (80, 63): 2, (80, 64): 1}) == (0, 0, 3)


def test_replies_pass_functions_in_symmetric_chains_only():
    assert verdict(answered={(80, 64): 5, (90, 62): 5}) == (0, 0, 0)
    assert verdict(answered={(90, 64): 5}) == (0, 0, 5)


def test_totals_add_counts_and_show_the_median_cost():
    minutes = [Minute("a change", 10, 1, 0, 1, 2, cost) for cost in (500.0, 900.0, 510.0)]
    assert totals(minutes) == Minute("all", 30, 3, 0, 3, 6, 510.0)


def test_each_program_is_restarted_once():
    names = [f"program{number}" for number in range(16)]
    planned = schedule(names, 60)
    assert sorted(planned.values()) == sorted(names)
    assert 0 not in planned
    assert max(planned) < 60
