"""What one chain and one project may take of a host, and what becomes of chains beyond it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from portchain.core.rules import Violation
from portchain.dataplane.arbitration import FlowArbiter
from portchain.dataplane.compile import (
    TooManyFlowsError,
    compile_bypass_guard,
    compile_chain,
    compile_frame_guard,
)
from portchain.dataplane.conjunction import merge_all
from portchain.dataplane.host_switch import Firewall, FlowLimits
from portchain.dataplane.plan import ChainPlan, Hop
from portchain.dataplane.planning import limits
from portchain.dataplane.planning.size import least_flows
from portchain.dataplane.transition import ChainTransition, TransitionTimeouts, accept
from portchain.dataplane.transition_flows import compile_transition
from tests.plans import HOSTS, chain, classifier, source, switch, tap, target

PORTS = ("vm", "vm2", "a-in", "a-out", "b-in", "b-out")
WIDE = (1, 65534)


def plan(number, *, project="p", count=1, port="vm", revision=1, **changes) -> ChainPlan:
    """A chain with some classifiers, of which each is one source and one destination network."""
    classifiers = tuple(
        classifier(source_prefixes=(), destination_prefixes=(f"10.{number}.{n}.0/24",), **changes)
        for n in range(count)
    )
    made = chain(
        [target("a", "h1")],
        name=f"pc{number}",
        path_id=number,
        revision=revision,
        classifiers=classifiers,
        sources=tuple(source(port, "h1", number=n) for n in range(count)),
    )
    return replace(made, owner=project, serial=number)


def local(chain_limit=0, project_limit=0, firewall=Firewall.OPENVSWITCH):
    made = switch("h1", *PORTS, firewall=firewall)
    return replace(made, limits=FlowLimits(chain_limit, project_limit))


class Host:
    """An arbiter and the chains that it knows."""

    def __init__(self, where):
        self.arbiter, self.where, self.chains = FlowArbiter(), where, {}

    def have(self, *plans, removed=()):
        self.chains |= {one.id: ChainTransition(one) for one in plans}
        for one in removed:
            del self.chains[one.id]
        changed = [one.id for one in (*plans, *removed)]
        outcomes = self.arbiter.recompute(self.chains, changed, self.where)
        self.arbiter.ledger.pop_changes()
        self.arbiter.mark_applied()
        return [outcomes[one.id].error for one in plans]


def size(one):
    return len(compile_chain(one, local()).entries)


def test_a_chain_at_the_limit_is_realised_and_one_above_it_fails():
    exact = size(plan(1, count=3))
    assert Host(local(exact)).have(plan(1, count=3)) == [""]
    (error,) = Host(local(exact - 1)).have(plan(1, count=3))
    assert f"needs {exact} flows" in error
    assert "max_chain_flows" in error


def test_a_chain_that_grows_too_large_keeps_its_latest_plan():
    small, large = plan(1, count=2), plan(1, count=30, revision=2)
    host = Host(local(size(small) + 10))
    assert host.have(small) == [""]
    (error,) = host.have(large)
    assert "max_chain_flows" in error
    kept = compile_chain(small, host.where).flows
    assert kept <= set(host.arbiter.ledger.entries)
    assert host.have(replace(small, revision=3)) == [""]


def test_a_project_is_limited_and_others_are_not():
    one = size(plan(1))
    host = Host(local(project_limit=2 * one + 1))
    assert host.have(plan(1), plan(2)) == ["", ""]
    (error,) = host.have(plan(3))
    assert "max_project_flows" in error
    assert f"{3 * one} flows" in error
    assert host.have(plan(4, project="other")) == [""]
    assert host.have(plan(1, revision=2)) == [""], "a chain does not count twice"
    assert host.have(removed=[plan(2)]) == []
    assert host.have(plan(3)) == [""]


def test_a_chain_that_lost_its_flows_to_another_one_takes_nothing_of_its_project():
    """Its latest plan fails, and a new chain of another project displaces the plan before."""
    host, before = Host(local(project_limit=size(plan(1)))), plan(1)
    host.have(before)
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    host.have(replace(before, revision=2, paths=(replace(before.paths[0], hops=(hop,)),)))
    assert "max_project_flows" in host.have(plan(2))[0], "the plan before still has its flows"
    assert host.have(replace(plan(9, project="other"), paths=before.paths)) == [""]
    assert host.have(plan(2)) == [""]


def test_chains_of_an_older_server_have_no_project():
    host = Host(local(project_limit=size(plan(1))))
    assert host.have(plan(1, project=""), plan(2, project="")) == ["", ""]


def test_guards_of_chains_beyond_the_project_limit_are_few():
    """Otherwise, chains in ERROR would take what the limit does not give them."""
    host = Host(local(project_limit=size(plan(1, count=200))))
    assert host.have(plan(1, count=200)) == [""]
    before = len(host.arbiter.ledger.entries)
    for number in range(2, 6):
        (error,) = host.have(plan(number, count=200, port="vm2"))
        assert "max_project_flows" in error
    assert len(host.arbiter.ledger.entries) - before <= 4 * 4


def test_the_guard_of_a_chain_within_the_limits_is_exact_whatever_its_size():
    many = plan(1, count=200)
    hop = Hop(1, (target("a", "h1"), target("b", "h1")), lb_fields=("ip_ttl",))
    unsupported = replace(many, paths=(replace(many.paths[0], hops=(hop,)),))
    host = Host(local())
    assert host.have(unsupported) != [""]
    guard = compile_bypass_guard(unsupported, local()).flows
    assert len(guard) > 500
    assert set(host.arbiter.ledger.entries_of(f"{unsupported.id}/guard")) == guard


def test_rapid_changes_do_not_multiply_what_a_chain_takes():
    """Flows for packets in flight go if there is no room for them."""
    limit = 2 * size(plan(1, count=20))
    host = Host(local(limit))
    state = ChainTransition(plan(1, count=20))
    for revision in range(2, 8):
        newer = replace(plan(1, count=20, source_ports=(revision, revision)), revision=revision)
        state = accept(state, newer, "h1", prepare=False, time=0, timeouts=TransitionTimeouts())
        host.chains[newer.id] = state
        host.arbiter.recompute(host.chains, [newer.id], host.where)
        of_chains = set(host.arbiter.ledger.entries) - compile_frame_guard(host.where)
        assert len(of_chains) <= limit
    assert len(state.draining) > 3


@pytest.mark.parametrize(("missing", "drains"), [(0, True), (1, False)])
def test_flows_for_packets_in_flight_stay_while_there_is_room(missing, drains):
    first, newer = plan(1), replace(plan(1, source_ports=(2, 2)), path_id=2, revision=2)
    state = accept(
        ChainTransition(first), newer, "h1", prepare=False, time=0, timeouts=TransitionTimeouts()
    )
    compiled = compile_transition(state, local())
    assert compiled.draining
    host = Host(local(len(compiled.entries) + len(compiled.draining) - missing))
    host.chains[newer.id] = state
    host.arbiter.recompute(host.chains, [newer.id], host.where)
    assert host.arbiter.ledger.has_owner(f"{newer.id}/draining") is drains


def test_a_chain_that_needs_nothing_of_a_host_is_never_refused_there():
    host = Host(local())
    elsewhere = chain([target("c", "h2")], name="pc2", path_id=2, sources=(source("vm3", "h2"),))
    assert not compile_chain(elsewhere, host.where).entries
    host.have(plan(1))
    host.where = local(project_limit=1)
    assert host.have(replace(elsewhere, owner="p")) == [""]


def test_compiling_stops_at_the_limit():
    """It takes no longer than for a chain within the limit."""
    huge = plan(1, count=200, source_ports=WIDE, destination_ports=WIDE)
    with pytest.raises(TooManyFlowsError, match="more than 100 flows"):
        compile_chain(huge, local(100))


@pytest.mark.parametrize("firewall", list(Firewall))
def test_guard_of_a_chain_with_too_many_flows_is_small_and_below_all_chains(firewall):
    huge = plan(1, count=200, source_ports=WIDE, destination_ports=WIDE)
    guard = compile_bypass_guard(huge, local(100, firewall=firewall)).classification
    assert len(guard) == (4 if firewall is Firewall.OPENVSWITCH else 1)
    assert {flow.actions for flow in guard} == {"drop"}
    other = compile_chain(plan(2, port="vm"), local(firewall=firewall)).classification
    for table in {flow.key.table for flow in guard}:
        highest = max(flow.key.priority for flow in guard if flow.key.table == table)
        below = [flow.key.priority for flow in other if flow.key.table == table]
        # In table 73 there are two priorities; each guard is below its own kind.
        assert highest < max(below)
        assert min(flow.key.priority for flow in guard if flow.key.table == table) < min(below)


def test_guard_of_a_chain_with_few_matches_is_exact():
    long = plan(1, count=2)
    exact = compile_bypass_guard(long, local()).classification
    assert compile_bypass_guard(long, local(len(exact))).classification == exact


# --- On the server.


@pytest.mark.parametrize("firewall", list(Firewall))
@pytest.mark.parametrize(
    "one",
    [
        plan(1),
        plan(1, count=5),
        plan(1, source_ports=WIDE, destination_ports=WIDE, count=3),
        plan(1, destination_ports=(8000, 8080)),
        chain([target("a", "h1"), target("b", "h1")], [target("c", "h2")],
              classifiers=(classifier(source_ports=WIDE),)),
    ],
    ids=str,
)  # fmt: skip
def test_the_server_never_counts_more_than_a_host_has(one, firewall):
    counted = least_flows(one)
    for host in HOSTS[:2]:
        names = [f"{name}-{side}" for name in "abc" for side in ("in", "out")]
        here = switch(host, "vm", "vm2", *names, firewall=firewall)
        assert counted[host] <= len(merge_all(compile_chain(one, here).flows))
    assert counted["h1"] > 0


TWO_WORDS, THREE_WORDS, FOUR_WORDS, FIVE_WORDS = (8, 10), (1, 4), (1, 6), (1, 12)


@pytest.mark.parametrize(
    ("source_ports", "destination_ports", "sources", "at_sources", "at_function"),
    [
        ((8, 8), (8, 8), 1, 1, 1),
        ((8, 8), (8, 8), 2, 2, 1),
        (TWO_WORDS, TWO_WORDS, 1, 4, 4),
        (TWO_WORDS, TWO_WORDS, 2, 8, 4),
        (TWO_WORDS, THREE_WORDS, 1, 7, 7),
        (TWO_WORDS, THREE_WORDS, 2, 8, 7),
        ((8, 8), FOUR_WORDS, 1, 4, 4),
        ((8, 8), FIVE_WORDS, 1, 7, 7),
        ((8, 8), FIVE_WORDS, 3, 9, 7),
        (FIVE_WORDS, FOUR_WORDS, 1, 11, 11),
    ],
)
def test_port_ranges_multiply_up_to_four_flows_and_are_clauses_beyond(
    source_ports, destination_ports, sources, at_sources, at_function
):
    ranges = classifier(source_ports=source_ports, destination_ports=destination_ports)
    one = chain(
        [target("a", "h2")],
        classifiers=(ranges,),
        sources=tuple(source(f"vm{number}", "h1") for number in range(sources)),
    )
    assert least_flows(one) == {"h1": at_sources, "h2": at_function}


def test_only_functions_that_return_packets_without_header_need_flows_for_them():
    for hops, needed in (
        ([tap(target("a", "h2"))], 0),
        ([[target("a", "h2", encapsulation="nsh")]], 0),
        ([[target("a", "h2"), target("b", "h2")], [target("c", "h2")]], 3),
    ):
        assert least_flows(chain(*hops))["h2"] == needed


def test_the_server_refuses_what_no_host_can_have(monkeypatch):
    plans = iter(
        plan(1, count=count, source_ports=WIDE, destination_ports=WIDE) for count in (100, 10)
    )
    monkeypatch.setattr(limits, "plan_chain", lambda *_: SimpleNamespace(plan=next(plans)))
    with pytest.raises(Violation) as refused:
        limits.check_size(None, 10000)
    assert refused.value.attribute == "flow_classifiers"
    assert "at most 10000 are allowed" in str(refused.value)
    limits.check_size(None, 10000)
    limits.check_size(None, 0)
