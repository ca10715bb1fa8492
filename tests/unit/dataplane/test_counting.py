"""Which flows count, for what, and how their counts are read."""

from dataclasses import replace

import pytest

from portchain.core.counters import Count, Counter
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.counting import (
    MOST_SELECTIONS,
    learned_selections,
    parse_counts,
    parse_learned,
    selections,
)
from portchain.dataplane.flow import Bridge, FlowKey, make_flow
from portchain.dataplane.ledger import FlowLedger
from portchain.dataplane.pipeline import TABLES
from tests.plans import chain, classifier, ident, source, switch, target

A, B = target("a", "h1"), target("b", "h2")
CHAIN = ident("pc1")
NAMED = classifier(id=ident("fc"))
PLAN = chain([A, B], [target("c", "h1")], classifiers=(NAMED,))
LOCAL = switch("h1", "vm", "a-in", "a-out", "c-in", "c-out")


def counters(plan=PLAN, local=LOCAL):
    found = {}
    for flow in compile_chain(plan, local).flows:
        if flow.counter:
            found.setdefault((flow.counter.kind, flow.counter.subject), []).append(flow)
    return found


def tables(flows):
    names = {(table.bridge, table.number): table.name for table in TABLES.values()}
    return {names[flow.key.bridge, flow.key.table] for flow in flows}


def test_a_host_counts_what_its_sources_send_and_its_functions_get_and_return():
    found = counters()
    assert tables(found["classified", NAMED.id]) == {
        "ACCEPT_OR_INGRESS",
        "ACCEPTED_EGRESS",
        "TRANSIENT",
    }
    for name in ("a", "c"):
        assert tables(found["in", ident(name)]) == {"FORWARD"}
        assert tables(found["out", ident(name)]) == {"LOCAL_SWITCHING"}
    assert ("in", B.pair_id) not in found  # its own host counts that
    assert {flow.counter.chain_id for flows in found.values() for flow in flows} == {CHAIN}


def test_a_classifier_of_an_older_server_is_not_counted():
    kinds = {kind for kind, _ in counters(replace(chain([A]), id=CHAIN))}
    assert kinds == {"in", "out", "dropped"}


def test_no_flow_of_a_conjunction_but_the_one_for_its_number_counts():
    wide = classifier(id=ident("fc"), source_ports=(1, 1000), destination_ports=(3, 60001))
    found = counters(chain([A], classifiers=(wide,)))
    for flow in (flow for flows in found.values() for flow in flows):
        assert "conjunction(" not in flow.actions
    assert any("conj_id" in str(flow) for flow in found["classified", wide.id])


def flow(counter, actions="output:2", match="in_port=5"):
    return make_flow(Bridge.INT, 0, 315, [match], [actions], counter=counter)


def mine(number, name="x"):
    return Counter(f"chain{number}", False, "out", name)


def test_what_two_chains_want_counts_for_neither_and_begins_anew_for_the_last():
    ledger = FlowLedger()
    key = flow(None).key
    ledger.set("chain1", [flow(mine(1))])
    ledger.pop_changes()
    ledger.pack()
    assert [each.counter for each in ledger.counted_flows("chain1")] == [mine(1)]
    ledger.conflicts("chain2", [flow(mine(2))])
    list(ledger.conflicts("chain2", [flow(mine(2))]))
    ledger.set("chain2", [flow(mine(2))])
    assert ledger.counted_flows("chain1") == ledger.counted_flows("chain2") == []
    (batch,) = ledger.pop_changes()
    assert (batch.remove, [each.key for each in batch.put]) == ((key,), [key])
    ledger.set("chain1", [])
    assert [each.counter for each in ledger.counted_flows("chain2")] == [mine(2)]
    (batch,) = ledger.pop_changes()
    assert batch.remove == (key,)
    ledger.set("chain2", [])
    (batch,) = ledger.pop_changes()
    assert (batch.remove, batch.put) == ((key,), ())


def test_what_a_deleted_chain_leaves_for_packets_in_flight_counts_for_the_next_chain():
    """Its own packets kept their count: the flow begins anew with the next chain."""
    ledger = FlowLedger()
    ledger.set("chain1", [flow(mine(1))])
    ledger.pop_changes()
    ledger.set("chain1/draining", [flow(mine(1))])
    ledger.set("chain1", [])
    assert ledger.pop_changes() == []
    ledger.set("chain2", [flow(mine(2))])
    (batch,) = ledger.pop_changes()
    assert (batch.remove, len(batch.put)) == ((flow(None).key,), 1)
    assert [each.counter for each in ledger.counted_flows("chain2")] == [mine(2)]
    assert ledger.counted_flows("chain1/draining") == []
    ledger.set("chain1/draining", [])
    assert ledger.pop_changes() == []
    assert [each.counter for each in ledger.counted_flows("chain2")] == [mine(2)]


def test_a_replaced_flow_goes_on_counting_if_it_counts_for_the_same():
    ledger = FlowLedger()
    ledger.set("chain1", [flow(mine(1))])
    ledger.pop_changes()
    ledger.set("chain1", [flow(mine(1), "output:3")])
    (batch,) = ledger.pop_changes()
    assert (batch.remove, len(batch.put)) == ((), 1)


def test_counters_survive_packing():
    ledger = FlowLedger()
    ledger.set("chain1", [flow(mine(1)), flow(None, match="in_port=6")])
    ledger.pop_changes()
    ledger.pack()
    assert ledger.counted_flows("chain1") == [flow(mine(1))]
    assert ledger.counted_flows("chain1")[0].counter == mine(1)


def test_few_flows_are_selected_by_what_is_distinctive():
    flows = [one for flows in counters().values() for one in flows]
    (matches,) = selections(one.key for one in flows).values()
    assert len(matches) <= MOST_SELECTIONS
    assert "table=152,reg8=0x10001/0xbffff" in matches
    assert "table=0,in_port=13" in matches


def test_many_flows_are_read_with_their_tables():
    keys = [
        FlowKey(Bridge.INT, 152, 10, frozenset({f"reg8={n:#x}"}))
        for n in range(1, MOST_SELECTIONS + 2)
    ]
    assert selections(keys) == {Bridge.INT: ["table=152"]}
    assert len(selections(keys[1:])[Bridge.INT]) == MOST_SELECTIONS


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"conj_id=7", "tcp"}, "conj_id=7"),
        ({"reg8=0x50001", "reg9=0x1"}, "reg8=0x10001/0xbffff"),  # a packet that has arrived
        ({"tcp"}, ""),
    ],
)
def test_flows_of_other_chains_are_not_read_if_a_word_tells_them_apart(words, expected):
    key = FlowKey(Bridge.INT, 152, 10, frozenset(words))
    assert selections([key]) == {Bridge.INT: [f"table=152,{expected}"]}


def test_counts_are_read_of_the_wanted_flows():
    text = """OFPST_FLOW reply (OF1.4) (xid=0x6):
 cookie=0x706f727463686e01, duration=0.1s, table=152, n_packets=7, n_bytes=900, priority=10,reg8=0x10001,reg9=0x5 actions=output:2
 cookie=0x706f727463686e01, table=152, priority=10,reg8=0x10001,reg9=0x5 actions=output:2
 cookie=0x706f727463686e01, duration=0.1s, table=152, n_packets=9, n_bytes=990, idle_age=3, priority=10,reg8=0x10001,reg9=0x6 actions=output:2
"""  # noqa: E501
    wanted = FlowKey(Bridge.INT, 152, 10, frozenset({"reg8=0x10001", "reg9=0x5"}))
    assert dict(parse_counts(Bridge.INT, text, {wanted})) == {wanted: Count(7, 900)}


def test_the_sources_of_a_classifier_count_together():
    plan = chain([A], classifiers=(NAMED,), sources=(source("vm", "h1"), source("vm2", "h1")))
    local = switch("h1", "vm", "vm2", "a-in", "a-out")
    assert len(counters(plan, local)["classified", NAMED.id]) > len(
        counters()["classified", NAMED.id]
    )


def test_learned_flows_are_asked_for_by_path_if_these_are_few():
    assert learned_selections([0x20001, 0x10001]) == [
        "table=155,cookie=0x1000100000000/0xfffff00000000",
        "table=155,cookie=0x2000100000000/0xfffff00000000",
    ]
    assert learned_selections(range(MOST_SELECTIONS + 1)) == ["table=155"]


def test_learned_flows_name_path_and_pair():
    """Whatever the hop, and the generation of the list of groups."""
    text = """
 cookie=0x1110001f1d48000, table=155, idle_timeout=7440, reg8=0x1110001 actions=load:0->NXM_NX_REG10
 cookie=0x2000100000001, table=155, reg8=0x20001 actions=load:0x1->NXM_NX_REG9[]
 cookie=0xfffffffffffffffffff, table=155, actions=drop
"""
    assert list(parse_learned(text)) == [(0x10001, 0xF1D48000), (0x20001, 1)]
