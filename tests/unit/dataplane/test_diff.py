from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.diff import FlowConflictError, FlowLedger, diff
from portchain.dataplane.flow import Bridge, Flow, NoFlood, flow

OUTER = (Bridge.TUN, Bridge.physical("a"), Bridge.physical("b"))

rules = st.builds(
    flow,
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
        assert batch.bridge == Bridge.INT or not batch.shield + batch.expose
        table |= {port: port for port in batch.shield}
        for port in batch.expose:
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
    assert not any(batch.shield for batch in batches[1:])
    assert not any(batch.expose for batch in batches[:-1])


@given(st.lists(st.dictionaries(st.sampled_from("abc"), flow_sets, max_size=3), max_size=6))
def test_a_ledger_holds_what_its_owners_want(steps):
    ledger, wanted, held = FlowLedger(), {}, set()
    for step in steps:
        try:
            batches = ledger.replace(step)
        except FlowConflictError:
            union = {}
            merged = {**wanted, **step}
            assert any(
                union.setdefault(rule.key, rule) != rule
                for rules in merged.values()
                for rule in rules
            ), "refused without a conflict"
            continue
        wanted |= step
        held = run(held, batches)
        assert held == {rule for rules in wanted.values() for rule in rules} == set(ledger.flows)
        assert ledger.owners == {owner for owner, rules in wanted.items() if rules}


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"),
            st.lists(contestable_flows, max_size=6, unique_by=lambda f: f.key),
            max_size=3,
        ),
        max_size=6,
    )
)
def test_what_contestable_rules_disagree_about_is_dropped(steps):
    ledger, wanted, held = FlowLedger(), {}, set()
    for step in steps:
        batches = ledger.replace(step)
        wanted |= step
        held = run(held, batches)
        actions = defaultdict(set)
        for rule in (rule for rules in wanted.values() for rule in rules):
            actions[rule.key].add(rule.actions)
        agreed = {
            Flow(key, *(said if len(said) == 1 else {"drop"})) for key, said in actions.items()
        }
        assert held == agreed == set(ledger.flows)


def test_a_contestable_rule_yields_to_no_other():
    ledger = FlowLedger()
    mine = replace(flow(Bridge.INT, 1, 1, ["ip"], ["output:1"]), contestable=True)
    ledger.replace({"a": [mine]})
    with pytest.raises(FlowConflictError):
        ledger.replace({"b": [flow(Bridge.INT, 1, 1, ["ip"], ["output:2"])]})


def test_a_shared_rule_stays_until_its_last_owner_goes():
    ledger, shared = FlowLedger(), flow(Bridge.INT, 1, 1, ["ip"], ["drop"])
    assert len(ledger.replace({"a": [shared]})) == 1
    assert ledger.replace({"b": [shared]}) == []
    assert ledger.replace({"a": []}) == []
    assert [batch.remove for batch in ledger.replace({"b": []})] == [(shared.key,)]


def test_a_conflict_names_both_sides_and_changes_nothing():
    ledger = FlowLedger()
    ledger.replace({"a": [flow(Bridge.INT, 1, 1, ["ip"], ["drop"])]})
    with pytest.raises(FlowConflictError, match="b and a disagree") as caught:
        ledger.replace({"b": [flow(Bridge.INT, 1, 1, ["ip"], ["output:1"])]})
    assert (caught.value.owner, caught.value.rival) == ("b", "a")
    assert ledger.owners == {"a"}
