"""What a restarted agent does about the flows that it finds in the switch."""

from dataclasses import replace

import pytest

from portchain.dataplane.compile import (
    UnsupportedPlanError,
    compile_chain,
    compile_frame_guard,
    compile_visits,
)
from portchain.dataplane.flow import Bridge, Flow, NoFlood, make_flow
from portchain.dataplane.flow_builder import build_flow
from portchain.dataplane.packed_flows import digest
from portchain.dataplane.pipeline import (
    ODD_GENERATION,
    POSITION_ARRIVED,
    REG_PATH_POSITION,
    TABLES,
    Priority,
    path_label,
    path_position,
)
from portchain.dataplane.plan import Hop
from portchain.dataplane.resume import (
    FoundFlows,
    resume,
    resume_unknown,
    resume_unsupported,
    unknown_chain,
)
from portchain.dataplane.transition import ABSENT, ChainTransition, Phase
from portchain.dataplane.transition_flows import compile_transition
from tests.plans import after, chain, source, switch, tap, target

A, B, C, D = (target(name, "h1") for name in "abcd")
ELSEWHERE = target("e", "h2")
LOCAL = switch("h1", "vm", *(f"{name}-{end}" for name in "abcd" for end in ("in", "out")))
OLD = chain([A], [B, C])


def odd(plan):
    return replace(plan, path_id=plan.path_id | ODD_GENERATION, generation=1, revision=2)


def resumed(found, *plans):
    """Return what becomes of chains whose latest plans are these."""
    states = {plan.id: ChainTransition(plan) for plan in plans}
    wanted = {flow for plan in plans for flow in _supported(plan)}
    surplus = [flow for flow in found if flow not in wanted]
    return resume(states, FoundFlows(found), LOCAL) | resume_unknown(states, surplus)


def _supported(plan):
    try:
        return flows_of(plan)
    except UnsupportedPlanError:
        return ()


def flows_of(*plans):
    return [flow for plan in plans for flow in compile_chain(plan, LOCAL).flows]


FAILED = chain(Hop(1, (), returning=(A,), passed=True), Hop(2, (B,), returning=(C,)))
UNCHANGED = [
    ("the same plan", OLD, OLD),
    ("an empty switch", None, OLD),
    ("a pair was added", OLD, replace(chain([A], [B, C, D]), revision=2)),
    ("functions have failed", OLD, replace(FAILED, revision=2)),
    ("functions still fail", FAILED, FAILED),
    ("a function is back", FAILED, replace(chain(FAILED.paths[0].hops[0], [B, C]), revision=2)),
    ("flows of an older release", replace(OLD, generation=None), replace(OLD, generation=5)),
]


@pytest.mark.parametrize(
    ("found", "plan"), [case[1:] for case in UNCHANGED], ids=[case[0] for case in UNCHANGED]
)
def test_chain_goes_on(found, plan):
    assert resumed(flows_of(found) if found else [], plan) == {}


@pytest.mark.parametrize(("plan", "times"), [(OLD, 1), (FAILED, 2)])
def test_a_plan_is_compiled_twice_only_if_functions_have_failed(monkeypatch, plan, times):
    """Compiling is most of what a start costs."""
    compiled = []

    def counted(*args, returning):
        compiled.append(returning)
        return compile_visits(*args, returning=returning)

    monkeypatch.setattr("portchain.dataplane.resume.compile_visits", counted)
    assert resumed(flows_of(plan), plan) == {}
    assert len(compiled) == times


def test_a_chain_goes_on_whose_flows_do_not_tell_what_other_hosts_have_sent():
    """An agent of before decision 64 has written them."""
    plan = chain([ELSEWHERE], [B])
    marked = f"{REG_PATH_POSITION}={path_position(path_label(1), 1, 0) | POSITION_ARRIVED:#x}"
    before = f"{REG_PATH_POSITION}={path_position(path_label(1), 1, 0):#x}"
    found = [
        replace(flow, key=flow.key._replace(match=flow.key.match - {marked} | {before}))
        if marked in flow.key.match
        else flow
        for flow in flows_of(plan)
    ]
    assert found != flows_of(plan)
    assert resumed(found, plan) == {}


@pytest.mark.parametrize("host_before", ["h1", "h2"])
@pytest.mark.parametrize("host", ["h1", "h2"])
def test_chain_goes_on_from_whichever_host_its_taps_get_copies(host_before, host):
    """Only copies from other hosts need a flow of FORWARD, and a tap returns nothing."""
    before, plan = (
        chain(tap(D), [A], sources=(source("vm", each, "10.0.0.10"), source("vm2", "h1")))
        for each in (host_before, host)
    )
    assert resumed(flows_of(before), replace(plan, revision=2)) == {}


GROWN = after(chain([A, D], [B, C]), OLD)
REMEMBERING = ChainTransition(GROWN, Phase.REMEMBERING)


def test_flows_that_go_by_the_present_pairs_already_go_on():
    """New connections must not go by the pairs of before again."""
    (state,) = resume({GROWN.id: REMEMBERING}, FoundFlows(flows_of(GROWN)), LOCAL).values()
    assert state == replace(REMEMBERING, phase=Phase.SWITCHED)


@pytest.mark.parametrize("table", ["HOP", "BALANCE", "ACCEPT_OR_INGRESS"])
def test_only_flows_that_select_pairs_say_which_pairs_flows_went_by(table):
    found = [flow for flow in flows_of(GROWN) if flow.key.table != TABLES[table].number]
    assert (GROWN.id in resume({GROWN.id: REMEMBERING}, FoundFlows(found), LOCAL)) == (
        table != "HOP"
    )


@pytest.mark.parametrize("found", [flows_of(OLD), []])
def test_flows_go_by_the_pairs_of_before_if_they_did_before_the_restart(found):
    assert resume({GROWN.id: REMEMBERING}, FoundFlows(found), LOCAL) == {}


def test_a_changed_group_of_a_chain_that_this_agent_does_not_support_holds_up_no_other_chain():
    strange = replace(GROWN.paths[0].hops[0], lb_fields=("ip_ttl",))
    path = replace(GROWN.paths[0], hops=(strange, *GROWN.paths[0].hops[1:]))
    state = replace(REMEMBERING, plan=replace(GROWN, paths=(path,)))
    assert resume({GROWN.id: state}, FoundFlows([]), LOCAL) == {}


CHANGED = [
    ("the order was reversed", odd(chain([B, C], [A]))),
    ("a group was added", odd(chain([A], [B, C], [D]))),
    ("the list changed twice", replace(chain([B], [D]), generation=2)),
    (
        "a group was added, by two changes",
        replace(chain([A], [B, C], [D]), generation=2),
    ),
    ("a pair was removed: it may be in another group", chain([A], [B])),
    ("pairs have changed places", chain([B], [A, C])),
]


@pytest.mark.parametrize("plan", [case[1] for case in CHANGED], ids=[case[0] for case in CHANGED])
def test_chain_closes_and_what_functions_hold_is_dropped(plan):
    found = flows_of(OLD)
    ((chain_id, state),) = resumed(found, plan).items()
    assert (chain_id, state.phase, state.plan, state.previous) == (
        plan.id,
        Phase.CLOSED,
        plan,
        None,
    )
    flows = {flow.key: flow for flow in compile_transition(state, LOCAL).all_flows}
    held = [
        flow
        for flow in found
        if flow.key.table == 0 and "in_port=13" in flow.key.match and flow.actions != "drop"
    ]
    assert held, "flows for what a returns"
    for flow in held:
        assert "goto_table" not in flows[flow.key].actions
        assert "output" not in flows[flow.key].actions


def test_second_restart_finds_that_the_chain_was_closed():
    plan = odd(chain([B, C], [A]))
    (first,) = resumed(flows_of(OLD), plan).values()
    (second,) = resumed(compile_transition(first, LOCAL).all_flows, plan).values()
    assert second == first
    closed = ChainTransition(odd(chain([ELSEWHERE], [A])), Phase.CLOSED)
    found = compile_transition(closed, LOCAL).all_flows
    assert resumed(found, closed.plan)[plan.id].is_closed, "although its functions hold nothing"


def test_flows_of_a_chain_that_has_left_the_host_are_dropped():
    found = [*flows_of(OLD), *compile_frame_guard(LOCAL)]
    other = chain([A], name="pc2", path_id=2)
    ((chain_id, state),) = resumed([*found, *flows_of(other)], other).items()
    assert chain_id not in (OLD.id, other.id)
    assert (state.plan, state.phase) == (None, Phase.CLOSED)
    assert compile_transition(state, LOCAL).flows == frozenset()
    assert compile_transition(state, LOCAL).draining == state.leftovers
    assert state.leftovers


def test_plan_of_a_transition_counts():
    plan = odd(chain([A], [D], [B, C]))
    state = ChainTransition(plan, Phase.PREPARED, OLD)
    assert resume({plan.id: state}, FoundFlows(flows_of(OLD)), LOCAL)[plan.id].plan == plan


def test_plan_that_the_agent_does_not_support_closes_the_chain():
    """What its functions hold must not go on by flows that nobody knows."""
    hops = (Hop(1, (A,), lb_fields=("ip_ttl",)), Hop(2, (B, C)))
    unsupported = chain(*hops)
    with pytest.raises(UnsupportedPlanError):
        compile_chain(unsupported, LOCAL)
    assert resumed(flows_of(OLD), unsupported)[OLD.id].phase is Phase.CLOSED


def test_chain_that_is_being_withdrawn_has_no_number_yet():
    assert resume({"absent": ABSENT}, FoundFlows(flows_of(OLD)), LOCAL) == {}
    found = resume_unknown({"absent": ABSENT}, flows_of(OLD))
    assert list(found) == [f"chain {OLD.path_id}"]


def test_drops_of_what_functions_return_are_kept():
    """Fragments that a function still holds must not bypass the functions after it."""
    unchanged = build_flow("LOCAL_SWITCHING", Priority.RETURN_UNCHANGED, ("ip", "in_port=13"))
    (state,) = resumed([*flows_of(OLD), unchanged], odd(chain([B, C], [A]))).values()
    drops = [
        flow
        for flow in flows_of(OLD)
        if flow.key.priority == Priority.HOLD_RETURNED_FRAGMENT
        and flow.key.table == TABLES["LOCAL_SWITCHING"].number
        and flow.actions == "drop"
    ]
    assert drops
    assert {*drops, unchanged} <= state.leftovers


def test_other_drops_and_ports_without_flooding_are_no_leftovers():
    bridging = chain([target("a", "h1", bridges=True)], [B], name="pc2", path_id=2)
    entries = compile_chain(bridging, LOCAL).entries
    elsewhere = build_flow("ACCEPT_OR_INGRESS", Priority.RETURN_UNCHANGED, ("ip",))
    ports_first = sorted(entries, key=lambda entry: isinstance(entry, Flow))
    (state,) = resumed([*ports_first, elsewhere]).values()
    assert any(isinstance(entry, NoFlood) for entry in entries)
    assert elsewhere not in state.leftovers
    assert all(isinstance(entry, Flow) for entry in state.leftovers)


def test_a_chain_has_one_number_whichever_list_of_groups_it_follows():
    assert unknown_chain(OLD.path_id) == unknown_chain(odd(OLD).path_id)


def test_frames_between_hosts_and_drops_of_a_chain_that_has_left():
    """Frames that other hosts send still reach no function; drops at functions stay."""
    plan = chain([A], [ELSEWHERE], [B])
    found = flows_of(plan)
    assert any(flow.key.priority == Priority.CHAIN_FRAME for flow in found)
    (state,) = resumed(found).values()
    assert not any(flow.key.priority == Priority.CHAIN_FRAME for flow in state.leftovers)
    held = {f for f in found if f.key.priority == Priority.HOLD_RETURNED_FRAGMENT}
    assert held
    assert held <= state.leftovers


def test_flows_for_what_functions_return_close_a_chain_alone():
    forward = TABLES["FORWARD"].number
    found = [flow for flow in flows_of(OLD) if flow.key.table != forward]
    assert resumed(found, OLD)[OLD.id].is_closed


def test_every_plan_of_a_transition_must_agree():
    other = odd(chain([A], [D], [B, C]))
    for plan, previous in ((OLD, other), (other, OLD)):
        state = ChainTransition(plan, Phase.PREPARED, previous)
        assert resume({plan.id: state}, FoundFlows(flows_of(OLD)), LOCAL)[plan.id].is_closed


ODD = [
    make_flow(Bridge.INT, TABLES["FORWARD"].number, 1, words, ["drop"])
    for words in ([], ["reg8=0x1/0xff", "reg9=0x1"], ["reg8=0x1", "reg9=0x1/0x3"], ["reg8=0x1"])
]


def test_flows_of_others_with_our_cookie_belong_to_no_chain():
    found, alone = FoundFlows([*ODD, *flows_of(OLD)]), FoundFlows(flows_of(OLD))
    assert (found.places, found.returned) == (alone.places, alone.returned)
    assert found.path_ids == alone.path_ids == {OLD.path_id, 0}, "0: packets of no chain"
    assert all(flow in found for flow in ODD)
    assert resumed([*ODD, *flows_of(OLD)], OLD) == {}


def test_only_a_start_looks_for_chains():
    found, later = FoundFlows(flows_of(OLD)), FoundFlows(flows_of(OLD), is_start=False)
    assert all(flow in found and flow in later for flow in flows_of(OLD))
    assert found.places
    assert found.path_ids
    assert not later.places
    assert not later.path_ids


def test_what_an_agent_has_changed_counts_as_found():
    flows = flows_of(OLD)
    first, *others = flows
    replaced = replace(first, actions="drop" if first.actions != "drop" else "output:1")
    new = build_flow("LOCAL_SWITCHING", 1, ("ip",))
    found = FoundFlows(flows)
    assert found.differences({*map(digest, flows)}) == (set(), [])
    assert found.differences({digest(first), 5}) == ({5}, others)
    found.added |= {entry.key: entry for entry in (replaced, new)}
    now = [*others, replaced, new]
    assert [entry in found for entry in (*now, first)] == [True] * len(now) + [False]
    assert found.differences({*map(digest, now)}) == (set(), [])
    assert found.differences({*map(digest, (first, *others))}) == ({digest(first)}, [replaced, new])
    assert found
    assert not FoundFlows([])


def test_a_chain_closes_whose_plan_turns_out_to_be_unsupported():
    """Other failed chains do not, to which no function of the host returns packets."""
    surplus = flows_of(OLD)
    (unknown,) = resume_unknown({}, surplus).values()
    states = {
        OLD.id: ChainTransition(OLD),
        "fits": ChainTransition(replace(OLD, id="fits")),
        "elsewhere": ChainTransition(chain([A], name="elsewhere", path_id=7)),
    }
    closed = replace(unknown, plan=OLD)
    assert unknown.leftovers
    failed = (OLD.id, "elsewhere", "gone")
    assert resume_unsupported(states, failed, surplus) == {OLD.id: closed}
    assert resume_unsupported({OLD.id: closed}, failed, surplus) == {}
    assert resume_unsupported(states, failed, ()) == {}
