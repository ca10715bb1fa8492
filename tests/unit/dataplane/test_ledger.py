"""A ledger of what owners want, against a simple model of the same."""

import itertools
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portchain.core.counters import Counter
from portchain.dataplane import conjunction
from portchain.dataplane.flow import Bridge, NoFlood, make_flow
from portchain.dataplane.ledger import Conflict, FlowConflictError, FlowLedger
from portchain.dataplane.match import header_matches
from portchain.dataplane.packed_flows import PackedFlows, digest
from tests.plans import classifier

OWNERS = ("one", "two", "two/guard", "one/guard")


def of_table(number, action, **more):
    return make_flow(Bridge.INT, 152, 10, [f"reg8={number:#x}"], [action], **more)


def returned(port, source, project, action="drop"):
    """A flow for what a function returns: no flow of another project may take such a packet."""
    words = [f"in_port={port}", "ip", *([f"nw_src={source}"] if source else [])]
    return make_flow(Bridge.INT, 0, 312, words, [action], project=project)


def counting(chain, match="in_port=7"):
    counter = Counter(chain, False, "out", "pair") if chain else None
    return make_flow(Bridge.INT, 0, 315, [match], ["output:2"], counter=counter)


def ranges(action, *, first=1):
    """A conjunction that two owners may want with different actions."""
    header = classifier(
        source_prefixes=(),
        destination_prefixes=(),
        source_ports=(first, 6),
        destination_ports=(1, 3),
    )
    (match,) = header_matches(header)
    words = match | {"in_port=1"}
    return tuple(conjunction.build_flows("ACCEPT_OR_INGRESS", 320, words, action, contestable=True))


TCP = make_flow(Bridge.INT, 0, 312, ["tcp"], ["drop"], contestable=True)
SETS = (
    (of_table(1, "drop"), of_table(2, "drop"), make_flow(Bridge.TUN, 0, 301, ["mpls"], ["drop"])),
    (of_table(1, "output:5"), make_flow(Bridge.physical("net"), 0, 301, ["mpls"], ["NORMAL"])),
    (of_table(3, "drop"), TCP),
    (replace(TCP, actions="output:5"),),
    (replace(TCP, actions="output:6", contestable=False),),
    (replace(TCP, contestable=False),),
    (counting("chain1"),),
    (counting("chain2"), counting("chain2", "in_port=8")),
    (counting(""),),
    (returned(5, "10.0.0.1", "p"), of_table(4, "drop")),
    (
        returned(5, "10.0.0.1", "q"),
        make_flow(
            *(Bridge.INT, 0, 313, ["in_port=5", "tcp", "nw_src=10.0.0.1", "tp_dst=80"]),
            ["output:2"],
            project="q",
        ),
    ),
    (
        returned(5, "10.0.0.2", "q", "output:7"),
        returned(6, "10.0.0.1", "q", "output:7"),
        make_flow(Bridge.TUN, 0, 312, ["in_port=5", "ip"], ["output:7"], project="q"),
        make_flow(Bridge.INT, 1, 312, ["in_port=5", "ip"], ["output:7"], project="q"),
    ),
    (NoFlood(6), returned(5, "", "q", "output:8")),
    (
        make_flow(Bridge.INT, 0, 301, ["in_port=5", "ip"], ["output:6"]),
        returned(5, "10.0.0.0/24", "r", "output:9"),
        returned(9, "", "r", "output:9"),
    ),
    (
        make_flow(Bridge.INT, 0, 300, ["in_port=5", "udp"], ["output:3"]),
        returned(5, "10.0.0.0/25", "s", "output:1"),
    ),
    (NoFlood(5, "record"), of_table(5, "drop")),
    ranges("output:1"),
    ranges("output:2"),
    ranges("output:1", first=2),
)
EVERYTHING = tuple({flow.key: flow for flows in SETS for flow in flows}.values())


class Model:
    """What owners want. The rest is computed from that whenever somebody asks."""

    def __init__(self):
        self.wanted = {owner: {} for owner in OWNERS}
        self.popped = {}

    @property
    def entries(self):
        """Key in the switch -> entry."""
        wanting = defaultdict(list)
        for owner, entries in self.wanted.items():
            for entry in entries.values():
                wanting[entry.key].append((owner, entry))
        merged = defaultdict(list)
        for key, owned in wanting.items():
            merged[_in_switch(key)].append(_agreed(key, owned))
        return {
            key: conjunction.merge(some) if some[0].key != key else some[0]
            for key, some in merged.items()
        }

    def conflicts(self, owner, entries):
        return {
            Conflict(other, entry, rival.key)
            for other in OWNERS
            if other != owner
            for rival in self.wanted[other].values()
            for entry in entries
            if _conflict(entry, rival)
        }

    def counted(self, owner, desired):
        return {
            entry.key
            for entry in self.wanted[owner].values()
            if _counter(entry) and _counter(desired[_in_switch(entry.key)]) == _counter(entry)
        }

    def pop_changes(self):
        before, after = self.popped, self.entries
        self.popped = after
        both = before.keys() & after.keys()
        recounted = {key for key in both if _counter(before[key]) != _counter(after[key])}
        put = {key for key, entry in after.items() if before.get(key) != entry} | recounted
        return put, (before.keys() - after.keys()) | recounted


def _in_switch(key):
    return getattr(key, "in_switch", key)


def _counter(entry):
    return getattr(entry, "counter", None)


def _port(flow):
    return [word for word in flow.key.match if word.startswith("in_port=")]


def _agreed(key, owned):
    first = owned[0][1]
    if any(entry != first for _, entry in owned):
        return conjunction.contested(key)
    if isinstance(first, NoFlood):
        return first
    plans = {_counter(entry) for owner, entry in owned if "/" not in owner}
    counters = plans or {_counter(entry) for _, entry in owned}
    return replace(first, counter=counters.pop() if len(counters) == 1 else None)


def _conflict(entry, rival):
    if entry.key == rival.key and entry != rival:
        return not (entry.contestable and rival.contestable)
    if not (getattr(entry, "project", "") and getattr(rival, "project", "")):
        return False
    return (
        entry.project != rival.project
        and entry.actions != rival.actions
        and entry.key.bridge == rival.key.bridge
        and entry.key.table == rival.key.table
        and _port(entry) == _port(rival)
        and conjunction.overlap(entry.key, rival.key)
    )


def check(ledger, model):
    desired = model.entries
    assert len(ledger.entries) == len(desired)
    assert set(ledger.entries) == set(desired.values())
    assert ledger.digests == set(map(digest, desired.values()))
    assert ledger.owners == {owner for owner, entries in model.wanted.items() if entries}
    keys = [_in_switch(flow.key) for flow in EVERYTHING]
    found = ledger.entries_for(keys)
    assert found == {key: desired.get(key) for key in keys}
    assert {key: _counter(one) for key, one in found.items()} == {
        key: _counter(desired.get(key)) for key in keys
    }
    for owner, entries in model.wanted.items():
        assert ledger.has_owner(owner) is bool(entries)
        own = {desired[_in_switch(key)] for key in entries}
        of_owner = ledger.entries_of(owner)
        assert len(of_owner) == len(own)
        assert set(of_owner) == own
        assert {flow.key for flow in ledger.counted_flows(owner)} == model.counted(owner, desired)


def do(ledger, model, step):
    if step == "pack":
        do(ledger, model, "pop")
        ledger.pack()
    elif step == "pop":
        batches = ledger.pop_changes()
        put = {one.key for each in batches for one in (*each.put, *each.suppress_flooding)}
        removed = {key for each in batches for key in (*each.remove, *each.restore_flooding)}
        assert (put, removed) == model.pop_changes()
        assert not ledger.changes
    elif len(step) == 3:
        _, owner, number = step
        for flow in SETS[number]:
            ledger.release(owner, flow.key)
            model.wanted[owner].pop(flow.key, None)
    else:
        owner, numbers = step
        entries = [flow for number in sorted(numbers) for flow in SETS[number]]
        assert set(ledger.conflicts(owner, entries)) == model.conflicts(owner, entries)
        wanted = {entry.key: entry for entry in reversed(entries)}
        conflicts = model.conflicts(owner, wanted.values())
        with_itself = any(wanted[entry.key] != entry for entry in entries)
        if conflicts or with_itself:
            with pytest.raises(FlowConflictError) as refused:
                ledger.set(owner, entries)
            assert refused.value.owner == owner
            rivals = {owner} if with_itself else {each.owner for each in conflicts}
            assert refused.value.rival in rivals
        else:
            ledger.set(owner, entries)
            model.wanted[owner] = wanted


NUMBERS = st.sampled_from(range(len(SETS)))
STEP = st.one_of(
    st.tuples(st.sampled_from(OWNERS), st.sets(NUMBERS, max_size=4)),
    st.tuples(st.just("release"), st.sampled_from(OWNERS), NUMBERS),
    st.sampled_from(["pop", "pack"]),
)


@settings(max_examples=25)
@given(st.lists(STEP, max_size=10))
@example([("one", {16}), ("two", {17}), ("release", "one", 16)])
@example([("one", {2}), ("two", {3}), ("two/guard", {5})])
@example([("one", {2}), ("two", {3}), ("one", set()), ("two", set()), ("one", {4})])
@example([("one", {0}), "pack", ("two", {1})])
@example([("one", {9}), "pack", ("two", {11}), ("two/guard", {13})])
@example([("two/guard", {6}), ("one", {6}), ("one/guard", {7}), ("one", set())])
@example([("one", {6}), ("two/guard", {7}), ("two", {7}), "pop", ("one", set())])
@example([("one", {0}), "pack", ("one", {0, 4}), ("two", {1})])
@example([("one", {6}), ("two", {7}), ("one/guard", {6}), "pop", ("two", set()), "pop"])
@example([("one/guard", {8}), ("one", {6}), ("two", {7}), ("one", set())])
@example([("one/guard", {8}), ("one", {8}), ("two", {7}), ("one", set())])
@example([("two", {6}), "pack", ("one/guard", {8}), ("one", {7}), "pop", "pack", ("one", set())])
@example([("one", {9}), ("two", {11, 12}), "pack", ("two/guard", {13, 14})])
def test_a_ledger_has_what_its_owners_want(steps):
    """Whatever is packed meanwhile; and it says exactly who conflicts, and what has changed."""
    ledger, model = FlowLedger(), Model()
    for step in (*steps, "pack"):
        do(ledger, model, step)
        check(ledger, model)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param((0, 1, 15), id="flows"),
        pytest.param((2, 3, 4, 5), id="contestable"),
        pytest.param((6, 7, 8), id="counting"),
        pytest.param((9, 10, 11, 12, 13, 14), id="projects"),
        pytest.param((16, 17, 18), id="conjunctions"),
    ],
)
def test_what_each_of_three_owners_wants_is_compared(family):
    pairs = itertools.combinations_with_replacement(family, 2)
    for (first, second), third in itertools.product(pairs, family):
        ledger, model = FlowLedger(), Model()
        for step in (
            *(("one", {first}), ("two", {second}), "pack", ("two/guard", {third})),
            *(("one", set()), ("one", {first}), "pop", ("one", {third}), "pack"),
            *(("release", "two", second), ("release", "two/guard", third), "pop"),
        ):
            do(ledger, model, step)
            assert set(ledger.entries) == set(model.entries.values())


def test_conflicts_are_in_the_order_of_the_owners():
    """So it makes no difference in which order a host has learned of them."""
    owners = [f"owner{number}" for number in range(7)]
    ledger = FlowLedger()
    for owner in reversed(owners):
        ledger.set(owner, [returned(5, f"10.0.0.{owner[-1]}", "p")])
    found = ledger.conflicts("new", [returned(5, "10.0.0.0/24", "q", "output:1")])
    assert [each.owner for each in found] == owners


def test_changes_are_known_until_they_are_popped():
    ledger, ((first, second, _), (other, _)) = FlowLedger(), SETS[:2]
    ledger.set("one", [first])
    ledger.pop_changes()
    ledger.set("one", [other, second])
    assert ledger.changes == {first.key: first, second.key: None}
    assert ledger.entries_for([second.key]) == {second.key: second}
    ledger.pop_changes()
    ledger.pack()
    assert ledger.entries_for([second.key]) == {second.key: second}
    assert ledger.changes == {}


# --- Repairs.


def changes(batches):
    put = [one for each in batches for one in (*each.put, *each.suppress_flooding)]
    return put, [key for each in batches for key in each.remove]


def test_a_repair_puts_what_is_missing_and_removes_what_is_too_much():
    ledger, (first, second, _) = FlowLedger(), SETS[0]
    ledger.set("one", [first, second])
    stray = of_table(9, "drop")
    assert changes(ledger.repair({digest(first)}, [])) == ([first], [])
    assert changes(ledger.repair(set(), [stray])) == ([], [stray.key])
    assert changes(ledger.repair({digest(second)}, [stray])) == ([second], [stray.key])
    assert ledger.repair(set(), []) == []
    ledger.set("one", [first, *ranges("output:1")])
    wrong = [replace(flow, actions="output:9") for flow in ledger.entries]
    assert ledger.repair(set(), wrong) == [], "what is put in their place replaces them"


# --- What is packed.


@pytest.fixture
def unpacked(monkeypatch):
    """The owners whose packed flows are read, once for each time."""
    owners = []
    flows_of = PackedFlows.flows_of

    def noting(self, owner):
        found = flows_of(self, owner)
        owners.extend([owner] if found else [])
        return found

    monkeypatch.setattr(PackedFlows, "flows_of", noting)
    return owners


def packed_with(**owned):
    ledger = FlowLedger()
    for owner, flows in owned.items():
        ledger.set(owner, flows)
    ledger.pop_changes()
    ledger.pack()
    return ledger


def test_flows_that_one_owner_wants_are_packed(unpacked):
    """All others stay as they are, and keep nothing else from being packed."""
    alone = {f"alone{n}": [of_table(n, "drop")] for n in range(9)}
    shared = {f"shared{n}": [TCP, *ranges("output:1")] for n in range(9)}
    projects = {
        "p": [returned(5, "10.0.0.1", "p"), of_table(20, "drop")],
        "q": [returned(5, "10.0.0.2", "q"), returned(6, "", "q")],
        "r": [returned(5, "10.0.0.3", "r")],
        "plain": [make_flow(Bridge.INT, 0, 312, ["in_port=5", "udp"], ["drop"])],
    }
    ledger = packed_with(**alone, **shared, **projects, port=[NoFlood(5)])
    unpacked.clear()
    assert len(ledger.entries) == len(alone) + len({*TCP_AND_RANGES}) + 6 + 1
    assert sorted(unpacked) == sorted([*alone, "p", "q", "plain"])
    unpacked.clear()
    found = {one.owner for one in ledger.conflicts("new", [returned(5, "10.0.0.1", "s", "NORMAL")])}
    assert (found, unpacked) == ({"p"}, []), "flows at a shared port are compared often"


TCP_AND_RANGES = (TCP.key, *(flow.key.in_switch for flow in ranges("output:1")))


def test_a_failure_to_pack_loses_no_flow(monkeypatch):
    """Memory may be short before all owners are packed; later, more of their flows can be."""
    mine, shared, theirs = SETS[0]
    ledger = FlowLedger()
    ledger.set("one", [mine, shared])
    ledger.set("two", [theirs, shared])
    ledger.pop_changes()
    packed, put = [], PackedFlows.put

    def fail_later(self, owner, flows):
        if packed:
            raise MemoryError
        packed.append(owner)
        put(self, owner, flows)

    with monkeypatch.context() as patch:
        patch.setattr(PackedFlows, "put", fail_later)
        with pytest.raises(MemoryError):
            ledger.pack()
    (last,) = {"one", "two"} - {*packed}
    ledger.release(last, shared.key)
    ledger.pop_changes()
    ledger.pack()
    assert set(ledger.entries) == {mine, shared, theirs}


# --- Flows of projects.


def test_all_ports_and_all_owners_are_compared():
    ledger = packed_with(
        one=[returned(6, "10.0.0.1", "p"), returned(7, "10.0.0.2", "p")],
        two=[returned(7, "10.0.0.1", "q"), of_table(1, "drop"), returned(7, "10.0.0.3", "q")],
    )
    new = [returned(port, "", "r", "output:1") for port in (5, 6, 7)]
    expected = {("one", 6), ("one", 7), ("two", 7)}
    found = list(ledger.conflicts("new", new))
    ports = {(each.owner, int(_port(each.entry)[0].removeprefix("in_port="))) for each in found}
    assert ports == expected
    assert len(found) == 4


def test_masks_that_exclude_each_other_are_no_conflict():
    """Also masks that are no prefix, of which only the bits can be compared."""

    def with_ports(masked, project):
        words = ["in_port=5", "tcp", f"tp_dst={masked}"]
        return make_flow(Bridge.INT, 0, 312, words, [f"set_field:{project}"], project=project)

    ledger = FlowLedger()
    ledger.set("one", [with_ports("0x4/0x5", "p")])
    assert not list(ledger.conflicts("two", [with_ports("0x5/0x5", "q")]))
    assert list(ledger.conflicts("two", [with_ports("0x6/0x6", "q")]))


def test_a_project_may_take_its_own_packets_by_several_flows():
    ledger = packed_with(one=[returned(5, "10.0.0.1", "p")])
    ledger.set("two", [returned(5, "", "p", "output:7")])
    assert len(ledger.entries) == 2


def test_nothing_of_an_owner_that_is_gone_conflicts():
    ledger = FlowLedger()
    for project in ("p", "q", "p"):
        ledger.set("one", [returned(5, "10.0.0.1", project), returned(5, "", project, "output:7")])
        ledger.set("two", [returned(6, "10.0.0.1", project)])
    ledger.set("one", [])
    ledger.set("three", [returned(5, "", "r", "output:1")])
    assert ledger.owners == {"two", "three"}


# --- Conflicts in words.


def test_a_conflict_is_told_without_the_name_of_the_other_chain():
    ledger, (mine, rival) = FlowLedger(), (SETS[0][0], SETS[1][0])
    ledger.set("one", [mine])
    with pytest.raises(FlowConflictError) as refused:
        ledger.set("two", [rival])
    assert str(refused.value) == f"two and one conflict over {rival}"
    assert refused.value.reason == (
        f"another port chain needs the same match with other actions: {rival}"
    )
    with pytest.raises(FlowConflictError) as refused:
        ledger.set("two", [mine, rival])
    assert str(refused.value) == f"two conflicts with itself over {rival}"
    assert refused.value.reason == f"the chain conflicts with itself over {rival}"
