"""The diff of two flow tables, and the ledger of owners."""

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.dataplane.diff import diff, keys_of, without
from portchain.dataplane.flow import Bridge, Flow, NoFlood, make_flow
from portchain.dataplane.ledger import FlowConflictError, FlowLedger

OUTER = (Bridge.TUN, Bridge.physical("a"), Bridge.physical("b"))

flows = st.builds(
    make_flow,
    st.sampled_from([Bridge.INT, *OUTER]),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sets(st.sampled_from(["ip", "in_port=1", "reg8=0x1"]), max_size=2),
    st.lists(st.sampled_from(["drop", "output:1", "goto_table:9"]), min_size=1, max_size=1),
)
contestable_flows = st.builds(replace, flows, contestable=st.just(True))
all_entries = flows | st.builds(NoFlood, st.integers(1, 3), st.sampled_from(["a", "b"]))
entry_sets = st.lists(all_entries, max_size=6, unique_by=lambda f: f.key)


def apply(actual, batches):
    """Apply batches to the content of a switch."""
    table = {f.key: f for f in actual}
    for batch in batches:
        assert batch.bridge == Bridge.INT or not batch.suppress_flooding + batch.restore_flooding
        table |= {port: port for port in batch.suppress_flooding}
        for port in batch.restore_flooding:
            del table[port]
        for entry in batch.put:
            assert entry.key.bridge == batch.bridge
            table[entry.key] = entry
        for key in batch.remove:
            assert key.bridge == batch.bridge
            del table[key]
    return set(table.values())


@given(entry_sets, entry_sets)
def test_diff_turns_actual_into_desired(desired, actual):
    assert apply(actual, diff(desired, actual)) == set(desired)


@given(entry_sets, entry_sets, st.randoms(use_true_random=False))
def test_without_leaves_some_entries_as_they_are(desired, actual, random):
    """A comparison must not undo what has changed in the switch meanwhile."""
    keys = sorted({entry.key for entry in (*desired, *actual)}, key=str)
    excluded = set(random.sample(keys, len(keys) // 2))
    batches = without(diff(desired, actual), excluded)
    expected = {entry for entry in actual if entry.key in excluded}
    expected |= {entry for entry in desired if entry.key not in excluded}
    assert apply(actual, batches) == expected
    suppressed = [port for batch in batches for port in batch.suppress_flooding]
    assert [port for batch in batches for port in batch.forget_addresses] == suppressed
    assert all(keys_of(batch) for batch in batches if not batch.forget_addresses), "no empty batch"


@given(entry_sets, entry_sets)
def test_keys_of_batches_are_those_of_all_differences(desired, actual):
    changed = {key for batch in diff(desired, actual) for key in keys_of(batch)}
    assert changed == {entry.key for entry in set(desired) ^ set(actual)}


@given(entry_sets)
def test_correct_flows_are_not_changed(desired):
    assert diff(desired, desired) == []


@given(entry_sets, entry_sets)
def test_outer_bridges_change_before_and_after_br_int(desired, actual):
    bundles = [
        ("put" if batch.put else "remove", batch.bridge)
        for batch in diff(desired, actual)
        if batch.put or batch.remove
    ]
    order = [("put", True), ("any", False), ("remove", True)]
    stages = [order.index((what if b in OUTER else "any", b in OUTER)) for what, b in bundles]
    assert stages == sorted(stages)
    assert len(bundles) == len(set(bundles)), "one bundle for each bridge and stage"


def test_outer_bridges_change_in_one_order():
    bridges = [Bridge.TUN, *(Bridge.physical(f"net{number}") for number in range(7))]
    flows = [make_flow(bridge, 0, 1, [], ["drop"]) for bridge in reversed(bridges)]
    assert [batch.bridge for batch in diff(flows, [])] == bridges


@given(entry_sets, entry_sets)
def test_flooding_is_suppressed_first_and_restored_last(desired, actual):
    batches = diff(desired, actual)
    assert not any(batch.suppress_flooding for batch in batches[1:])
    last_put = max((n for n, b in enumerate(batches) if b.put), default=-1)
    forget = [number for number, batch in enumerate(batches) if batch.forget_addresses]
    assert all(number > last_put for number in forget), "flows keep the addresses away first"
    assert [batches[number].forget_addresses for number in forget] == [
        batch.suppress_flooding for batch in batches if batch.suppress_flooding
    ]
    assert not any(batch.restore_flooding for batch in batches[:-1])


owned_entries = st.lists(st.tuples(st.sampled_from("abc"), entry_sets), max_size=10)


@given(owned_entries)
def test_reverted_changes_cancel_out(updates):
    ledger = FlowLedger()
    for owner, entries in updates:
        if not list(ledger.conflicts(owner, entries)):
            ledger.set(owner, entries)
    before, present = (
        {owner: ledger.entries_of(owner) for owner in ledger.owners},
        set(ledger.entries),
    )
    ledger.pop_changes()
    for owner, entries in before.items():
        for entry in entries:
            ledger.release(owner, entry.key)
    assert ledger.owners == frozenset()
    for owner, entries in before.items():
        ledger.set(owner, entries)
    assert ledger.pop_changes() == []
    assert set(ledger.entries) == present


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.lists(contestable_flows, max_size=6, unique_by=lambda f: f.key),
        ),
        max_size=10,
    )
)
def test_conflicting_contestable_flows_drop(updates):
    ledger, wanted, present = FlowLedger(), {}, set()
    for owner, entries in updates:
        assert not list(ledger.conflicts(owner, entries))
        ledger.set(owner, entries)
        wanted[owner] = entries
        present = apply(present, ledger.pop_changes())
        actions = defaultdict(set)
        for entry in (entry for entries in wanted.values() for entry in entries):
            actions[entry.key].add(entry.actions)
        agreed = {
            Flow(key, *(wanted if len(wanted) == 1 else {"drop"}))
            for key, wanted in actions.items()
        }
        assert present == agreed == set(ledger.entries)


def test_contestable_flow_conflicts_with_other_flows():
    ledger = FlowLedger()
    mine = replace(make_flow(Bridge.INT, 1, 1, ["ip"], ["output:1"]), contestable=True)
    other = make_flow(Bridge.INT, 1, 1, ["ip"], ["output:2"])
    ledger.set("a", [mine])
    assert list(ledger.conflicts("b", [other])) == [("a", other, other.key)]
    ledger.set("c", [replace(other, contestable=True)])
    assert list(ledger.conflicts("b", [other])) == [("a", other, other.key)]


def test_flow_conflicts_with_contestable_flows():
    ledger = FlowLedger()
    ledger.set("a", [other := make_flow(Bridge.INT, 1, 1, ["ip"], ["output:2"])])
    mine = replace(other, actions="output:1", contestable=True)
    assert list(ledger.conflicts("b", [mine])) == [("a", mine, other.key)]


def test_an_owner_does_not_conflict_with_what_it_had():
    ledger = FlowLedger()
    ledger.set("a", [before := make_flow(Bridge.INT, 1, 1, ["ip"], ["output:2"])])
    after = replace(before, actions="output:1")
    assert not list(ledger.conflicts("a", [after]))
    ledger.set("a", [after])
    assert set(ledger.entries) == {after}


def test_an_entry_that_comes_and_goes_changes_nothing():
    ledger = FlowLedger()
    ledger.set("a", [make_flow(Bridge.INT, 1, 1, ["ip"], ["drop"])])
    ledger.set("a", [])
    assert ledger.pop_changes() == []


def test_shared_flow_stays_until_last_owner_is_removed():
    ledger, shared = FlowLedger(), make_flow(Bridge.INT, 1, 1, ["ip"], ["drop"])
    for owner in "ab":
        ledger.set(owner, [shared])
    assert len(ledger.pop_changes()) == 1
    ledger.set("a", [])
    assert ledger.pop_changes() == []
    ledger.set("b", [])
    assert [batch.remove for batch in ledger.pop_changes()] == [(shared.key,)]


def test_conflict_names_both_owners_and_changes_nothing():
    ledger = FlowLedger()
    ledger.set("a", [make_flow(Bridge.INT, 1, 1, ["ip"], ["drop"])])
    with pytest.raises(FlowConflictError, match="b and a conflict") as caught:
        ledger.set("b", [make_flow(Bridge.INT, 1, 1, ["ip"], ["output:1"])])
    assert (caught.value.owner, caught.value.rival) == ("b", "a")
    assert ledger.owners == {"a"}


class Owner(str):
    """An owner that counts look-ups by owner."""

    looked_up = 0

    def __hash__(self):
        Owner.looked_up += 1
        return super().__hash__()


def look_ups(count, again):
    """Count look-ups while all owners are set again; they share all flows but one each."""
    shared = [make_flow(Bridge.INT, 1, 1, [f"reg9={n}"], ["drop"]) for n in range(10)]
    owners, ledger = [Owner(n) for n in range(count)], FlowLedger()
    own = [make_flow(Bridge.INT, 1, 2, [f"reg8={owner}"], ["drop"]) for owner in owners]
    for owner, entry in zip(owners, own, strict=True):
        ledger.set(owner, [*shared, entry])
    Owner.looked_up = 0
    for owner, entry in zip(owners, own, strict=True):
        ledger.set(owner, [*(shared if again else ()), entry])
    return Owner.looked_up


@pytest.mark.parametrize("again", [True, False])
def test_cost_of_shared_flows_grows_linearly(again):
    assert 0 < look_ups(200, again) < 3 * look_ups(100, again)
