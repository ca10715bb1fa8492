"""Plans of chains: the ports and hosts in them, and when a chain is DOWN."""

from dataclasses import replace

import pytest

from portchain.core.function_kinds import L2, L3, NSH_AWARE
from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    FunctionKind,
    HealthCheck,
    OnFailure,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
    PortRole,
    Segment,
)
from portchain.core.plan_records import HostChanges
from portchain.dataplane import plan as plans
from portchain.dataplane.pipeline import ODD_GENERATION
from portchain.dataplane.plan import EarlierPairs
from portchain.dataplane.planning.planner import plan_chain
from portchain.dataplane.planning.visibility import HostViews
from portchain.drivers.hosts.updates import Outgoing, updates_by_host
from portchain.rpc import contract
from portchain.rpc.plan_codec import PlanSplitter
from tests.plans import TUNNEL_IPS, ident, mac


def port(name, host, address, **changes):
    made = Port(
        ident(name),
        ident("net1"),
        ident("project"),
        mac(name),
        (address,),
        host,
        plugged=True,
        name=name,
    )
    return replace(made, **changes)


def pair(name, **changes):
    return PortPair(
        ident(name), ident("project"), ident(f"{name}-in"), ident(f"{name}-out"), name, **changes
    )


def snapshot(symmetric=False, **port_changes):
    ports = [
        port("src", "h1", "10.0.0.10"),
        port("dst", "h3", "10.0.0.20"),
        *(
            port(f"pp{n}-{side}", f"h{n}", f"10.0.0.{n}{i}")
            for n in (1, 2, 3)
            for i, side in enumerate(("in", "out"))
        ),
    ]
    ports = [replace(one, **port_changes.get(one.name.replace("-", "_"), {})) for one in ports]
    groups = (
        PortPairGroup(ident("pg1"), ident("project"), 1, (pair("pp1"), pair("pp2")), "PG1"),
        PortPairGroup(ident("pg2"), ident("project"), 2, (pair("pp3"),), "PG2"),
    )
    classifier = FlowClassifier(
        ident("fc1"),
        ident("project"),
        protocol=6,
        source_ports=(23, 23),
        destination_ports=(100, 100),
        source_prefix="10.0.0.0/28",
        destination_prefix="10.0.0.20/32",
    )
    chain = PortChain(
        ident("pc1"),
        ident("project"),
        7,
        groups,
        (classifier,),
        "PC1",
        symmetric=symmetric,
        revision=3,
    )
    return ChainSnapshot(
        chain,
        {one.id: one for one in ports if one.host != "gone"},
        {classifier.id: (ident("src"),)},
        {classifier.id: (ident("dst"),)},
    )


def plan(*args, **kwargs):
    return plan_chain(snapshot(*args, **kwargs), TUNNEL_IPS)


def test_specification_example():
    planned = plan()
    (path,) = planned.plan.paths
    assert (planned.plan.path_id, planned.plan.revision, planned.availability.down_reason) == (
        7,
        3,
        "",
    )
    assert [[(t.pair_id, t.host, t.tunnel_ip) for t in hop.targets] for hop in path.hops] == [
        sorted((ident(f"pp{n}"), f"h{n}", f"192.0.2.{n}") for n in (1, 2)),
        [(ident("pp3"), "h3", "192.0.2.3")],
    ]
    assert [(s.port_id, s.host, s.addresses) for s in path.sources] == [
        (ident("src"), "h1", ("10.0.0.10",))
    ]
    assert planned.plan.hosts == {"h1", "h2", "h3"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pp3_in": {"host": ""}}, "its ingress port pp3-in is not bound"),
        ({"pp3_out": {"plugged": False}}, "its egress port pp3-out is DOWN on host h3"),
        ({"pp3_out": {"host": "h1"}}, "its ports are on different hosts (h3, h1)"),
        ({"pp3_in": {"host": "gone"}}, "no longer exists"),
    ],
)
def test_group_without_usable_pair_is_a_down_reason_and_stays_in_the_plan(changes, reason):
    planned = plan(**changes)
    assert "PG2" in planned.availability.down_reason
    assert reason in planned.availability.down_reason
    assert planned.plan.paths[0].hops[1].targets == ()
    assert "h1" in planned.plan.hosts, "the source's host drops the traffic"


def tapped(**port_changes):
    """The specification's example with PG2 as a tap."""
    known = snapshot(symmetric=True, **port_changes)
    first, second = known.chain.port_pair_groups
    groups = (first, replace(second, tap_enabled=True))
    return plan_chain(
        replace(known, chain=replace(known.chain, port_pair_groups=groups)), TUNNEL_IPS
    )


def test_tap_returns_nothing_and_sees_both_directions():
    forward, reverse = tapped().plan.paths
    assert (
        [hop.tap for hop in forward.hops]
        == [hop.tap for hop in reverse.hops[::-1]]
        == [False, True]
    )
    assert {t.pair_id for t in forward.senders_into(2)} == {ident("pp1"), ident("pp2")}
    assert reverse.senders_into(1) == reverse.sources
    assert reverse.hops[0].targets[0].ingress_port == ident("pp3-out")


def test_unavailable_tap_is_a_warning_and_no_down_reason():
    assert (tapped().availability.down_reason, tapped().availability.warning) == ("", "")
    planned = tapped(pp3_in={"plugged": False})
    assert planned.availability.down_reason == ""
    assert "PG2 gets no copies" in planned.availability.warning
    assert "pp3-in is DOWN on host h3" in planned.availability.warning


def test_mapping_changes_headers_in_both_directions():
    known = snapshot(symmetric=True)
    first, second = known.chain.port_pair_groups
    first = replace(first, egress_n_tuple={"source_ip_prefix": "10.0.0.99/32"})
    chain = replace(known.chain, port_pair_groups=(first, second))
    forward, reverse = plan_chain(replace(known, chain=chain), TUNNEL_IPS).plan.paths
    assert forward.classifiers[0].source_prefixes == ("10.0.0.0/28",)
    assert forward.hops[0].headers[0].source_prefixes == ("10.0.0.99/32",)
    assert forward.hops[1].headers == ()
    assert forward.headers_after(1) == forward.hops[0].headers
    assert reverse.classifiers[0].destination_prefixes == ("10.0.0.99/32",)
    assert reverse.hops[0].headers == ()
    assert reverse.hops[1].headers[0].destination_prefixes == ("10.0.0.0/28",)


def test_missing_pair_beside_others_is_no_down_reason():
    planned = plan(pp1_in={"host": ""})
    assert planned.availability.down_reason == ""
    assert [t.pair_id for t in planned.plan.paths[0].hops[0].targets] == [ident("pp2")]


def test_no_bound_source_is_a_down_reason():
    assert "No source port" in plan(src={"host": ""}).availability.down_reason


def test_unplugged_source_is_planned():
    assert plan(src={"plugged": False}).availability.down_reason == ""


def test_logical_destination_port_matches_its_addresses():
    known = snapshot()
    (classifier,) = known.chain.flow_classifiers
    named = replace(classifier, destination_prefix=None, logical_destination_port=ident("dst"))
    known = replace(known, chain=replace(known.chain, flow_classifiers=(named,)))
    assert plan_chain(known, TUNNEL_IPS).plan.paths[0].classifiers[0].destination_prefixes == (
        "10.0.0.20/32",
    )


@pytest.mark.parametrize(
    ("fixed_ips", "expected"),
    [
        (("10.0.0.20", "2001:db8::20"), ("10.0.0.20/32",)),
        (("2001:db8::20",), ("255.255.255.255/32",)),
        ((), ("255.255.255.255/32",)),
    ],
    ids=["two families", "the other family", "no address"],
)
def test_logical_port_never_matches_any_address(fixed_ips, expected):
    known = snapshot(symmetric=True, dst={"fixed_ips": fixed_ips}, src={"fixed_ips": fixed_ips})
    (classifier,) = known.chain.flow_classifiers
    named = replace(
        classifier,
        source_prefix=None,
        destination_prefix=None,
        logical_source_port=ident("src"),
        logical_destination_port=ident("dst"),
    )
    known = replace(known, chain=replace(known.chain, flow_classifiers=(named,)))
    planned = plan_chain(known, TUNNEL_IPS).plan
    forward, reverse = planned.paths
    assert forward.classifiers[0].destination_prefixes == expected
    assert reverse.classifiers[0].destination_prefixes == expected
    update = contract.PlanUpdate((planned,))
    assert contract.decode_update(contract.encode_update(update)) == update


def test_replies_visit_the_same_pairs_in_reverse():
    forward, reverse = plan(symmetric=True).plan.paths
    assert reverse.reverse
    assert [s.port_id for s in reverse.sources] == [ident("dst")]
    (there,), (back,) = forward.classifiers, reverse.classifiers
    assert (back.source_ports, back.destination_ports) == (
        there.destination_ports,
        there.source_ports,
    )
    assert (back.source_prefixes, back.destination_prefixes) == (
        there.destination_prefixes,
        there.source_prefixes,
    )
    assert [hop.group_id for hop in reverse.hops] == [2, 1]
    for hop, turned in zip(forward.hops, reversed(reverse.hops), strict=True):
        for target, other in zip(hop.targets, turned.targets, strict=True):
            assert (target.pair_id, target.ingress_port, target.egress_mac) == (
                other.pair_id, other.egress_port, other.ingress_mac,
            )  # fmt: skip


def test_plan_names_bridging_functions():
    known = snapshot()
    group = replace(
        known.chain.port_pair_groups[1], port_pairs=(pair("pp3", kind=FunctionKind.L2),)
    )
    known = replace(
        known, chain=replace(known.chain, port_pair_groups=(known.chain.port_pair_groups[0], group))
    )
    path = plan_chain(known, TUNNEL_IPS).plan.paths[0]
    assert [[t.function for t in hop.targets] for hop in path.hops] == [[L3, L3], [L2]]
    assert {origin.pair_id for origin in path.origins} == {ident("pp1"), ident("pp2")}


def test_plan_has_segments_of_provider_networks():
    vlan, flat = Segment("vlan", "physnet1", 100), Segment("flat", "physnet2")
    known = plan(
        symmetric=True,
        src={"segment": vlan},
        pp3_in={"segment": vlan},
        pp3_out={"segment": flat},
        pp1_in={"segment": Segment("vxlan", None, 17)},
    )
    forward, reverse = known.plan.paths
    assert forward.sources[0].segment == plans.Segment("physnet1", 100)
    (pp3,), (turned,) = forward.hops[1].targets, reverse.hops[0].targets
    assert pp3.ingress_segment == turned.egress_segment == plans.Segment("physnet1", 100)
    assert pp3.egress_segment == turned.ingress_segment == plans.Segment("physnet2", None)
    assert {t.ingress_segment for t in forward.hops[0].targets} == {None}


def test_plan_names_sfc_aware_functions():
    with_header = snapshot()
    pg1, pg2 = with_header.chain.port_pair_groups
    pg2 = replace(pg2, port_pairs=(pair("pp3", correlation="nsh"),))
    with_header = replace(
        with_header, chain=replace(with_header.chain, port_pair_groups=(pg1, pg2))
    )
    (path,) = plan_chain(with_header, TUNNEL_IPS).plan.paths
    assert [[t.function for t in hop.targets] for hop in path.hops] == [[L3, L3], [NSH_AWARE]]


@pytest.mark.parametrize(
    ("function", "networks", "off_network", "origins"),
    [
        ({"correlation": "mpls"}, {}, False, "pp3-out"),
        ({"correlation": "mpls"}, {"pp3-out": "net2"}, True, "src"),
        ({"correlation": "mpls"}, {"pp3-in": "net2"}, False, "pp3-out"),
        ({"correlation": "nsh"}, {"pp3-out": "net2"}, False, "src"),
        ({}, {"pp3-out": "net2"}, False, "pp3-out"),
    ],
)
def test_packets_continue_from_their_source_if_a_function_is_on_another_network(
    function, networks, off_network, origins
):
    """Only functions that return packets without the source's MAC address need to know."""
    known = snapshot(symmetric=True)
    group = replace(known.chain.port_pair_groups[1], port_pairs=(pair("pp3", **function),))
    ports = dict(known.ports)
    for name, network in networks.items():
        ports[ident(name)] = replace(ports[ident(name)], network_id=ident(network))
    known = replace(known, ports=ports, chain=replace(known.chain, port_pair_groups=(group,)))
    forward, reverse = plan_chain(known, TUNNEL_IPS).plan.paths
    assert [target.off_network for target in forward.hops[0].targets] == [off_network]
    ends = [getattr(end, "port_id", "") or end.egress_port for end in forward.origins]
    assert ends == [ident(origins)]
    back = reverse.hops[0].targets[0]
    assert back.off_network == (function == {"correlation": "mpls"} and "pp3-in" in networks)


def test_plan_has_the_addresses_that_sources_may_send_from():
    vrrp = AddressPair("10.0.0.100/32", "00:00:5e:00:01:2a")
    own = AddressPair("10.0.0.101/32", mac("src"))
    checked = plan(src={"address_pairs": (vrrp, own)}).plan.paths[0].sources[0]
    assert (checked.further_macs, checked.sends_from_any_mac) == ((vrrp.mac_address,), False)
    assert plan(src={"port_security": False}).plan.paths[0].sources[0].sends_from_any_mac


def test_packets_of_several_networks_continue_from_their_sources():
    known = snapshot()
    mpls = replace(known.chain.port_pair_groups[1], port_pairs=(pair("pp3", correlation="mpls"),))
    routed = known.chain.port_pair_groups[0]
    for groups, expected in (((mpls,), True), ((routed, mpls), False)):
        other = port("src2", "h1", "10.0.0.11", network_id=ident("net2"))
        (classifier,) = known.chain.flow_classifiers
        both = replace(
            known,
            chain=replace(known.chain, port_pair_groups=groups),
            ports={**known.ports, other.id: other},
            sources={classifier.id: (ident("src"), other.id)},
        )
        path = plan_chain(both, TUNNEL_IPS).plan.paths[0]
        assert [target.off_network for target in path.hops[-1].targets] == [expected]


def test_each_host_gets_one_update_and_leaving_hosts_get_a_removal():
    one = plan(pp2_in={"host": ""})
    other = replace(one, plan=replace(one.plan, id=ident("pc2")))
    outgoing = [Outgoing(one), Outgoing(other)]
    changes = {
        one.plan.id: HostChanges({"h1": "", "h3": "x"}, frozenset({"h2"})),
        other.plan.id: HostChanges({"h1": ""}),
    }
    updates = updates_by_host(outgoing, changes, {})
    assert set(updates) == {"h1", "h2", "h3"}
    assert updates["h1"].chains == tuple(
        HostViews(each.plan).plan_for("h1") for each in (one, other)
    )
    assert updates["h2"].chains == ()
    assert updates["h2"].removed == ((one.plan.id, 3),)
    assert updates["h3"].chains == (HostViews(one.plan).plan_for("h3"),)


def test_hosts_get_messages_that_their_release_can_read():
    outgoing = [Outgoing(plan())]
    changes = {outgoing[0].plan.id: HostChanges(dict.fromkeys(("h1", "h2", "h3"), ""))}
    since = (contract.PARTS_SINCE, contract.PACKED_PARTS_SINCE, contract.PACKED_CHAINS_SINCE)
    found = []
    for version in (since[0] - 1, since[0], since[1] - 1, since[1], since[2] - 1, since[2]):
        updates = updates_by_host(outgoing, changes, dict.fromkeys(("h1", "h2", "h3"), version))
        found.append(
            {key for one in updates.values() for key in contract.encode_update(one)}
            - {"removed", "prepare", "switch"}
        )
    parts, packed = {"chains", "parts"}, {"chains", "packed_parts"}
    assert found == [
        *({"chains"}, parts, parts, packed, packed),
        {"packed_chains", "packed_parts"},
    ]


def test_what_is_recorded_and_sent_of_a_plan_is_encoded_once(monkeypatch):
    outgoing = [Outgoing(plan())]
    versions = dict.fromkeys(outgoing[0].record.parts, contract.MINOR_VERSION)
    assert versions
    monkeypatch.setattr(PlanSplitter, "split", None)
    changes = {outgoing[0].plan.id: HostChanges(dict.fromkeys(versions, ""))}
    for host, update in updates_by_host(outgoing, changes, versions).items():
        sent = contract.decode_update(contract.encode_update(update)).chains
        assert sent == (HostViews(outgoing[0].plan).plan_for(host),)


def after(before: ChainSnapshot, **port_changes) -> ChainSnapshot:
    """A chain through PG3 that follows another one in a service graph."""
    ports = [port(f"pp4-{side}", "h2", f"10.0.0.4{i}") for i, side in enumerate(("in", "out"))]
    known = {**before.ports, **{one.id: one for one in ports}}
    for name, changes in port_changes.items():
        known[ident(name)] = replace(known[ident(name)], **changes)
    group = PortPairGroup(ident("pg3"), ident("project"), 3, (pair("pp4"),), "PG3")
    taken = replace(before.chain.flow_classifiers[0], id=ident("fc2"), source_ports=None)
    chain = PortChain(ident("pc2"), ident("project"), 8, (group,), (taken,), "PC2", revision=1)
    return ChainSnapshot(chain, known, {taken.id: ()}, predecessors=(before.chain,))


def test_plans_of_a_service_graph_name_the_preceding_chain():
    first = snapshot()
    second = after(first)
    one = plan_chain(replace(first, successors=(second.chain,)), TUNNEL_IPS).plan
    assert [path.branches for path in one.paths] == [True]
    planned = plan_chain(second, TUNNEL_IPS)
    (path,) = planned.plan.paths
    (entry,) = path.entries
    assert planned.availability.down_reason == ""
    assert (entry.path_id, entry.hops) == (7, 2)
    assert [(s.port_id, s.host, s.mac) for s in entry.senders] == [
        (ident("pp3-out"), "h3", mac("pp3-out"))
    ]
    assert path.origins == path.hops[0].targets, "its own function routes"
    assert planned.plan.hosts == {"h2", "h3"}
    assert ident("pp3-out") in planned.plan.ports, "the chain depends on this port"


def test_origin_of_unmodified_frames_is_the_preceding_function():
    second = after(snapshot())
    (group,) = second.chain.port_pair_groups
    bridge = replace(group.port_pairs[0], kind=FunctionKind.L2)
    chain = replace(second.chain, port_pair_groups=(replace(group, port_pairs=(bridge,)),))
    (path,) = plan_chain(replace(second, chain=chain), TUNNEL_IPS).plan.paths
    assert [origin.port_id for origin in path.origins] == [ident("pp3-out")]


def test_unbound_function_of_preceding_chain_is_a_down_reason():
    planned = plan_chain(after(snapshot(), **{"pp3-out": {"host": ""}}), TUNNEL_IPS)
    assert "preceding port chain PC1" in planned.availability.down_reason
    assert planned.plan.hosts == {"h2"}


def test_agent_without_service_graph_support_drops_their_traffic():
    first = snapshot()
    second = after(first)
    for one in (replace(first, successors=(second.chain,)), second):
        update = contract.PlanUpdate((plan_chain(one, TUNNEL_IPS).plan,))
        message = contract.encode_update(update)
        assert contract.decode_update(message) == update
        assert [path["hops"] for path in message["chains"][0]["paths"]] == [()]


PRESENT = tuple(sorted((ident(name), 1) for name in ("pp1", "pp2")))
ONE, OTHER = (EarlierPairs(((ident(name), 1),)) for name in ("pp1", "gone"))


def earlier(known, **history):
    """What the hops of both directions select from before, in the order of the groups."""
    by_id = {ident(name): sets for name, sets in history.items()}
    forward, reverse = plan_chain(known, TUNNEL_IPS, by_id).plan.paths
    assert [hop.earlier_pairs for hop in reversed(reverse.hops)] == [
        hop.earlier_pairs for hop in forward.hops
    ]
    return [hop.earlier_pairs for hop in forward.hops]


def test_hops_of_both_directions_know_what_their_group_selected_from_before():
    known = snapshot(symmetric=True)
    assert earlier(known) == [(), ()]
    recent = replace(OTHER, new_flows=True)
    assert earlier(known, pg1=(ONE, recent)) == [(ONE, recent), ()]
    assert earlier(known, pg2=(OTHER,)) == [(), (OTHER,)]


def test_earlier_pairs_that_make_no_difference_are_left_out():
    same = EarlierPairs(PRESENT, new_flows=True)
    known = snapshot(symmetric=True)
    assert earlier(known, pg1=(same,)) == [(), ()]
    assert earlier(known, pg1=(same, ONE, same, same)) == [(same, ONE), ()]
    first, second = known.chain.port_pair_groups
    drained = replace(first.port_pairs[1], weight=0)
    first = replace(first, port_pairs=(first.port_pairs[0], drained))
    without = replace(known, chain=replace(known.chain, port_pair_groups=(first, second)))
    now = EarlierPairs(((ident("pp1"), 1), (drained.id, 0)))
    assert earlier(without, pg1=(now,)) == [(), ()]
    assert earlier(without, pg1=(ONE,)) == [(ONE,), ()], "the drained pair had left"
    assert earlier(without, pg1=(same,)) == [(same,), ()]


def test_hops_that_select_nothing_know_no_earlier_pairs():
    unbound = snapshot(symmetric=True, pp3_in={"host": ""})
    assert earlier(unbound, pg2=(OTHER,)) == [(), ()]
    known = snapshot(symmetric=True)
    first, second = known.chain.port_pair_groups
    groups = (first, replace(second, tap_enabled=True))
    tapping = replace(known, chain=replace(known.chain, port_pair_groups=groups))
    assert earlier(tapping, pg1=(ONE,), pg2=(OTHER,)) == [(ONE,), ()]


def test_plan_names_the_chain_and_its_owner():
    made = snapshot()
    for generation, path_id in ((0, 7), (1, 7 | ODD_GENERATION), (2, 7), (3, 7 | ODD_GENERATION)):
        chain = replace(made.chain, serial=5, generation=generation)
        found = plan_chain(replace(made, chain=chain), TUNNEL_IPS).plan
        assert (found.path_id, found.generation, found.serial) == (path_id, generation, 5)
    other = replace(made, chain=replace(made.chain, project_id=ident("other")))
    assert plan_chain(other, TUNNEL_IPS).plan.owner != plan_chain(made, TUNNEL_IPS).plan.owner
    assert made.chain.project_id not in repr(plan_chain(made, TUNNEL_IPS).plan)


def test_chain_without_classifier_has_hops():
    made = snapshot(symmetric=True)
    made = replace(made, chain=replace(made.chain, flow_classifiers=()), sources={})
    for path in plan_chain(made, TUNNEL_IPS).plan.paths:
        assert [hop.headers for hop in path.hops] == [(), ()]
        assert path.classifiers == ()


def test_pairs_are_in_the_order_of_their_ids():
    made = snapshot()
    first, second = made.chain.port_pair_groups
    turned = replace(first, port_pairs=first.port_pairs[::-1])
    chain = replace(made.chain, port_pair_groups=(turned, second))
    assert plan_chain(replace(made, chain=chain), {}).plan == plan_chain(made, {}).plan
    target = plan_chain(made, {}).plan.paths[0].hops[1].targets[0]
    assert target.tunnel_ip == plan_chain(made, {}).plan.paths[0].sources[0].tunnel_ip == ""


def test_ports_that_are_gone_or_not_bound_are_no_sources():
    made = snapshot(src={"host": ""})
    (classifier,) = made.chain.flow_classifiers
    made = replace(made, sources={classifier.id: (ident("gone"), ident("src"), ident("dst"))})
    assert [s.port_id for s in plan_chain(made, {}).plan.paths[0].sources] == [ident("dst")]


def test_broadcast_addresses_of_a_source():
    subnets = ("10.0.0.0/24", "10.1.0.0/30", "10.2.0.0/31", "10.3.0.1/32", "2001:db8::/64")
    path = plan(src={"subnets": subnets}).plan.paths[0]
    assert path.sources[0].broadcasts == ("10.0.0.255", "10.1.0.3")


def test_further_mac_addresses_are_sorted():
    macs = [f"00:00:5e:00:01:{number:02x}" for number in range(9, 0, -1)]
    pairs = tuple(AddressPair("10.0.0.100/32", one) for one in macs)
    assert plan(src={"address_pairs": pairs}).plan.paths[0].sources[0].further_macs == tuple(
        sorted(macs)
    )


def test_fields_by_which_groups_balance_are_turned_for_replies():
    made = snapshot(symmetric=True)
    first, second = made.chain.port_pair_groups
    chain = replace(
        made.chain, port_pair_groups=(replace(first, lb_fields=("ip_src", "tcp_dst")), second)
    )
    forward, reverse = plan_chain(replace(made, chain=chain), TUNNEL_IPS).plan.paths
    assert forward.hops[0].lb_fields == ("ip_src", "tcp_dst")
    assert reverse.hops[1].lb_fields == ("ip_dst", "tcp_src")


def test_functions_return_replies_with_the_addresses_of_the_destination():
    vrrp = AddressPair("10.0.0.100/32", "00:00:5e:00:01:2a")
    forward, reverse = plan(symmetric=True, pp3_in={"address_pairs": (vrrp,)}).plan.paths
    for path, address in ((forward, "10.0.0.10/32"), (reverse, "10.0.0.20/32")):
        for hop in path.hops:
            assert [one for one in hop.returned_sources or () if ":" not in one] == [address]
    assert reverse.hops[0].targets[0].return_macs == (mac("pp3-in"), vrrp.mac_address)
    assert forward.hops[1].targets[0].return_macs == (mac("pp3-out"),)


def test_shared_functions_take_the_addresses_of_the_ends():
    functions = {f"pp{n}_in": {"fixed_ips": (f"10.0.1.{n}",)} for n in (1, 2)}
    made = snapshot(symmetric=True, **functions)
    groups = tuple(replace(group, shared=True) for group in made.chain.port_pair_groups)
    made = replace(made, chain=replace(made.chain, port_pair_groups=groups))
    forward, reverse = plan_chain(made, TUNNEL_IPS).plan.paths
    for path, address in ((forward, "10.0.0.10/32"), (reverse, "10.0.0.20/32")):
        assert [hop.accepted_sources for hop in path.hops] == [((address,),)] * 2
    one_shared = (groups[0], replace(groups[1], shared=False))
    made = replace(made, chain=replace(made.chain, port_pair_groups=one_shared))
    forward, reverse = plan_chain(made, TUNNEL_IPS).plan.paths
    assert [bool(hop.accepted_sources) for hop in forward.hops] == [True, False]
    assert [bool(hop.accepted_sources) for hop in reverse.hops] == [False, True]


@pytest.mark.parametrize("router", [{"role": PortRole.ROUTER}, {"port_security": False}])
def test_a_router_forwards_what_the_chain_has_classified_before(router):
    """Requests from behind it are no replies, and replies to behind it have been classified."""
    elsewhere = {"network_id": ident("net2")}
    made = snapshot(symmetric=True, dst=router, src=elsewhere | {"fixed_ips": ("10.9.0.1",)})
    also = port("also", "h2", "10.9.0.2", **elsewhere)
    beside = port("beside", "h2", "10.0.0.12")
    open_port = port("open", "h2", "10.9.0.3", port_security=False, **elsewhere)
    (classifier,) = made.chain.flow_classifiers
    made = replace(
        made,
        ports={**made.ports, **{one.id: one for one in (also, beside, open_port)}},
        sources={classifier.id: (ident("src"), ident("beside"), ident("gone"))},
        destinations={classifier.id: (ident("dst"), ident("also"), ident("open"))},
    )
    reverse = plan_chain(made, TUNNEL_IPS).plan.paths[1]
    forwarded = {s.port_id: s.forwarded for s in reverse.sources}
    ends = sorted(("src", "also"), key=ident)  # equal plans must be equal on all hosts
    assert forwarded == {
        ident("dst"): tuple({"src": "10.9.0.1", "also": "10.9.0.2"}[name] for name in ends),
        ident("also"): (),
        ident("open"): ("10.0.0.12",),
    }


def test_end_of_a_preceding_chain_with_a_tap_and_functions_that_bridge():
    segment = Segment("vlan", "physnet1", 100)
    first = snapshot(pp3_out={"segment": segment})
    second = after(first)
    group = first.chain.port_pair_groups[1]
    bridging = replace(group, port_pairs=(pair("pp3", kind=FunctionKind.L2),))
    for groups, senders, origins in (
        ((group,), ["pp3-out"], ["pp3-out"]),
        ((bridging,), ["pp3-out"], []),
        ((group, replace(group, id=ident("tap"), tap_enabled=True)), ["pp3-out"], ["pp3-out"]),
        ((replace(group, tap_enabled=True),), [], []),
    ):
        before = replace(first.chain, port_pair_groups=groups)
        made = replace(second, predecessors=(before,))
        (entry,) = plan_chain(made, TUNNEL_IPS).plan.paths[0].entries
        assert [one.port_id for one in entry.senders] == list(map(ident, senders))
        assert [one.port_id for one in entry.origins] == list(map(ident, origins))
        assert entry.hops == len(groups)
        for one in entry.senders:
            assert one == plans.Source(
                0, ident("pp3-out"), "h3", "192.0.2.3", mac("pp3-out"), ("10.0.0.31",),
                plans.Segment("physnet1", 100),
            )  # fmt: skip


MPLS = {"correlation": "mpls"}
DOWN = {"admin_state_up": False}


@pytest.mark.parametrize(
    ("first_group", "networks", "expected"),
    [
        # Packets continue on the networks of the functions that route; without all, also on theirs.
        ([{}], {"pp1-out": "net2"}, True),
        ([{}], {"pp1-out": "net2", "pp3-out": "net2"}, False),
        ([{}, MPLS], {"pp1-out": "net2", "pp3-out": "net2"}, True),
        ([{}, {}], {"pp1-out": "net2", "pp2-out": "net3", "pp3-out": "net2"}, True),
        ([{}, {}], {"pp1-out": "net2", "pp2-out": "net2", "pp3-out": "net2"}, False),
        ([MPLS], {"pp1-out": "net2"}, False),
        (None, {"pp1-out": "net2"}, False),  # a tap
        ([], {}, False),
        ([], {"pp3-out": "net2"}, True),
        # Beside a function that bridges, packets stay on the networks where they were.
        ([{}, {"kind": FunctionKind.L2}], {"pp1-out": "net2", "pp3-out": "net2"}, True),
        # A pair without traffic may still return packets.
        ([{}, DOWN], {"pp1-out": "net2", "pp2-out": "net3", "pp3-out": "net2"}, True),
        ([{}, DOWN], {"pp1-out": "net2", "pp2-out": "net2", "pp3-out": "net2"}, False),
        ([DOWN, DOWN], {"pp1-out": "net2", "pp2-out": "net2", "pp3-out": "net2"}, True),
    ],
)
def test_on_which_networks_packets_are(first_group, networks, expected):
    made = snapshot()
    first, second = made.chain.port_pair_groups
    kinds = [{}] if first_group is None else first_group
    pairs = tuple(pair(f"pp{number}", **kind) for number, kind in enumerate(kinds, 1))
    first = replace(
        first,
        port_pairs=pairs,
        tap_enabled=first_group is None,
        failure_mode=FailureMode.OPEN if kinds == [DOWN, DOWN] else FailureMode.CLOSED,
    )
    second = replace(second, port_pairs=(pair("pp3", **MPLS),))
    ports = dict(made.ports)
    for name, network in networks.items():
        ports[ident(name)] = replace(ports[ident(name)], network_id=ident(network))
    chain = replace(made.chain, port_pair_groups=(first, second))
    hops = plan_chain(replace(made, ports=ports, chain=chain), TUNNEL_IPS).plan.paths[0].hops
    assert [target.off_network for target in hops[1].targets] == [expected]


def test_packets_of_a_following_chain_are_on_the_network_of_the_functions_before_it():
    for network, expected in (("net1", False), ("net2", True)):
        second = after(snapshot(), **{"pp3-out": {"network_id": ident(network)}})
        (group,) = second.chain.port_pair_groups
        aware = replace(group, port_pairs=(replace(group.port_pairs[0], **MPLS),))
        second = replace(second, chain=replace(second.chain, port_pair_groups=(aware,)))
        (target,) = plan_chain(second, TUNNEL_IPS).plan.paths[0].hops[0].targets
        assert target.off_network is expected


def test_nothing_is_off_a_network_that_is_not_known():
    made = snapshot(src={"host": ""})
    aware = replace(made.chain.port_pair_groups[1], port_pairs=(pair("pp3", **MPLS),))
    made = replace(made, chain=replace(made.chain, port_pair_groups=(aware,)))
    assert not plan_chain(made, {}).plan.paths[0].hops[0].targets[0].off_network


def with_groups(made, *changes):
    groups = tuple(
        replace(group, **change)
        for group, change in zip(made.chain.port_pair_groups, changes, strict=True)
    )
    return replace(made, chain=replace(made.chain, port_pair_groups=groups))


def test_functions_without_traffic_may_still_return_packets():
    """Those of connections that began before; replies pass them the other way around."""
    down = (pair("pp1"), pair("pp2", **DOWN))
    made = with_groups(snapshot(symmetric=True), {"port_pairs": down}, {})
    forward, reverse = plan_chain(made, TUNNEL_IPS).plan.paths
    (getting,), (returning,) = forward.hops[0].targets, forward.hops[0].returning
    assert (getting.pair_id, getting.weight) == (ident("pp1"), 1)
    assert (returning.pair_id, returning.weight) == (ident("pp2"), 0)
    for there, back in zip(forward.hops[0].functions, reverse.hops[1].functions, strict=True):
        assert (back.ingress_port, back.ingress_mac) == (there.egress_port, there.egress_mac)
        assert (back.egress_port, back.egress_mac) == (there.ingress_port, there.ingress_mac)
        assert back.return_macs == (there.ingress_mac,)
    assert reverse.hops[1].returning[0].pair_id == ident("pp2")


def test_packets_skip_a_group_that_fails_open():
    names = ("pp1", "pp2")
    all_down = {"port_pairs": tuple(pair(name, **DOWN) for name in names)}
    for mode, reasons in ((FailureMode.OPEN, 0), (FailureMode.CLOSED, 1)):
        planned = plan_chain(
            with_groups(snapshot(), all_down | {"failure_mode": mode}, {}), TUNNEL_IPS
        )
        hop = planned.plan.paths[0].hops[0]
        assert hop.targets == ()
        assert [one.pair_id for one in hop.returning] == sorted(map(ident, names))
        assert hop.passed is (mode is FailureMode.OPEN)
        assert len(planned.availability.down_reasons) == reasons


def test_both_ports_of_a_pair_must_be_on_one_host():
    planned = plan(pp3_out={"host": "h1"})
    assert "its ports are on different hosts" in planned.availability.down_reason


def test_a_kept_pair_that_fails_its_health_check_gets_no_new_flows():
    failed = replace(snapshot(), failed={ident("pp2"): "no answer"})
    kept = with_groups(failed, {"on_failure": OnFailure.KEEP}, {})
    hop = plan_chain(kept, TUNNEL_IPS).plan.paths[0].hops[0]
    assert [(one.pair_id, one.weight) for one in hop.targets] == [
        (ident("pp1"), 1),
        (ident("pp2"), 0),
    ]


def test_endpoints_of_hosts_that_check_functions_are_watched():
    """In one order, as equal plans must be equal on all hosts; a host may have no tunnels."""
    checked = {"health_check": HealthCheck.PING}
    made = with_groups(snapshot(), checked, checked)
    found = plan_chain(made, {"h1": "192.0.2.9", "h3": "192.0.2.3"}).plan
    assert [probe.host for probe in found.probes] == ["h1", "h2", "h3"]
    assert found.watched == ("192.0.2.3", "192.0.2.9")
    assert plan_chain(made, {}).plan.watched == ()


def test_generations_of_a_chain_differ_in_its_number():
    for generation, expected in ((0, 8), (1, 8 | ODD_GENERATION), (2, 8)):
        made = snapshot()
        made = replace(made, chain=replace(made.chain, chain_id=8, generation=generation))
        assert plan_chain(made, TUNNEL_IPS).plan.path_id == expected


def test_header_fields_have_the_id_of_their_classifier():
    for path in plan(symmetric=True).plan.paths:
        assert [one.id for one in path.classifiers] == [ident("fc1")]


def test_functions_without_traffic_may_be_on_another_network_too():
    made = snapshot(pp3_out={"network_id": ident("net2")})
    made = with_groups(made, {}, {"port_pairs": (pair("pp3", **MPLS, **DOWN),)})
    (returning,) = plan_chain(made, TUNNEL_IPS).plan.paths[0].hops[1].returning
    assert returning.off_network is True


def test_flows_that_stay_with_failed_functions_skip_them_if_their_group_fails_open():
    failed = dict.fromkeys(map(ident, ("pp1", "pp2")), "no answer")
    kept = {"on_failure": OnFailure.KEEP, "failure_mode": FailureMode.OPEN}
    made = with_groups(replace(snapshot(), failed=failed), kept, {})
    hop = plan_chain(made, TUNNEL_IPS).plan.paths[0].hops[0]
    assert (hop.targets, hop.passed) == ((), True)
    assert {one.pair_id for one in hop.returning} == failed.keys()
