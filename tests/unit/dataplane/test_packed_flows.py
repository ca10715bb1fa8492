"""Flows in little memory: what comes back, and what of them is read."""

from dataclasses import replace

import pytest

from portchain.dataplane.compile import compile_chain
from portchain.dataplane.flow import Bridge, make_flow
from portchain.dataplane.ledger import FlowLedger
from portchain.dataplane.packed_flows import PackedFlows, compare, digest
from tests.plans import chain, classifier, switch, target

LOCAL = switch("h1", "vm", "a-in", "a-out", "b-in", "b-out")
FLOWS = (
    *(make_flow(Bridge.INT, 152, 10, [f"reg8={n:#x}"], ["drop"]) for n in (1, 2, 3)),
    make_flow(Bridge.TUN, 0, 301, ["mpls"], ["output:5"]),
)


def test_flows_come_back_as_they_were():
    wide = classifier(source_ports=(1, 65534), destination_ports=(1, 65534))
    plan = chain([target("a", "h1"), target("b", "h1")], classifiers=(classifier(), wide))
    flows = [
        replace(flow, project="p", contestable=True)
        for flow in compile_chain(plan, LOCAL).flows
        if flow.key.clause is None
    ]
    flows.append(make_flow(Bridge.physical("net"), 0, 1, ["mpls"], ["NORMAL"]))
    packed = PackedFlows()
    packed.put("owner", flows)
    assert set(packed.digests()) == set(map(digest, flows))
    assert all(packed.owner_of(flow.key) == "owner" for flow in flows)
    back = packed.pop("owner")
    assert back == flows
    assert [(each.project, each.contestable) for each in back] == [("p", True)] * (
        len(flows) - 1
    ) + [("", False)]
    assert not packed.owners
    assert not any(packed.has_hash_of(flow.key) for flow in flows)


def test_a_comparison_says_what_is_missing_and_what_is_too_much():
    first, second, third = FLOWS[:3]
    found = [first, third]
    missing, surplus = compare(found, list(map(digest, found)), {digest(first), digest(second)})
    assert (missing, surplus) == ({digest(second)}, [third])
    assert compare([first], [digest(first)], {digest(first)}) == (set(), [])
    # As many strays as desired flows, or more.
    assert compare([third], [digest(third)], {digest(first)}) == ({digest(first)}, [third])
    found = [first, third, FLOWS[3]]
    missing, surplus = compare(found, list(map(digest, found)), {digest(first), digest(second)})
    assert (missing, surplus) == ({digest(second)}, found[1:])


def test_digests_of_flows_differ_with_every_part_of_them():
    (flow, *_) = FLOWS
    others = [
        replace(flow, key=flow.key._replace(bridge=Bridge.TUN)),
        replace(flow, key=flow.key._replace(table=151)),
        replace(flow, key=flow.key._replace(priority=11)),
        replace(flow, key=flow.key._replace(match=frozenset({"reg8=0x9"}))),
        replace(flow, actions="output:9"),
    ]
    assert len(set(map(digest, [flow, *others]))) == 6


@pytest.fixture
def unpacked(monkeypatch):
    """The owners that are unpacked, once for each time."""
    owners = []
    flows_of = PackedFlows.flows_of
    monkeypatch.setattr(
        PackedFlows,
        "flows_of",
        lambda self, owner: (owners.append(owner), flows_of(self, owner))[1],
    )
    return owners


def _two_packed_owners():
    ledger = FlowLedger()
    ledger.set("one", FLOWS[:2])
    ledger.set("two", FLOWS[2:3])
    ledger.pop_changes()
    ledger.pack()
    return ledger


def test_flows_that_cannot_be_packed_stay(monkeypatch):
    ledger = FlowLedger()
    ledger.set("one", FLOWS[:2])
    ledger.pop_changes()

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("portchain.dataplane.packed_flows.zlib.compress", fail)
        with pytest.raises(MemoryError):
            ledger.pack()
    assert set(ledger.entries) == set(FLOWS[:2])
    ledger.pack()
    assert set(ledger.entries) == set(FLOWS[:2])
    ledger.set("one", ())
    assert not ledger.entries


def test_an_owner_is_unpacked_once_for_all_of_its_keys(unpacked):
    ledger = _two_packed_owners()
    stray = make_flow(Bridge.INT, 152, 11, ["reg8=0x1"], ["drop"])
    ledger.set("three", [stray])
    unpacked.clear()
    keys = [*(flow.key for flow in FLOWS[:3]), stray.key, FLOWS[3].key]
    assert ledger.entries_for(keys) == dict(zip(keys, (*FLOWS[:3], stray, None), strict=True))
    assert sorted(unpacked) == ["one", "two"]


def test_a_repair_unpacks_only_what_is_missing(unpacked):
    """Whether a key is desired can be seen without its flow: here, others have their actions."""
    ledger = _two_packed_owners()
    unpacked.clear()
    changed = [replace(flow, actions="output:9") for flow in FLOWS[:2]]
    batches = ledger.repair({digest(FLOWS[2])}, [*changed, FLOWS[3]])
    assert [flow for batch in batches for flow in batch.put] == [FLOWS[2]]
    assert [key for batch in batches for key in batch.remove] == [FLOWS[3].key]
    assert unpacked == ["two"]
    (batch,) = ledger.repair({digest(FLOWS[0])}, [])
    assert batch.put == FLOWS[:1], "and nothing else of its owner"
