"""What the compiler makes of chains: by table names and meaning; test_golden.py has whole tables."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portchain.dataplane import pipeline
from portchain.dataplane.compile import (
    UnsupportedPlanError,
    compile_chain,
    compile_frame_guard,
    target_number,
)
from portchain.dataplane.flow import Bridge
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import SUPPORTED_LB_FIELD_SETS, Hop, Segment
from tests.plans import HOSTS, chain, classifier, ident, source, switch, target

ANY_IPV4 = classifier(
    protocol=None, source_ports=None, destination_ports=None,
    source_prefixes=(), destination_prefixes=(),
)  # fmt: skip
ANY_IPV6 = replace(ANY_IPV4, ethertype="IPv6")


def rules(compiled, table):
    place = TABLES[table]
    return [
        f for f in compiled.flows if (f.key.bridge, f.key.table) == (place.bridge, place.number)
    ]


def actions(compiled, table):
    return {f.actions for f in rules(compiled, table)}


def test_a_host_without_a_part_has_no_rules():
    compiled = compile_chain(chain([target("a", "h2")]), switch("h3"))
    assert compiled.flows == frozenset()
    assert compiled.missing == ()


def test_the_source_host_classifies_behind_the_firewall():
    compiled = compile_chain(chain([target("a", "h2")]), switch("h1", "vm"))
    assert not rules(compiled, "LOCAL_SWITCHING"), "table 0 is before the source's security group"
    assert {len(rules(compiled, table)) for table in ("ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS")} == {
        2,
        1,
    }
    new = [f for f in rules(compiled, "ACCEPT_OR_INGRESS") if "ct_state=+new-est" in f.key.match]
    assert [f.actions.startswith("ct(commit,zone=NXM_NX_REG6[0..15]),") for f in new] == [True]


def test_without_a_firewall_on_the_bridge_it_classifies_before_normal():
    compiled = compile_chain(
        chain([target("a", "h2")]), switch("h1", "vm", firewall=Firewall.ELSEWHERE)
    )
    assert len(rules(compiled, "TRANSIENT")) == 1
    assert not rules(compiled, "ACCEPT_OR_INGRESS")


def test_a_chain_without_a_pair_drops_its_traffic_at_the_source():
    compiled = compile_chain(chain([]), switch("h1", "vm", "a-in", "a-out"))
    assert actions(compiled, "HOP") == {"drop"}
    assert len(rules(compiled, "ACCEPT_OR_INGRESS")) == 2


def test_a_drained_pair_gets_only_what_is_remembered():
    drained = chain([target("a", "h1", weight=0)])
    compiled = compile_chain(drained, switch("h1", "vm", "a-in", "a-out"))
    assert actions(compiled, "BALANCE") == {"goto_table:152"}, "and nobody's number is set"
    assert len(rules(compiled, "LEARN_AFFINITY")) == 1
    assert len(rules(compiled, "FORWARD")) == 1


def test_a_single_pair_needs_no_hash():
    compiled = compile_chain(chain([target("a", "h2")]), switch("h1", "vm"))
    assert not any("multipath" in flow.actions for flow in compiled.flows)
    assert actions(compiled, "BALANCE") == {
        f"set_field:{target_number(ident('a')):#x}->reg9,resubmit(,156),goto_table:152",
        "goto_table:152",
    }


@pytest.mark.parametrize(
    ("changes", "protocols"),
    [
        ({}, {"tcp"}),
        ({"protocol": 1, "source_ports": None, "destination_ports": None}, set()),
        ({"protocol": None, "source_ports": None, "destination_ports": None}, {"tcp", "udp", "sctp"}),
        ({"ethertype": "IPv6", "source_prefixes": (), "destination_prefixes": ()}, {"tcp6"}),
    ],
)  # fmt: skip
def test_the_connections_that_classifiers_can_carry_are_remembered(changes, protocols):
    plan = chain([target("a", "h2"), target("b", "h3")], classifiers=(classifier(**changes),))
    found = rules(compile_chain(plan, switch("h1", "vm")), "LEARN_AFFINITY")
    assert {word for flow in found for word in flow.key.match if "=" not in word} == protocols
    assert len(found) == 2 * len(protocols), "for each pair"


def test_what_is_learned_says_at_which_hop_it_is_of_which_pair():
    found = rules(compile_chain(chain([target("a", "h2")]), switch("h1", "vm")), "LEARN_AFFINITY")
    number = target_number(ident("a"))
    assert [f"cookie=0x10001{number:08x}," in flow.actions for flow in found] == [True]


@pytest.mark.parametrize("fields", sorted(map(sorted, SUPPORTED_LB_FIELD_SETS)))
def test_any_fields_can_be_balanced_by(fields):
    plan = chain([target("a", "h2"), target("b", "h3")], classifiers=(ANY_IPV4, ANY_IPV6))
    (path,) = plan.paths
    by_fields = replace(path, hops=(replace(path.hops[0], lb_fields=tuple(fields)),))
    compiled = compile_chain(replace(plan, paths=(by_fields,)), switch("h1", "vm"))
    pipeline.check(compiled.flows)
    hashed = {flow.actions for flow in rules(compiled, "HOP")}
    for name in fields:
        learned = [
            flow for flow in rules(compiled, "LEARN_AFFINITY") if name.upper() in flow.actions
        ]
        assert learned or name.startswith("ip"), name
    ports = {name.partition("_")[0] for name in fields} & {"tcp", "udp"}
    assert len(hashed) <= 1 + len(ports)


def test_unknown_fields_are_refused():
    plan = chain([target("a", "h2")])
    (path,) = plan.paths
    strange = replace(path, hops=(replace(path.hops[0], lb_fields=("ip_ttl",)),))
    with pytest.raises(UnsupportedPlanError, match="ip_ttl"):
        compile_chain(replace(plan, paths=(strange,)), switch("h1", "vm"))


def test_two_chains_over_one_group_share_its_slots():
    pairs = [target("a", "h2"), target("b", "h3")]
    one = compile_chain(chain(pairs), switch("h1", "vm"))
    other = compile_chain(chain(pairs, name="pc2", path_id=2), switch("h1", "vm"))
    assert set(rules(one, "BALANCE")) == set(rules(other, "BALANCE"))
    assert not set(rules(one, "LEARN_AFFINITY")) & set(rules(other, "LEARN_AFFINITY"))
    assert not set(rules(one, "HOP")) & set(rules(other, "HOP"))


def test_what_a_host_lacks_is_named():
    compiled = compile_chain(chain([target("a", "h1")], [target("b", "h2")]), switch("h1"))
    assert {ident(name) for name in ("a-in", "a-out")} <= set(" ".join(compiled.missing).split())


def test_known_sources_tell_chains_with_one_header_apart():
    plan = chain(
        [target("a", "h1")], classifiers=(classifier(source_prefixes=(), source_port_known=True),)
    )
    compiled = compile_chain(plan, switch("h1", "vm", "a-in", "a-out"))
    exact = [
        f
        for f in rules(compiled, "LOCAL_SWITCHING")
        if f.key.priority == pipeline.Priority.RETURN_EXACT
    ]
    assert ["nw_src=10.0.0.10" in f.key.match for f in exact] == [True]


def test_the_last_function_hands_over_behind_the_egress_checks():
    compiled = compile_chain(chain([target("a", "h1")]), switch("h1", "vm", "a-in", "a-out"))
    returned = [f for f in rules(compiled, "LOCAL_SWITCHING") if "in_port=13" in f.key.match]
    assert {f.actions for f in returned} == {
        "set_field:0xff000000->reg8,set_field:0xd->reg5,set_field:0x1->reg6,goto_table:73"
    }


def test_chain_frames_that_nobody_waits_for_are_dropped():
    guards = compile_frame_guard(switch("h1"))
    assert {
        (f.key.bridge, f.actions) for f in guards if f.key.priority == pipeline.Priority.STRAY_FRAME
    } == {
        (Bridge.INT, "drop"),
        (Bridge.TUN, "drop"),
    }


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        (None, "the port there is not on a VLAN or flat network"),
        (Segment("physnet1", 100), "h1 has no bridge for physical network physnet1"),
    ],
)
def test_without_any_way_to_a_host_the_chain_says_why(segment, reason):
    there = replace(target("a", "h2"), ingress_segment=segment)
    compiled = compile_chain(chain([there]), replace(switch("h1", "vm"), tunnels={}))
    assert compiled.missing == (f"no tunnel from host h1 to h2 (192.0.2.2), and {reason}",)


def test_an_undeclared_rule_raises():
    (good,) = rules(compile_chain(chain([target("a", "h2")]), switch("h1", "vm")), "HOP")
    bad = type(good)(good.key, "set_field:1->reg0,goto_table:150")
    with pytest.raises(pipeline.UndeclaredFlowError, match="reg0"):
        pipeline.check([bad])
    with pytest.raises(pipeline.UndeclaredFlowError, match="table 77"):
        pipeline.check([type(good)(good.key, "goto_table:77")])


names = st.sampled_from("abcdef")
hops = st.lists(
    st.tuples(
        st.sampled_from(["l3", "l2", "mpls", "nsh", "tap"]),
        st.lists(st.tuples(names, st.integers(0, 3)), max_size=4),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(hops, st.data())
def test_any_chain_compiles_to_declared_rules_without_ambiguity(shape, data):
    used = set()
    built = []
    for kind, hop in shape:
        fresh = {name: weight for name, weight in hop if name not in used}
        used |= fresh.keys()
        targets = tuple(
            target(
                n,
                data.draw(st.sampled_from(HOSTS)),
                w,
                bridges=kind == "l2",
                encapsulation=kind if kind in ("mpls", "nsh") else "",
            )
            for n, w in fresh.items()
        )
        tap = kind == "tap"
        built.append(Hop(len(built), targets[:1] if tap else targets, tap=tap))
    sources = tuple(source(f"vm{host}", host, "10.0.0.10") for host in HOSTS)
    plan = chain(*built, sources=sources)
    for host in HOSTS:
        here = [f"{t}-{side}" for t in "abcdef" for side in ("in", "out")]
        compiled = compile_chain(plan, switch(host, f"vm{host}", *here))
        pipeline.check(compiled.flows | compile_frame_guard(switch(host)))
        keys = [f.key for f in compiled.flows]
        assert len(keys) == len(set(keys))
        assert compiled.missing == ()


@pytest.mark.parametrize("firewall", list(Firewall))
def test_what_can_be_a_request_is_no_reply(firewall):
    forward = chain([target("a", "h1")], classifiers=(ANY_IPV4,)).paths[0]
    back = replace(forward, reverse=True)
    plan = replace(chain([]), paths=(forward, back))
    here = switch("h1", "vm", "a-in", "a-out", firewall=firewall)
    for table in ("TRANSIENT", "ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS"):
        found = [f.key.priority for f in rules(compile_chain(plan, here), table) if f.key.match]
        assert len(found) == len(set(found)), "two rules of one priority for the same packets"
        one_way = [
            f.key.priority
            for f in rules(compile_chain(replace(plan, paths=(forward,)), here), table)
        ]
        assert sorted(found)[len(found) - len(one_way) :] == sorted(one_way)
