from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.diff import diff
from portchain.dataplane.flow import Bridge, Flow, NoFlood, make_flow
from portchain.dataplane.ledger import FlowConflictError, FlowLedger

OUTER = (Bridge.TUN, Bridge.physical("a"), Bridge.physical("b"))

rules = st.builds(
    make_flow,
    st.sampled_from([Bridge.INT, *OUTER]),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sets(st.sampled_from(["ip", "in_port=1", "reg8=0x1"]), max_size=2),
    st.lists(st.sampled_from(["drop", "output:1", "goto_table:9"]), min_size=1, max_size=1),
)
contestable_flows = st.builds(replace, rules, contestable=st.just(True))
flows = rules | st.builds(NoFlood, st.integers(1, 3), st.sampled_from(["a", "b"]))
flow_sets = st.lists(flows, max_size=6, unique_by=lambda f: f.key)


def run(actual, batches):
    """What a switch that held ``actual`` holds after the batches."""
    table = {f.key: f for f in actual}
    for batch in batches:
        assert batch.bridge == Bridge.INT or not batch.suppress_flooding + batch.restore_flooding
        table |= {port: port for port in batch.suppress_flooding}
        for port in batch.restore_flooding:
            del table[port]
        for rule in batch.put:
            assert rule.key.bridge == batch.bridge
            table[rule.key] = rule
        for key in batch.remove:
            assert key.bridge == batch.bridge
            del table[key]
    return set(table.values())


@given(flow_sets, flow_sets)
def test_diff_turns_actual_into_desired(desired, actual):
    assert run(actual, diff(desired, actual)) == set(desired)


@given(flow_sets)
def test_what_is_right_is_not_touched(desired):
    assert diff(desired, desired) == []


@given(flow_sets, flow_sets)
def test_the_ways_out_are_ready_before_and_kept_until_after(desired, actual):
    places = [
        ("put" if batch.put else "remove", batch.bridge)
        for batch in diff(desired, actual)
        if batch.put or batch.remove
    ]
    order = [("put", True), ("any", False), ("remove", True)]
    stages = [order.index((what if b in OUTER else "any", b in OUTER)) for what, b in places]
    assert stages == sorted(stages)
    assert len(places) == len(set(places)), "one bundle a bridge and stage"


@given(flow_sets, flow_sets)
def test_ports_are_shielded_before_and_exposed_after_anything_is_sent_there(desired, actual):
    batches = diff(desired, actual)
    assert not any(batch.suppress_flooding for batch in batches[1:])
    assert not any(batch.restore_flooding for batch in batches[:-1])


owned_flows = st.lists(st.tuples(st.sampled_from("abc"), flow_sets), max_size=10)


def disagree(wanted, owner, rules):
    others = [rule for other in wanted.keys() - {owner} for rule in wanted[other]]
    return any(one.key == rule.key and one != rule for one in others for rule in rules)


@given(owned_flows)
def test_a_ledger_holds_what_its_owners_want(steps):
    ledger, wanted, held = FlowLedger(), {}, set()
    for owner, rules in steps:
        if disagree(wanted, owner, rules):
            assert list(ledger.conflicts(owner, rules))
            with pytest.raises(FlowConflictError):
                ledger.set(owner, rules)
            continue
        assert not list(ledger.conflicts(owner, rules))
        ledger.set(owner, rules)
        wanted[owner] = rules
        held = run(held, ledger.pop_changes())
        assert held == {rule for rules in wanted.values() for rule in rules} == set(ledger.entries)
        assert ledger.owners == {owner for owner, rules in wanted.items() if rules}
        assert {rule for one in ledger.owners for rule in ledger.entries_of(one)} == held


@given(owned_flows)
def test_what_was_changed_and_changed_back_is_no_change(steps):
    ledger = FlowLedger()
    for owner, rules in steps:
        if not list(ledger.conflicts(owner, rules)):
            ledger.set(owner, rules)
    before, held = {owner: ledger.entries_of(owner) for owner in ledger.owners}, set(ledger.entries)
    ledger.pop_changes()
    for owner, rules in before.items():
        for rule in rules:
            ledger.release(owner, rule.key)
    assert ledger.owners == frozenset()
    for owner, rules in before.items():
        ledger.set(owner, rules)
    assert ledger.pop_changes() == []
    assert set(ledger.entries) == held


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.lists(contestable_flows, max_size=6, unique_by=lambda f: f.key),
        ),
        max_size=10,
    )
)
def test_what_contestable_rules_disagree_about_is_dropped(steps):
    ledger, wanted, held = FlowLedger(), {}, set()
    for owner, rules in steps:
        assert not list(ledger.conflicts(owner, rules))
        ledger.set(owner, rules)
        wanted[owner] = rules
        held = run(held, ledger.pop_changes())
        actions = defaultdict(set)
        for rule in (rule for rules in wanted.values() for rule in rules):
            actions[rule.key].add(rule.actions)
        agreed = {
            Flow(key, *(said if len(said) == 1 else {"drop"})) for key, said in actions.items()
        }
        assert held == agreed == set(ledger.entries)


def test_a_contestable_rule_yields_to_no_other():
    ledger = FlowLedger()
    mine = replace(make_flow(Bridge.INT, 1, 1, ["ip"], ["output:1"]), contestable=True)
    other = make_flow(Bridge.INT, 1, 1, ["ip"], ["output:2"])
    ledger.set("a", [mine])
    assert list(ledger.conflicts("b", [other])) == [("a", other)]
    ledger.set("c", [replace(other, contestable=True)])
    assert list(ledger.conflicts("b", [other])) == [("a", other)]


def test_a_shared_rule_stays_until_its_last_owner_goes():
    ledger, shared = FlowLedger(), make_flow(Bridge.INT, 1, 1, ["ip"], ["drop"])
    for owner in "ab":
        ledger.set(owner, [shared])
    assert len(ledger.pop_changes()) == 1
    ledger.set("a", [])
    assert ledger.pop_changes() == []
    ledger.set("b", [])
    assert [batch.remove for batch in ledger.pop_changes()] == [(shared.key,)]


def test_a_conflict_names_both_sides_and_changes_nothing():
    ledger = FlowLedger()
    ledger.set("a", [make_flow(Bridge.INT, 1, 1, ["ip"], ["drop"])])
    with pytest.raises(FlowConflictError, match="b and a conflict") as caught:
        ledger.set("b", [make_flow(Bridge.INT, 1, 1, ["ip"], ["output:1"])])
    assert (caught.value.owner, caught.value.rival) == ("b", "a")
    assert ledger.owners == {"a"}


class Owner(str):
    """An owner that counts how often something is looked up by it."""

    looked_up = 0

    def __hash__(self):
        Owner.looked_up += 1
        return super().__hash__()


def look_ups(count, again):
    """How often owners that share their rules, but for one each, are looked up when all are set once more."""
    shared = [make_flow(Bridge.INT, 1, 1, [f"reg9={n}"], ["drop"]) for n in range(10)]
    owners, ledger = [Owner(n) for n in range(count)], FlowLedger()
    own = [make_flow(Bridge.INT, 1, 2, [f"reg8={owner}"], ["drop"]) for owner in owners]
    for owner, rule in zip(owners, own, strict=True):
        ledger.set(owner, [*shared, rule])
    Owner.looked_up = 0
    for owner, rule in zip(owners, own, strict=True):
        ledger.set(owner, [*(shared if again else ()), rule])
    return Owner.looked_up


@pytest.mark.parametrize("again", [True, False])
def test_many_that_share_rules_are_not_looked_up_for_each_other(again):
    assert 0 < look_ups(200, again) < 3 * look_ups(100, again)
