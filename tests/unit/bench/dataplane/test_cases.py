"""The cases of the data plane's benchmark, and which functions serve them."""

from itertools import pairwise

import pytest

from bench.dataplane import cases
from bench.dataplane.cases import CHAIN, NONE, STATIC, Case

HOSTS = 3


@pytest.mark.parametrize("pairs", [1, 3])
@pytest.mark.parametrize("length", [1, 2, 4, 8])
def test_chains_of_one_length_lead_through_other_groups_on_the_same_hosts(length, pairs):
    both = [Case(length, pairs, symmetric) for symmetric in (False, True)]
    groups = range(cases.needed_groups(both, HOSTS)[pairs])
    asymmetric, symmetric = (cases.groups_of(case, groups, HOSTS) for case in both)
    assert len(asymmetric) == len(symmetric) == length
    assert asymmetric != symmetric

    def hosts(chosen):
        return [{cases.host_of(group, pair, HOSTS) for pair in range(pairs)} for group in chosen]

    assert hosts(asymmetric) == hosts(symmetric)


def test_consecutive_functions_are_on_different_hosts():
    places = [cases.host_of(group, 0, HOSTS) for group in range(8)]
    assert all(one != other for one, other in pairwise(places))


def test_each_subject_has_a_port_of_its_own():
    found = cases.subjects(cases.combine((1, 2), (1, 3)))
    assert len({subject.port for subject in found}) == len(found)
    assert [subject.steering for subject in found[:3]] == [NONE, STATIC, CHAIN]
