"""Wide port ranges as conjunctions: what packets match, how many flows it takes, who owns them."""

import contextlib
import itertools
import random
import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portchain.core.counters import Counter
from portchain.dataplane.compile import compile_bypass_guard, compile_chain
from portchain.dataplane.conjunction import build_flows, merge_all, number_of, overlap
from portchain.dataplane.flow import Bridge, Flow
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.ledger import FlowConflictError, FlowLedger
from portchain.dataplane.match import header_matches
from portchain.dataplane.pipeline import Priority
from tests.plans import chain, classifier, source, switch, target

WIDE = (1, 65534)  # 30 masked values, the worst case
TABLE = 73
PORTS = st.integers(0, 65535)
RANGES = st.tuples(PORTS, PORTS).map(lambda ends: (min(ends), max(ends)))
_CONJUNCTION = re.compile(r"conjunction\((\d+),(\d+)/(\d+)\)")


def wide(**changes):
    """A classifier with two wide ranges and no addresses."""
    fields = {"source_ports": WIDE, "destination_ports": WIDE}
    return classifier(**{"source_prefixes": (), "destination_prefixes": (), **fields, **changes})


def sources(count, first=1):
    return tuple(source(f"vm{n}", "h1") for n in range(first, first + count))


def host(count=20, firewall=Firewall.OPENVSWITCH):
    return switch("h1", *(f"vm{n}" for n in range(1, count + 1)), "a-in", "a-out", first=1,
                  firewall=firewall)  # fmt: skip


def compiled(*classifiers, count=1, **changes):
    everyone = tuple(
        replace(one, classifier=number)
        for number in range(len(classifiers))
        for one in sources(count)
    )
    plan = chain([target("a", "h1")], classifiers=classifiers, sources=everyone, **changes)
    return compile_chain(plan, host())


def test_ranges_and_sources_add():
    sizes = {n: len(merge_all(compiled(wide(), count=n).classification)) for n in (1, 2, 10)}
    # Four tables or priorities; two ranges of 30 values, one flow a source, one for the number.
    # In three tables, one flow a source holds fragments back.
    assert sizes == {n: 4 * (30 + 30 + n + 1) + 3 * n for n in (1, 2, 10)}


def test_classifiers_add():
    headers = [wide(destination_ports=(n, 65000 + n)) for n in (1, 2, 3)]
    alone = [len(merge_all(compiled(header, count=4).classification)) for header in headers]
    assert len(merge_all(compiled(*headers, count=4).classification)) <= sum(alone)


def test_functions_return_packets_by_few_flows():
    known = tuple(source(f"vm{n}", "h1", f"10.0.0.{n}") for n in range(1, 11))
    plan = chain(
        [target("a", "h1")], classifiers=(wide(source_port_known=True),), sources=known
    )  # fmt: skip
    returned = [
        flow
        for flow in merge_all(compile_chain(plan, host()).forwarding)
        if flow.key.table == 0 and flow.key.priority in (Priority.RETURN, Priority.RETURN_EXACT)
    ]
    # RETURN_EXACT: 10 addresses and two ranges. RETURN: two ranges, for the chain and to drop.
    assert len(returned) == (10 + 60 + 1) + (1 + 60 + 2)


@pytest.mark.parametrize("ports", [((23, 23), (8000, 8080)), ((1, 2), (5, 6))])
def test_small_ranges_need_no_conjunction(ports):
    sources, destinations = ports
    named = classifier(source_ports=sources, destination_ports=destinations)
    flows = compiled(named, count=3).flows
    assert not [flow for flow in flows if "conj" in str(flow)]


def test_a_single_port_beside_a_wide_range_takes_no_flow():
    single, none = (
        merge_all(compiled(wide(source_ports=ports)).classification) for ports in ((7, 7), None)
    )
    assert len(single) == len(none)


@pytest.mark.parametrize("firewall", list(Firewall))
def test_bypass_guard_has_the_matches_of_the_chain_and_drops(firewall):
    plan = chain([target("a", "h1")], classifiers=(wide(),), sources=sources(3))
    local = host(firewall=firewall)
    guard = compile_bypass_guard(plan, local).classification
    assert {flow.actions for flow in guard if any("conj_id" in w for w in flow.key.match)} == {
        "drop"
    }
    steering = compile_chain(plan, local).classification
    # Of the first clause, there are equal keys: nothing can be guarded and steered.
    assert {flow.key for flow in guard if flow.key.clause and not flow.key.clause.conj_id} == {
        flow.key for flow in steering if flow.key.clause and not flow.key.clause.conj_id
    }


# --- What packets match.


def word_matches(word, packet):
    name, _, value = word.partition("=")
    if name in ("tp_src", "tp_dst"):
        value, _, mask = value.partition("/")
        return packet[name] & int(mask or "0xffff", 0) == int(value, 0)
    if name == "in_port":
        return packet[name] == int(value)
    if name == "tcp":
        return True
    if name == "nw_frag":
        return value == "no"  # no packet is a fragment
    assert name in ("dl_dst", "reg8", "reg12", "ct_state", "dl_src"), word
    return True


def found_actions(flows, packet, table=TABLE, priority=320):
    """Look a packet up as the switch does, among the flows of one table and priority."""
    here = [flow for flow in flows if (flow.key.table, flow.key.priority) == (table, priority)]
    hits, clauses = set(), {}
    for flow in here:
        if any(word.startswith("conj_id") for word in flow.key.match):
            continue
        if all(word_matches(word, packet) for word in flow.key.match):
            if not (members := _CONJUNCTION.findall(flow.actions)):
                hits.add(flow.actions)
            for conj_id, number, count in members:
                clauses.setdefault((conj_id, count), set()).add(number)
    complete = {
        conj_id
        for (conj_id, count), found in clauses.items()
        if found == {str(number) for number in range(1, int(count) + 1)}
    }
    for flow in here:
        hits |= {flow.actions for conj_id in complete if f"conj_id={conj_id}" in flow.key.match}
    return hits


@st.composite
def chains_and_packet(draw):
    ranges = draw(st.lists(st.tuples(RANGES, RANGES), min_size=1, max_size=4))
    packet = {
        "in_port": draw(st.integers(1, 5)),
        "tp_src": draw(PORTS | st.sampled_from([end for r in ranges for end in r[0]])),
        "tp_dst": draw(PORTS | st.sampled_from([end for r in ranges for end in r[1]])),
    }
    firsts = draw(st.lists(st.integers(1, 3), min_size=len(ranges), max_size=len(ranges)))
    return list(zip(ranges, firsts, strict=True)), packet


@given(chains_and_packet())
def test_packets_match_exactly_the_chains_whose_ranges_they_are_in(drawn):
    """Chains of which each has two sources; their flows with equal matches are merged."""
    wanted, packet = drawn
    local, ledger, expected = host(), FlowLedger(), set()
    for number, ((of_source, of_destination), first) in enumerate(wanted, 1):
        plan = chain(
            [target("a", "h1")],
            name=f"pc{number}",
            path_id=number,
            classifiers=(wide(source_ports=of_source, destination_ports=of_destination),),
            sources=sources(2, first),
        )
        try:
            ledger.set(plan.id, compile_chain(plan, local).classification)
        except FlowConflictError:
            assert any(abs(first - other) <= 1 for _, other in wanted[: number - 1])
            continue
        if (
            packet["in_port"] in (first, first + 1)
            and of_source[0] <= packet["tp_src"] <= of_source[1]
            and of_destination[0] <= packet["tp_dst"] <= of_destination[1]
        ):
            expected.add(f"set_field:{0x10000 | number:#x}->reg8,goto_table:150")
    assert found_actions(ledger.entries, packet) == expected


@pytest.mark.parametrize("narrow", [(7, 7), (7, 8)])
def test_a_narrow_range_beside_a_wide_one_matches_its_ports_only(narrow):
    flows = merge_all(compiled(wide(source_ports=narrow)).classification)
    packets = [{"in_port": 1, "tp_src": port, "tp_dst": 9} for port in (6, 7, 8, 9)]
    assert [packet["tp_src"] for packet in packets if found_actions(flows, packet)] == list(
        range(narrow[0], narrow[1] + 1)
    )


# --- Owners.


def member(number, first=1, count=2, header=None):
    plan = chain([target("a", "h1")], name=f"pc{number}", path_id=number,
                 classifiers=(header or wide(),), sources=sources(count, first))  # fmt: skip
    return compile_chain(plan, host()).classification


def test_chains_conflict_over_a_source_that_both_have():
    ledger = FlowLedger()
    ledger.set("one", member(1, first=1))
    with pytest.raises(FlowConflictError):
        ledger.set("two", member(2, first=2))
    ledger.set("two", member(2, first=3))


def test_another_chain_changes_no_flow_but_those_it_shares():
    ledger = FlowLedger()
    ledger.set("one", member(1))
    ledger.pop_changes()
    before = {entry.key: entry for entry in ledger.entries}
    ledger.set("two", member(2, first=3, count=1))
    (batch,) = ledger.pop_changes()
    assert not batch.remove
    new = [flow for flow in batch.put if flow.key not in before]
    # The source and the number; ranges are shared. The source's fragments, in three tables.
    assert len(new) == 4 * (1 + 1) + 3
    ledger.set("two", ())
    ledger.pop_changes()
    assert {entry.key: entry for entry in ledger.entries} == before


def test_another_source_is_one_flow_in_each_table():
    ledger = FlowLedger()
    ledger.set("one", member(1, count=2))
    ledger.pop_changes()
    ledger.set("one", member(1, count=3))
    (batch,) = ledger.pop_changes()
    assert (len(batch.put), batch.remove) == (4 + 3, ()), "and one that holds fragments back"


def test_flows_are_the_same_whenever_they_are_compiled():
    assert member(1) == member(1)
    assert merge_all(member(1)) == merge_all([*member(1)])


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 2)), max_size=12))
def test_changes_lead_to_what_the_owners_want(updates):
    """After any updates, the switch has the flows that it would have had from the beginning."""
    headers = (wide(), wide(source_ports=(5, 999)), wide(destination_ports=None))
    ledger, wanted, present = FlowLedger(), {}, {}
    for number, is_there, header in updates:
        owner = f"pc{number}"
        flows = member(number, 2 * number, header=headers[header]) if is_there else frozenset()
        ledger.set(owner, flows)
        wanted[owner] = flows
        for batch in ledger.pop_changes():
            for key in batch.remove:
                del present[key]
            for flow in batch.put:
                assert present.get(flow.key) != flow
                present[flow.key] = flow
        fresh = merge_all(flow for flows in wanted.values() for flow in flows)
        assert set(present.values()) == fresh == set(ledger.entries)


def contestable(*actions, **changes):
    (match,) = header_matches(wide())
    return list(build_flows("ACCEPT_OR_INGRESS", 320, match | {"in_port=1"}, *actions,
                            contestable=True, **changes))  # fmt: skip


def test_each_flow_of_a_conjunction_has_its_number():
    (match,) = header_matches(wide())
    numbers = {number_of(flow) for flow in build_flows("ACCEPT_OR_INGRESS", 320, match, "drop")}
    assert len(numbers) == 1
    assert all(number is not None and 0 < number < 1 << 32 for number in numbers)
    (match,) = header_matches(classifier())
    assert {number_of(flow) for flow in build_flows("HOP", 320, match, "output:1")} == {None}


def test_packets_that_are_dropped_because_chains_contest_them_count_for_nobody():
    flows = contestable("output:1", counter=Counter("chain", False, "kind", "subject"))
    assert [flow.actions for flow in flows if flow.counter] == ["output:1"]


def test_contested_ranges_drop():
    ledger, packet = FlowLedger(), {"in_port": 1, "tp_src": 7, "tp_dst": 65534}
    ledger.set("one", contestable("output:1"))
    assert found_actions(ledger.entries, packet) == {"output:1"}
    ledger.set("two", contestable("output:2"))
    assert found_actions(ledger.entries, packet) == {"drop"}
    assert not found_actions(ledger.entries, packet | {"tp_dst": 0}), "only these ports"
    ledger.set("one", ())
    assert found_actions(ledger.entries, packet) == {"output:2"}
    assert not found_actions(ledger.entries, packet | {"tp_src": 0})


def test_no_flow_of_a_conjunction_has_the_match_of_another_flow():
    """A classifier with a single port has the value that begins the other's range."""
    rng = random.Random(15)
    for _ in range(50):
        low = rng.randrange(1, 60000)
        conj = member(1, count=1, header=wide(source_ports=None, destination_ports=(low, 65535)))
        plain = member(2, count=1, header=wide(source_ports=None, destination_ports=(low, low)))
        keys = {flow.key.in_switch for flow in conj if flow.key.clause}
        assert not keys & {flow.key for flow in plain}


def test_members_have_no_actions_but_conjunctions():
    for flow in merge_all([*member(1), *member(2, first=3)]):
        assert isinstance(flow, Flow)
        assert flow.key.bridge == Bridge.INT
        assert flow.key.clause is None
        is_member = "reg12=0" in flow.key.match
        assert is_member == bool(re.fullmatch(rf"{_CONJUNCTION.pattern}(,{_CONJUNCTION.pattern})*",
                                              flow.actions))  # fmt: skip


def first_flow(ranges):
    """The flow that identifies a match, whichever form the match has."""
    header = wide(source_ports=ranges[0], destination_ports=ranges[1])
    (match,) = header_matches(header)
    flows = build_flows("LOCAL_SWITCHING", 310, match | {"in_port=1"}, "drop", project="p")
    return [flow for flow in flows if flow.project]


RANGES_OF_BOTH_PORTS = st.tuples(RANGES | st.none(), RANGES | st.none())


@given(RANGES_OF_BOTH_PORTS, RANGES_OF_BOTH_PORTS)
@example(((5, 60000), None), (None, (5, 60000)))
def test_matches_overlap_if_their_ranges_do(one, other):
    """So the ledger finds the flows of two projects that could take the same packet."""
    expected = all(
        a is None or b is None or (a[0] <= b[1] and b[0] <= a[1])
        for a, b in zip(one, other, strict=True)
    )
    found = any(
        overlap(first.key, second.key) for first in first_flow(one) for second in first_flow(other)
    )
    assert found is expected


def test_an_owner_has_the_merged_flows_of_its_clauses():
    ledger = FlowLedger()
    flows = {"a": list(member(1)), "b": list(member(2, first=3))}
    for name, own in flows.items():
        ledger.set(name, own)
    for name, own in flows.items():
        keys = {flow.key.in_switch for flow in own}
        in_switch = ledger.entries_of(name)
        assert len(in_switch) == len(keys)
        assert set(in_switch) == {entry for entry in ledger.entries if entry.key in keys}
        assert not any(entry.key.clause for entry in in_switch)


HEADERS = st.builds(
    wide,
    source_prefixes=st.sampled_from([(), ("10.0.0.1/32",), ("10.0.0.2/32",), ("10.0.0.0/24",)]),
    destination_prefixes=st.sampled_from([(), ("10.0.1.1/32",), ("10.0.1.0/24",)]),
    source_ports=RANGES,
    destination_ports=RANGES,
)
OWNED = st.tuples(st.sampled_from("pq"), st.sampled_from(["drop", "output:1"]), HEADERS)


@given(
    st.lists(OWNED, max_size=12),
    st.lists(OWNED, max_size=6),
    st.sets(st.integers(0, 11), max_size=4),
)
@example(
    [("p", "drop", wide(source_prefixes=("10.0.0.0/24",)))],
    [("p", "output:1", wide(source_prefixes=("10.0.0.1/32",)))],
    set(),
)
@example(
    [("p", "drop", wide(source_prefixes=("10.0.0.1/32",)))],
    [("p", "output:1", wide(source_prefixes=("10.0.0.0/24",)))],
    set(),
)
@example(
    # Of two flows of a project with one source, of two projects, and of two sources, one goes.
    [
        (project, "drop", wide(source_prefixes=(source,), destination_ports=(port, port)))
        for project, source, port in (
            ("p", "10.0.0.1/32", 1),
            ("p", "10.0.0.1/32", 2),
            ("q", "10.0.0.2/32", 1),
            ("p", "10.0.0.2/32", 2),
            ("q", "10.0.0.3/32", 1),
        )
    ],
    [("r", "output:1", wide())],
    {0, 2, 4},
)
def test_ledger_finds_the_flows_of_other_projects_as_each_with_each(present, new, removed):
    """Whether or not they have a single source address, and whether or not ranges are wide."""
    ledger, there = FlowLedger(), []
    for number, each in enumerate(present):
        flows = flows_of_project(*each)
        with contextlib.suppress(FlowConflictError):
            ledger.set(str(number), flows)
            there += [(str(number), flow) for flow in flows if flow.project]
    for number in removed:
        ledger.set(str(number), ())
    there = [(owner, flow) for owner, flow in there if int(owner) not in removed]
    wanted = [flow for each in new for flow in flows_of_project("r", *each[1:])]
    found = {
        (owner, flow, key)
        for owner, flow, key in ledger.conflicts("new", wanted)
        if (owner, flow.project) != ("new", "")
    }
    assert found >= {
        (owner, flow, other.key)
        for flow, (owner, other) in itertools.product(wanted, there)
        if flow.project and flow.actions != other.actions and overlap(flow.key, other.key)
    }
    assert all(flow.key == key or overlap(flow.key, key) for _, flow, key in found), (
        "and nothing else"
    )


def flows_of_project(project, actions, header):
    (match,) = header_matches(header)
    return list(
        build_flows("LOCAL_SWITCHING", 310, match | {"in_port=1"}, actions, project=project)
    )
