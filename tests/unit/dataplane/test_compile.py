"""Properties of compiled flows; tests/golden has whole flow tables."""

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
from portchain.dataplane.flow_builder import goto, resubmit
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.pipeline import TABLES
from portchain.dataplane.plan import SUPPORTED_LB_FIELD_SETS, Hop, Receiver, Segment
from tests.full import examples
from tests.plans import HOSTS, chain, classifier, ident, source, switch, target

ANY_IPV4 = classifier(
    protocol=None, source_ports=None, destination_ports=None,
    source_prefixes=(), destination_prefixes=(),
)  # fmt: skip
ANY_IPV6 = replace(ANY_IPV4, ethertype="IPv6")


def flows_of(compiled, table):
    place = TABLES[table]
    return [
        f for f in compiled.flows if (f.key.bridge, f.key.table) == (place.bridge, place.number)
    ]


def actions(compiled, table):
    return {f.actions for f in flows_of(compiled, table)}


def test_host_without_a_part_has_no_flows():
    compiled = compile_chain(chain([target("a", "h2")]), switch("h3"))
    assert compiled.flows == frozenset()
    assert compiled.missing == ()


def test_source_host_classifies_behind_the_firewall():
    compiled = compile_chain(chain([target("a", "h2")]), switch("h1", "vm"))
    assert actions(compiled, "LOCAL_SWITCHING") == {"drop"}, (
        "table 0 is before the source's security group"
    )
    counts = [len(flows_of(compiled, t)) for t in ("ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS")]
    assert counts == [3, 2], "the last one holds fragments back"
    new = [f for f in flows_of(compiled, "ACCEPT_OR_INGRESS") if "ct_state=+new-est" in f.key.match]
    assert [f.actions.startswith("ct(commit,zone=NXM_NX_REG6[0..15]),") for f in new] == [True]


def test_source_host_classifies_in_table_60_without_firewall():
    compiled = compile_chain(
        chain([target("a", "h2")]), switch("h1", "vm", firewall=Firewall.ELSEWHERE)
    )
    assert actions(compiled, "TRANSIENT") == {"set_field:0x10001->reg8,goto_table:150", "drop"}
    assert not flows_of(compiled, "ACCEPT_OR_INGRESS")


def test_chain_without_pair_drops_its_traffic_at_the_source():
    compiled = compile_chain(chain([]), switch("h1", "vm", "a-in", "a-out"))
    assert actions(compiled, "HOP") == {"drop"}
    assert len(flows_of(compiled, "ACCEPT_OR_INGRESS")) == 3


def test_drained_pair_gets_learned_flows_only():
    drained = chain([target("a", "h1", weight=0)])
    compiled = compile_chain(drained, switch("h1", "vm", "a-in", "a-out"))
    assert actions(compiled, "BALANCE") == {"goto_table:152", "drop"}, "and no pair is selected"
    assert len(flows_of(compiled, "LEARN_AFFINITY")) == 1
    assert len(flows_of(compiled, "FORWARD")) == 1


def test_of_two_pairs_with_one_number_the_first_gets_the_traffic():
    first, other = target("a", "h1"), target("b", "h1")
    same = replace(other, pair_id=first.pair_id[:8] + other.pair_id[8:])
    local = switch("h1", "vm", "a-in", "a-out", "b-in", "b-out")
    assert compile_chain(chain([first, same]), local) == compile_chain(chain([first]), local)


def test_single_pair_needs_no_hash():
    compiled = compile_chain(chain([target("a", "h2")]), switch("h1", "vm"))
    assert not any("multipath" in flow.actions for flow in compiled.flows)
    assert actions(compiled, "BALANCE") == {
        f"set_field:{target_number(ident('a')):#x}->reg9,goto_table:152",
        "goto_table:152",
    }


@pytest.mark.parametrize(
    ("changes", "protocols"),
    [
        ({}, {"tcp"}),
        ({"protocol": 1, "source_ports": None, "destination_ports": None}, set()),
        (
            {"protocol": None, "source_ports": None, "destination_ports": None},
            {"tcp", "udp", "sctp"},
        ),
        ({"ethertype": "IPv6", "source_prefixes": (), "destination_prefixes": ()}, {"tcp6"}),
    ],
)
def test_connections_of_classifiers_are_learned(changes, protocols):
    plan = chain([target("a", "h2"), target("b", "h3")], classifiers=(classifier(**changes),))
    found = flows_of(compile_chain(plan, switch("h1", "vm")), "LEARN_AFFINITY")
    assert {word for flow in found for word in flow.key.match if "=" not in word} == protocols
    assert len(found) == 2 * len(protocols), "for each pair"


def test_cookie_of_learned_flow_is_hop_and_pair():
    found = flows_of(
        compile_chain(chain([target("a", "h2")]), switch("h1", "vm")), "LEARN_AFFINITY"
    )
    number = target_number(ident("a"))
    assert [f"cookie=0x10001{number:08x}," in flow.actions for flow in found] == [True]


@pytest.mark.parametrize("fields", sorted(map(sorted, SUPPORTED_LB_FIELD_SETS)))
def test_all_lb_field_sets_are_supported(fields):
    plan = chain([target("a", "h2"), target("b", "h3")], classifiers=(ANY_IPV4, ANY_IPV6))
    (path,) = plan.paths
    by_fields = replace(path, hops=(replace(path.hops[0], lb_fields=tuple(fields)),))
    compiled = compile_chain(replace(plan, paths=(by_fields,)), switch("h1", "vm"))
    pipeline.check(compiled.flows)
    hashed = actions(compiled, "HOP") - {"drop"}
    for name in fields:
        learned = [
            flow for flow in flows_of(compiled, "LEARN_AFFINITY") if name.upper() in flow.actions
        ]
        assert learned or name.startswith("ip"), name
    layers = {name.partition("_")[0] for name in fields or ["tcp", "sctp"]}
    ports = layers & {"tcp", "udp", "sctp"}
    assert len(hashed) <= 2 * (1 + len(ports)), "for IPv4 and IPv6"


def test_unknown_lb_fields_are_unsupported():
    plan = chain([target("a", "h2")])
    (path,) = plan.paths
    strange = replace(path, hops=(replace(path.hops[0], lb_fields=("ip_ttl",)),))
    with pytest.raises(UnsupportedPlanError, match="ip_ttl"):
        compile_chain(replace(plan, paths=(strange,)), switch("h1", "vm"))


def test_chains_with_the_same_group_share_the_flows_that_select():
    pairs = [target("a", "h2"), target("b", "h3")]
    one = compile_chain(chain(pairs), switch("h1", "vm"))
    other = compile_chain(chain(pairs, name="pc2", path_id=2), switch("h1", "vm"))
    for table, flows in (("BALANCE", 2), ("CHOICE", 2)):
        assert set(flows_of(one, table)) == set(flows_of(other, table))
        assert len(flows_of(one, table)) == flows, "and not one for each slot"
    assert not set(flows_of(one, "LEARN_AFFINITY")) & set(flows_of(other, "LEARN_AFFINITY"))
    assert not set(flows_of(one, "HOP")) & set(flows_of(other, "HOP"))


def test_a_hop_that_packets_pass_gets_no_copies():
    here = switch("h1", "vm", "b-in", "b-out")
    passed = Hop(1, (), returning=(target("a", "h1"),), passed=True)
    flows = compile_chain(chain(passed, [target("b", "h1")]), here).flows
    assert any(goto("HOP") in flow.actions for flow in flows)
    assert not any(resubmit("COPY") in flow.actions for flow in flows)


def test_positions_tell_lists_of_groups_apart_except_at_the_end():
    plan = chain([target("a", "h1", bridges=True)])
    here = switch("h1", "vm", "a-in", "a-out")
    one, other = (compile_chain(replace(plan, generation=number), here) for number in (3, 5))
    assert {f.key for f in flows_of(one, "HOP")}.isdisjoint(f.key for f in flows_of(other, "HOP"))
    assert flows_of(one, "REJOIN")
    assert {*flows_of(one, "REJOIN")} == {*flows_of(other, "REJOIN")}


def test_a_packet_leaves_the_tables_that_limit_rates():
    """Neutron's own flows would take it through its pipeline again."""
    here = switch("h1")
    (end,) = compile_frame_guard(replace(here, has_rate_limits=True)) - compile_frame_guard(here)
    assert (end.key.table, end.actions) == (TABLES["TRANSIENT"].number, "drop")
    assert end.key.match == {f"{pipeline.REG_METERING}=0x1"}


def test_missing_ports_are_named():
    compiled = compile_chain(chain([target("a", "h1")], [target("b", "h2")]), switch("h1"))
    assert {ident(name) for name in ("a-in", "a-out")} <= set(" ".join(compiled.missing).split())


def test_known_source_gets_exact_return_flow():
    plan = chain(
        [target("a", "h1")], classifiers=(classifier(source_prefixes=(), source_port_known=True),)
    )
    compiled = compile_chain(plan, switch("h1", "vm", "a-in", "a-out"))
    exact = [
        f
        for f in flows_of(compiled, "LOCAL_SWITCHING")
        if f.key.priority == pipeline.Priority.RETURN_EXACT
    ]
    assert ["nw_src=10.0.0.10" in f.key.match for f in exact] == [True]


def test_last_function_returns_behind_the_egress_checks():
    compiled = compile_chain(chain([target("a", "h1")]), switch("h1", "vm", "a-in", "a-out"))
    returned = [f for f in flows_of(compiled, "LOCAL_SWITCHING") if "in_port=13" in f.key.match]
    assert {f.actions for f in returned} == {
        "set_field:0xff000000->reg8,set_field:0xd->reg5,set_field:0x1->reg6,goto_table:73"
    }


def test_unexpected_chain_frames_are_dropped():
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
def test_missing_link_to_a_host_is_named(segment, reason):
    there = replace(target("a", "h2"), ingress_segment=segment)
    compiled = compile_chain(chain([there]), replace(switch("h1", "vm"), tunnels={}))
    assert compiled.missing == (f"no tunnel from host h1 to h2 (192.0.2.2), and {reason}",)


def test_undeclared_flow_is_an_error():
    good, *_ = flows_of(compile_chain(chain([target("a", "h2")]), switch("h1", "vm")), "HOP")
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


@settings(max_examples=examples(60), deadline=None)
@given(hops, st.data())
def test_any_chain_compiles_to_declared_flows_with_unique_keys(shape, data):
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
        local = [f"{t}-{side}" for t in "abcdef" for side in ("in", "out")]
        compiled = compile_chain(plan, switch(host, f"vm{host}", *local))
        pipeline.check(compiled.flows | compile_frame_guard(switch(host)))
        keys = [f.key for f in compiled.flows]
        assert len(keys) == len(set(keys))
        assert compiled.missing == ()


@pytest.mark.parametrize("firewall", list(Firewall))
def test_request_flows_have_higher_priority_than_reply_flows(firewall):
    forward = chain([target("a", "h1")], classifiers=(ANY_IPV4,)).paths[0]
    back = replace(forward, reverse=True)
    plan = replace(chain([]), paths=(forward, back))
    local = switch("h1", "vm", "a-in", "a-out", firewall=firewall)
    for table in ("TRANSIENT", "ACCEPT_OR_INGRESS", "ACCEPTED_EGRESS"):
        found = [f.key.priority for f in flows_of(compile_chain(plan, local), table) if f.key.match]
        assert len(found) == len(set(found)), "two flows of one priority for the same packets"
        one_way = [
            f.key.priority
            for f in flows_of(compile_chain(replace(plan, paths=(forward,)), local), table)
        ]
        assert sorted(found)[len(found) - len(one_way) :] == sorted(one_way)


def test_address_of_a_receiver_counts_before_the_way_to_it():
    """Behind a function, as where packets are sent: the more certain flow has priority."""
    mac_of_receiver = "fa:16:3e:00:00:99"
    through = classifier(
        destination_prefixes=(),
        source_port_known=True,
        receiver=Receiver(("10.0.0.1/32",), (mac_of_receiver,), ("10.0.0.100/32",)),
    )
    compiled = compile_chain(
        chain([target("a", "h1")], [target("b", "h1")], classifiers=(through,)),
        switch("h1", "vm", "a-in", "a-out", "b-in", "b-out"),
    )
    returned = [
        f
        for f in flows_of(compiled, "LOCAL_SWITCHING")
        if "in_port=13" in f.key.match and f.actions != "drop"
    ]
    by_address, all_others = (
        {f.key.priority for f in returned if ("nw_dst=10.0.0.1" in f.key.match) is known}
        for known in (True, False)
    )
    assert min(by_address) > min(all_others) and max(by_address) > max(all_others)
    assert by_address.isdisjoint(all_others)
    ranks = {
        word: f.key.priority
        for f in flows_of(compiled, "ACCEPTED_EGRESS")
        for word in ("nw_dst=10.0.0.1", f"dl_dst={mac_of_receiver}", "nw_dst=10.0.0.100")
        if word in f.key.match and f.actions != "drop"
    }
    assert list(ranks) and sorted(ranks, key=ranks.get, reverse=True) == [
        "nw_dst=10.0.0.1",
        f"dl_dst={mac_of_receiver}",
        "nw_dst=10.0.0.100",
    ]
