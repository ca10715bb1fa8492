"""From snapshots to Northbound rows: lanes and wires, what goes where, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core import capabilities
from portchain.core.model import PortPairGroup, PortRole, Segment
from portchain.core.rules import Violation
from portchain.drivers.ovn import lanes as lanes_of
from portchain.drivers.ovn import match, refusals
from portchain.drivers.ovn.compile import compile_chain, hold_back
from portchain.drivers.ovn.driver import OvnDriver
from portchain.drivers.ovn.lanes import BUCKETS
from portchain.drivers.ovn.rows import Acl, ChainRows, anchor_name
from tests.plans import ident, mac
from tests.unit.dataplane.planning.test_planner import pair, port, snapshot


def group(name, *pairs):
    return PortPairGroup(ident(name), ident("project"), 1, pairs, name)


def with_chain(given_snapshot, **changes):
    return replace(given_snapshot, chain=replace(given_snapshot.chain, **changes))


def any_source_port(given_snapshot):
    (classifier,) = given_snapshot.chain.flow_classifiers
    return with_chain(given_snapshot, flow_classifiers=(replace(classifier, source_ports=None),))


def names(text):
    """The text with names of ports instead of their ids."""
    ends = ("pp1-in", "pp1-out", "pp2-in", "pp2-out", "pp3-in", "pp3-out", "src", "dst", "pc1")
    for name in ends:
        text = text.replace(ident(name), name).replace(ident(name).replace("-", "_"), name)
    return text


# Lanes.

weights = st.lists(st.integers(0, 9), min_size=1, max_size=BUCKETS)


def chain_of(*groups):
    return replace(snapshot().chain, port_pair_groups=groups)


def numbered(number, its_weights):
    pairs = [pair(f"g{number}p{i}", weight=weight) for i, weight in enumerate(its_weights)]
    return group(f"g{number}", *pairs)


@given(st.lists(weights, min_size=1, max_size=3))
def test_every_bucket_has_one_lane_and_every_weighted_pair_a_bucket_or_stands_by(all_weights):
    chain = chain_of(*(numbered(number, its) for number, its in enumerate(all_weights)))
    lanes = lanes_of.deal(chain)
    if not all(any(its) for its in all_weights):
        assert lanes == ()
        return
    assert sorted(bucket for lane in lanes for bucket in lane.buckets) == list(range(BUCKETS))
    alone = lanes_of.standing_by(chain, lanes)
    for number, its in enumerate(chain.port_pair_groups):
        visited = {lane.pairs[number].id for lane in lanes}
        takers = [one.id for one in its.port_pairs if one.weight]
        assert visited == ({takers[0]} if its in alone else set(takers))


def test_weights_are_kept_to_the_nearest_sixteenth():
    lanes = lanes_of.deal(chain_of(numbered(0, [3, 1])))
    assert [len(lane.buckets) for lane in lanes] == [12, 4]


@given(st.lists(weights, min_size=1, max_size=3), st.sets(st.integers(0, 40)))
def test_lanes_that_are_left_take_all_buckets(all_weights, broken):
    lanes = lanes_of.deal(chain_of(*(numbered(n, its) for n, its in enumerate(all_weights))))
    pairs = sorted({one.id for lane in lanes for one in lane.pairs})
    usable = frozenset(one for number, one in enumerate(pairs) if number not in broken)
    left = lanes_of.alive(lanes, usable)
    working = [lane for lane in lanes if {one.id for one in lane.pairs} <= usable]
    assert [lane.pairs for lane in left] == [lane.pairs for lane in (working or lanes)]
    assert {b for lane in left for b in lane.buckets} == (set(range(BUCKETS)) if lanes else set())


@pytest.mark.parametrize(
    ("sizes", "circles"),
    [
        ([1, 1, 1], False),
        ([2, 1], False),
        ([1, 2], False),
        ([3, 1, 1, 2], False),
        ([2, 2, 2], False),
        ([1, 2, 1], True),
        ([2, 2, 1], False),
        ([2, 1, 2, 1], True),
    ],
)
def test_wires_form_trees_or_pairs_stand_by(sizes, circles):
    chain = chain_of(*(numbered(number, [1] * size) for number, size in enumerate(sizes)))
    lanes = lanes_of.deal(chain)
    assert not lanes_of.goes_in_circles(lanes)
    assert bool(lanes_of.standing_by(chain, lanes)) is circles


@given(st.lists(weights, min_size=1, max_size=5))
def test_wires_always_form_trees(all_weights):
    chain = chain_of(*(numbered(number, its) for number, its in enumerate(all_weights)))
    lanes = lanes_of.deal(chain)
    assert not lanes_of.goes_in_circles(lanes)
    for group_of in lanes_of.standing_by(chain, lanes):
        assert group_of not in (chain.port_pair_groups[0], chain.port_pair_groups[-1])


def test_as_few_groups_as_possible_are_on_standby():
    sizes = [2, 2, 2, 1, 2, 1]
    chain = chain_of(*(numbered(number, [1] * size) for number, size in enumerate(sizes)))
    assert [one.name for one in lanes_of.standing_by(chain, lanes_of.deal(chain))] == ["g4"]


def test_the_active_pair_stays_until_the_first_available_one_replaces_it():
    chain = chain_of(numbered(0, [1]), numbered(1, [0, 1, 1]), numbered(2, [1]))
    drained, one, other = (pair.id for pair in chain.port_pair_groups[1].port_pairs)
    for usable, at_work, expected in (
        ((drained, one, other), (), one),
        ((drained, one, other), (other,), other),
        ((drained, one, other), (drained,), one),
        ((other,), (one,), other),
        ((drained,), (other,), other),
        ((), (other,), other),
        ((), (), one),
    ):
        (lane,) = lanes_of.deal(chain, usable, at_work)
        assert lane.pairs[1].id == expected


def test_one_of_two_parallel_lanes_is_down():
    """Its wires exist, and no traffic is sent over them."""
    groups = tuple(numbered(number, [1, 1]) for number in range(2))
    pairs = [one for its in groups for one in its.port_pairs]
    ends = [
        port(f"{one.name}-{side}", "h1", "10.0.0.99", plugged=one is not pairs[0])
        for one in pairs
        for side in ("in", "out")
    ]
    plugged = {end.id: end for end in ends}
    given_snapshot = with_chain(snapshot(symmetric=True), port_pair_groups=groups)
    given_snapshot = replace(given_snapshot, ports={**given_snapshot.ports, **plugged})
    whole = compile_chain(with_chain(given_snapshot, port_pair_groups=groups))
    assert whole.obstacle == ""
    assert {acl.function for acl in whole.rows.classification} == {
        f"pc-{ident('pc1')}-{pairs[1].ingress}-{pairs[3].egress}"
    }


def test_standby_pairs_are_a_warning():
    groups = tuple(numbered(number, [1] * size) for number, size in enumerate((1, 2, 1)))
    chain = with_chain(snapshot(symmetric=True), port_pair_groups=groups)
    assert "Port pair group g1 is not balanced" in compile_chain(chain).caution
    assert compile_chain(snapshot(symmetric=True)).caution == ""


# Rows.


def test_the_specification():
    compiled = compile_chain(any_source_port(snapshot(symmetric=True)))
    rows = compiled.rows
    assert compiled.obstacle == ""
    switches = {names(name): acls for name, acls in rows.switches.items()}
    assert list(switches) == ["pc-pc1-pp1-in", "pc-pc1-pp2-in", "pc-pc1-pp1-out", "pc-pc1-pp3-out"]
    assert [(names(one.name), names(one.switch)) for one in rows.moved] == [
        ("pp1-in", "pc-pc1-pp1-in"),
        ("pp2-in", "pc-pc1-pp2-in"),
        ("pp1-out", "pc-pc1-pp1-out"),
        ("pp2-out", "pc-pc1-pp1-out"),
        ("pp3-in", "pc-pc1-pp1-out"),
        ("pp3-out", "pc-pc1-pp3-out"),
    ]
    assert [(names(one.inport), names(one.outport)) for one in rows.functions] == [
        ("pc-pc1-pp1-in-net", "pc-pc1-pp3-out-net"),
        ("pc-pc1-pp2-in-net", "pc-pc1-pp3-out-net"),
    ]
    low, high = (
        f"{{{', '.join(f'{b << 1}/30' for b in half)}}}" for half in (range(8), range(8, 16))
    )
    assert [names(acl.match) for acl in rows.classification] == [
        "inport == @pc_pc1 && ip4 && !eth.mcast && tcp && tcp.dst == 100 && "
        f"ip4.src == 10.0.0.0/28 && ip4.dst == 10.0.0.20/32 && tcp.src == {half}"
        for half in (low, high)
    ]
    assert [(acl.priority, names(acl.match), acl.action) for acl in switches["pc-pc1-pp1-out"]] == [
        (2000, "1", "allow-stateless"),
        (2000, "1", "drop"),
        (2001, 'inport == "pp1-out" && outport == "pp3-in"', "allow-stateless"),
        (2001, f'inport == "pp3-in" && outport == "pp1-out" && tcp.dst == {low}', "allow-stateless"),
        (2001, 'inport == "pp2-out" && outport == "pp3-in"', "allow-stateless"),
        (2001, f'inport == "pp3-in" && outport == "pp2-out" && tcp.dst == {high}', "allow-stateless"),
    ]  # fmt: skip


def test_replies_go_straight_to_the_last_function_and_everything_else_floods():
    rows = compile_chain(snapshot(symmetric=True)).rows
    last = {names(one.name): one for one in rows.moved}["pp3-out"]
    assert last.addresses == ("unknown", mac("src"))
    assert last.options["is-nf"] == "true"
    assert {one.addresses for one in rows.moved if one != last} == {("unknown",)}


def test_a_pair_that_is_down_has_no_traffic_but_keeps_its_rows():
    whole = compile_chain(any_source_port(snapshot(symmetric=True))).rows
    rows = compile_chain(any_source_port(snapshot(symmetric=True, pp2_in={"plugged": False}))).rows
    assert (rows.moved, rows.patches, rows.functions) == (
        whole.moved,
        whole.patches,
        whole.functions,
    )
    assert rows.switches.keys() == whole.switches.keys()
    (acl,) = rows.classification
    assert "tcp.src" not in acl.match
    assert acl.function == whole.functions[0].name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pp3_in": {"plugged": False}}, "PP3|pp3: its ingress port pp3-in is DOWN on host h3"),
        ({"pp3_out": {"host": ""}}, "its egress port pp3-out is not bound to a host"),
        ({"pp3_out": {"host": "gone"}}, "no longer exists"),
        ({"src": {"host": ""}}, "No source port of the flow classifiers is bound"),
    ],
)
def test_obstacles_are_named_and_the_traffic_stays_classified(changes, reason):
    compiled = compile_chain(snapshot(symmetric=True, **changes))
    assert any(one in compiled.obstacle for one in reason.split("|"))
    assert compiled.rows.classification


def test_a_borrower_does_not_see_why_a_group_is_unavailable():
    """Pairs, ports and hosts of a shared group are its owner's."""
    down = snapshot(symmetric=True, pp3_in={"plugged": False})
    first, second = down.chain.port_pair_groups
    borrowed = with_chain(
        down, port_pair_groups=(first, replace(second, project_id=ident("somebody else")))
    )
    assert compile_chain(borrowed).obstacle == "Port pair group PG2 has no available pair"


BARE = ChainRows(ident("pc1"), 3, anchor_name(ident("pc1")), ident("project"))
CLASSIFIED = (
    "ip4 && !eth.mcast && tcp && tcp.src == 23 && tcp.dst == 100 && "
    "ip4.src == 10.0.0.0/28 && ip4.dst == 10.0.0.20/32"
)


def drop(origin, priority=2000):
    text = f"inport == {origin} && {CLASSIFIED}"
    return Acl("from-lport", priority, text, "drop", options={"apply-after-lb": "true"})


def test_without_sources_there_are_no_rows():
    assert compile_chain(replace(snapshot(), sources={ident("fc1"): ()})).rows == BARE


def no_pairs(given_snapshot):
    first, second = given_snapshot.chain.port_pair_groups
    return with_chain(given_snapshot, port_pair_groups=(first, replace(second, port_pairs=())))


def no_weights(given_snapshot):
    first, second = given_snapshot.chain.port_pair_groups
    pairs = tuple(replace(one, weight=0) for one in second.port_pairs)
    return with_chain(given_snapshot, port_pair_groups=(first, replace(second, port_pairs=pairs)))


def two_networks(given_snapshot):
    there = replace(given_snapshot.ports[ident("dst")], network_id=ident("net2"))
    return replace(
        given_snapshot,
        ports={**given_snapshot.ports, there.id: there},
        sources={ident("fc1"): (ident("src"), there.id)},
    )


@pytest.mark.parametrize(
    ("without", "why"),
    [(no_pairs, "PG2 has no available pair (it is empty)"), (no_weights, "weight is 0"), (two_networks, "")],
)  # fmt: skip
def test_traffic_without_an_available_function_is_dropped(without, why):
    compiled = compile_chain(without(snapshot(symmetric=True)))
    assert why in compiled.obstacle
    sources = compiled.rows.sources
    assert ident("src") in sources
    assert compiled.rows == replace(
        BARE, sources=sources, classification=(drop(f"@{BARE.anchor}"),)
    )


def test_traffic_of_a_chain_without_functions_is_dropped():
    empty = with_chain(snapshot(), port_pair_groups=(group("pg1"),))
    assert compile_chain(empty).rows == replace(
        BARE, sources=(ident("src"),), classification=(drop(f"@{BARE.anchor}"),)
    )


def test_a_refused_chain_drops_traffic_that_its_rows_do_not_match():
    refused = two_networks(snapshot(**{name: {"mechanism": "ovn"} for name in ("src", "dst")}))
    assert hold_back(refused, {ident("src"), ident("dst")}) == BARE
    assert hold_back(refused, {ident("src")}) == replace(
        BARE, sources=(ident("dst"),), classification=(drop(f'"{ident("dst")}"', 2001),)
    )


# Matches.


def classifier(**changes):
    return replace(snapshot().chain.flow_classifiers[0], **{
        "protocol": None, "source_ports": None, "destination_ports": None,
        "source_prefix": None, "destination_prefix": None, **changes,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "ip4 && !eth.mcast"),
        ({"protocol": 1}, "ip4 && !eth.mcast && icmp4"),
        (
            {"protocol": 1, "source_ports": (3, 3), "destination_ports": (4, 4)},
            "ip4 && !eth.mcast && icmp4 && icmp4.type == 3 && icmp4.code == 4",
        ),
        ({"protocol": 47}, "ip4 && !eth.mcast && ip.proto == 47"),
        ({"protocol": 17, "source_ports": (5, 9)}, "ip4 && !eth.mcast && udp && 5 <= udp.src <= 9"),
        (
            {"ethertype": "IPv6", "protocol": 58, "destination_prefix": "2001:db8::/64"},
            "ip6 && !eth.mcast && icmp6 && ip6.dst == 2001:db8::/64",
        ),
        (
            {"logical_destination_port": ident("dst")},
            "ip4 && !eth.mcast && ip4.dst == 10.0.0.20",
        ),
    ],
)
def test_matches_of_classifiers(changes, expected):
    assert match.classified(classifier(**changes), port("dst", "h3", "10.0.0.20")) == expected


@pytest.mark.parametrize(("ethertype", "nobody"), [("IPv4", "255.255.255.255"), ("IPv6", "::")])
def test_a_port_without_addresses_of_the_family_matches_no_packet(ethertype, nobody):
    wanted = classifier(ethertype=ethertype, logical_destination_port=ident("dst"))
    gone = replace(port("dst", "h3", ""), fixed_ips=())
    assert match.classified(wanted, gone).endswith(f".dst == {nobody}")


@pytest.mark.parametrize(
    ("classifiers", "by_address", "expected"),
    [
        ([classifier(protocol=6)], False, "tcp.src == 6/30"),
        ([classifier(protocol=6), classifier(protocol=17)], False, "(tcp.src == 6/30 || udp.src == 6/30)"),
        ([classifier(protocol=6)], True, "ip4.src == 0.0.0.3/0.0.0.15"),
        ([classifier(protocol=6, source_ports=(23, 23))], False, "ip4.src == 0.0.0.3/0.0.0.15"),
        ([classifier(), classifier(ethertype="IPv6")], False, "(ip4.src == 0.0.0.3/0.0.0.15 || ip6.src == ::3/::f)"),
    ],
)  # fmt: skip
def test_flows_are_hashed_by_fields_that_all_of_them_have(classifiers, by_address, expected):
    spread = match.spread(classifiers, by_address)
    assert spread.match([3]) == expected
    assert spread.match([3], replies=True) == expected.replace("src", "dst")
    assert spread.match(range(BUCKETS)) == ""


# Refusals.


def test_one_port_for_both_directions_is_refused():
    with pytest.raises(Violation, match="give the function two ports"):
        refusals.check_pair(replace(pair("pp1"), egress=ident("pp1-in")))


def test_a_port_in_two_pairs_of_a_chain_is_refused():
    first, second = pair("pp1"), replace(pair("pp2"), ingress=pair("pp1").egress)
    given = with_chain(
        any_source_port(snapshot()), port_pair_groups=(group("pg1", first), group("pg2", second))
    )
    with pytest.raises(Violation, match="two port pairs"):
        refusals.check_chain(given)


def test_too_many_pairs_are_refused():
    refusals.check_group(numbered(0, [1] * BUCKETS + [0]))
    with pytest.raises(Violation, match="at most 16 pairs"):
        refusals.check_group(numbered(0, [1] * (BUCKETS + 1)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dst": {"network_id": ident("net2")}}, "make a chain for each network"),
        ({"src": {"segment": Segment("vlan", "physnet1", 7)}}, "use a network of type geneve"),
        ({"src": {"role": PortRole.ROUTER}}, "classify the traffic of the virtual machines"),
    ],
)
def test_sources_that_ovn_cannot_serve_are_refused(changes, words):
    both = replace(
        snapshot(symmetric=True, **changes), sources={ident("fc1"): (ident("src"), ident("dst"))}
    )
    with pytest.raises(Violation, match=words):
        refusals.check_chain(both)


@pytest.mark.parametrize(
    "changes",
    [
        {"destination_prefix": "10.0.0.20/32"},
        {"destination_prefix": "10.0.0.0/24"},
        {"destination_prefix": None, "logical_destination_port": ident("dst")},
    ],
)
def test_a_source_is_no_destination_of_its_own_chain(changes):
    (classifier,) = snapshot().chain.flow_classifiers
    given = with_chain(snapshot(symmetric=True), flow_classifiers=(replace(classifier, **changes),))
    both = replace(given, sources={ident("fc1"): (ident("src"), ident("dst"))})
    with pytest.raises(Violation, match="from one source of a chain to another"):
        refusals.check_chain(both)


def test_dropped_traffic_between_sources_is_a_warning():
    (classifier,) = snapshot().chain.flow_classifiers
    anywhere = replace(classifier, destination_prefix=None)
    given = with_chain(snapshot(symmetric=True), flow_classifiers=(anywhere,))
    both = replace(given, sources={ident("fc1"): (ident("src"), ident("dst"))})
    refusals.check_chain(both)
    assert "one of its sources sends to another is dropped" in compile_chain(both).caution
    one = replace(given, sources={ident("fc1"): (ident("src"),)})
    assert compile_chain(one).caution == ""


def test_a_function_is_no_source_of_its_own_chain():
    own = replace(snapshot(), sources={ident("fc1"): (ident("pp1-in"),)})
    with pytest.raises(Violation, match="classify the traffic of another port"):
        refusals.check_chain(own)


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (pair("pp1"), "l3 is not supported by the driver ovn"),
        (replace(pair("pp1", kind="l2"), correlation="mpls"), "correlation mpls"),
        (replace(group("pg1"), lb_fields=("tcp_src",)), "lb_fields tcp_src"),
        (with_chain(snapshot(symmetric=True), port_pair_groups=()), ""),
        (with_chain(snapshot(), port_pair_groups=()), "symmetric false"),
        (with_chain(snapshot(symmetric=True), correlation="nsh"), "correlation nsh"),
    ],
)
def test_unsupported_features_are_refused(subject, words):
    if not words:
        capabilities.check(subject, OvnDriver.capabilities, "ovn")
        return
    with pytest.raises(Violation, match=words):
        capabilities.check(subject, OvnDriver.capabilities, "ovn")
