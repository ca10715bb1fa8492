"""Named samples of chains of two projects behind a function that they share.

In the first ones, packets of one tenant came out of the other tenant's port.
`test_isolation_search.py` looks for more.
"""

import itertools
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portchain.core import rules
from portchain.core.model import (
    WITHDRAWN_GROUP,
    AddressPair,
    ChainSnapshot,
    FunctionKind,
    PortPair,
    PortPairGroup,
    PortRole,
)
from portchain.dataplane.planning import attribution
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, ident
from tests.shared_functions import FUNCTION_ADDRESSES, PROVIDER, T1, T2, World, is_accepted
from tests.simulated_network import Header

APART = {"t1vm1": "10.0.0.1", "t1vm2": "10.0.0.2", "t2vm1": "10.0.0.3", "t2vm2": "10.0.0.4"}
SAME = {"t1vm1": "10.0.0.1", "t1vm2": "10.0.0.2", "t2vm1": "10.0.0.1", "t2vm2": "10.0.0.2"}
THROUGH = {T1: ("shared", "t1f2"), T2: ("shared", "t2f2")}


def refusal(chain: ChainSnapshot, *others: ChainSnapshot) -> rules.Violation:
    with pytest.raises(rules.Violation) as refused:
        attribution.check_isolated([chain], others)
    return refused.value


def both(world: World, one: dict[str, Any], other: dict[str, Any]) -> list[ChainSnapshot]:
    return [world.chain(T1, THROUGH[T1], **one), world.chain(T2, THROUGH[T2], **other)]


def test_destination_ports_with_the_same_address_on_two_networks_do_meet() -> None:
    prefix = {"source_prefix": "10.0.0.0/30"}
    one, other = both(
        World(SAME),
        prefix | {"logical_destination_port": ident("t1vm2")},
        prefix | {"logical_destination_port": ident("t2vm2")},
    )
    for chain, rival in ((one, other), (other, one)):
        violation = refusal(chain, rival)
        assert violation.attribute == "port_pair_groups"
        assert "correlation mpls or nsh" in violation.rule
        assert "a group of your own" in violation.rule
        assert rival.chain.flow_classifiers[0].id not in violation.rule
        assert rival.chain.id not in violation.rule


def test_neither_ports_nor_mappings_of_ports_tell_projects_apart() -> None:
    mapping = {"destination_port_range_min": 51, "destination_port_range_max": 51}
    world = World(SAME, mappings={"t2f1": mapping})
    one = world.chain(
        T1, THROUGH[T1], destination_ports=(51, 51), logical_source_port=ident("t1vm1")
    )
    other = world.chain(
        T2,
        ("t2f1", "shared", "t2f2"),
        destination_ports=(50, 50),
        logical_source_port=ident("t2vm1"),
    )
    assert refusal(other, one).attribute == "port_pair_groups"
    without_mapping = replace(other.chain, port_pair_groups=one.chain.port_pair_groups)
    refusal(replace(other, chain=without_mapping), one)


def test_named_sources_with_the_same_address_meet_if_one_classifier_is_narrower() -> None:
    one, other = both(
        World(SAME),
        {"logical_source_port": ident("t1vm1")},
        {"logical_source_port": ident("t2vm1"), "destination_ports": (50, 50)},
    )
    refusal(other, one)
    refusal(one, other)


def test_a_borrower_must_name_its_sources() -> None:
    world = World(APART)
    chain = world.chain(T1, THROUGH[T1])
    assert "logical_source_port or source_ip_prefix" in refusal(chain).rule
    attribution.check_isolated([world.chain(T1, ("shared",))])  # returned to their destination
    attribution.check_isolated([replace(world, owner=T1).chain(T1, THROUGH[T1])])


def test_the_functions_own_packets_enter_no_chain_of_a_borrower() -> None:
    world = World(APART)
    chain = world.chain(T1, THROUGH[T1], source_prefix="10.0.0.0/24")
    attribution.check_isolated([chain])
    world.check_packets([chain])


def test_what_a_shared_function_translates_is_not_told_from_what_it_sends() -> None:
    for prefix in (f"{FUNCTION_ADDRESSES['shared-out']}/32", "198.51.100.1/32"):
        world = World(APART, mappings={"shared": {"source_ip_prefix": prefix}})
        chain = world.chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
        violation = refusal(chain)
        assert "the functions translate source addresses" in violation.rule
        assert "correlation mpls or nsh" in violation.rule
        # Sent to their destination, the function's own packets continue alike.
        ends = world.chain(T1, ("shared",), logical_source_port=ident("t1vm1"))
        attribution.check_isolated([ends])


@pytest.mark.parametrize(
    ("pair", "accepted"),
    [
        (None, True),
        ("198.51.100.0/24", False),
        ("198.51.100.1/32", False),
        ("198.51.100.2/32", True),
        ("0.0.0.0/0", True),
    ],
)
def test_a_function_may_send_from_its_allowed_addresses(pair: str | None, accepted: bool) -> None:
    """Behind a borrower's function that translates, only the prefix of the packets is known."""
    world = World(APART, mappings={"t1f1": {"source_ip_prefix": "198.51.100.1/32"}})
    chain = world.chain(T1, ("t1f1", "shared", "t1f2"), logical_source_port=ident("t1vm1"))
    port = chain.ports[ident("shared-out")]
    pairs = (AddressPair(pair, port.mac_address),) if pair else ()
    ports = {**chain.ports, port.id: replace(port, address_pairs=pairs)}
    assert is_accepted(replace(chain, ports=ports), []) is accepted


def test_a_source_with_an_allowed_address_of_the_shared_function() -> None:
    world = World(APART)
    chain = world.chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    port = chain.ports[ident("shared-out")]
    for pair, accepted in (("10.0.0.1/32", False), ("10.0.0.0/24", True)):
        pairs = (AddressPair(pair, port.mac_address),)
        ports = {**chain.ports, port.id: replace(port, address_pairs=pairs)}
        assert is_accepted(replace(chain, ports=ports), []) is accepted


def test_replies_and_requests_meet_at_a_function_with_a_single_port() -> None:
    world = World(SAME)
    one, other = both(
        world,
        {"logical_source_port": ident("t1vm1"), "destination_prefix": "10.0.0.2/32"},
        {"logical_source_port": ident("t2vm2"), "destination_prefix": "10.0.0.1/32"},
    )
    attribution.check_isolated([other], [one])
    first, last = one.chain.port_pair_groups
    single = replace(first, port_pairs=(replace(first.port_pairs[0], ingress=ident("shared-out")),))
    symmetric = [
        replace(
            each,
            chain=replace(
                each.chain,
                symmetric=True,
                port_pair_groups=(each.chain.port_pair_groups[1], single),
            ),
        )
        for each in (one, other)
    ]
    refusal(symmetric[1], symmetric[0])
    assert last not in symmetric[1].chain.port_pair_groups


def test_a_following_chain_is_compared_by_its_prefix_alone() -> None:
    world = World(APART)
    one, other = both(
        world,
        {"logical_source_port": ident("t1vm1")},
        {"logical_source_port": ident("t2vm1"), "source_prefix": "10.0.0.0/29"},
    )
    attribution.check_isolated([other], [one])
    following = replace(other, predecessors=(world.chain(T2, ("t2f1",)).chain,))
    refusal(following, [one][0])
    unnamed = world.chain(T2, THROUGH[T2], logical_source_port=ident("t2vm1"))
    refusal(replace(unnamed, predecessors=following.predecessors))


def test_functions_with_a_header_are_shared_without_limits() -> None:
    one, other = both(World(SAME), {}, {})
    aware = [
        replace(
            each,
            chain=replace(
                each.chain,
                port_pair_groups=tuple(
                    replace(
                        g, port_pairs=tuple(replace(p, correlation="mpls") for p in g.port_pairs)
                    )
                    for g in each.chain.port_pair_groups
                ),
            ),
        )
        for each in (one, other)
    ]
    attribution.check_isolated(aware[:1], aware[1:])


def test_a_group_change_is_refused_without_naming_chains() -> None:
    one, other = both(
        World(SAME),
        {"logical_source_port": ident("t1vm1")},
        {"logical_source_port": ident("t2vm1")},
    )
    group = one.chain.port_pair_groups[0]
    with pytest.raises(rules.Violation, match="several projects") as refused:
        attribution.check_isolated([one, other], attribute="port_pairs", changed=group)
    for chain in (one.chain, other.chain):
        assert chain.id not in refused.value.rule
        assert chain.flow_classifiers[0].id not in refused.value.rule


def test_pairs_of_two_groups_with_one_egress_port_count_as_one_function() -> None:
    one, other = both(
        World(SAME),
        {"logical_source_port": ident("t1vm1")},
        {"logical_source_port": ident("t2vm1")},
    )
    shared, last = other.chain.port_pair_groups
    elsewhere = replace(
        shared,
        id=ident("another group"),
        port_pairs=(replace(shared.port_pairs[0], ingress=ident("third port")),),
    )
    apart = replace(other, chain=replace(other.chain, port_pair_groups=(elsewhere, last)))
    refusal(apart, one)


def test_replies_count_if_both_chains_are_symmetric() -> None:
    """Both chains end with the shared group; in reverse they go on to groups of their own."""
    world = World(SAME)
    for hers in (True, False):
        for his in (True, False):
            one = world.chain(T1, ("t1f1", "shared"), hers, logical_source_port=ident("t1vm1"))
            other = world.chain(T2, ("t2f1", "shared"), his, logical_source_port=ident("t2vm1"))
            if hers and his:
                refusal(other, one)
            else:
                attribution.check_isolated([other], [one])
    ends = [
        world.chain(project, ("shared",), True, logical_source_port=ident(f"{project}vm1"))
        for project in (T1, T2)
    ]
    attribution.check_isolated(ends[:1], ends[1:])


def test_packets_must_go_on_the_same_way_to_be_left_unattributed() -> None:
    """One chain ends with the shared group, the other goes on to a group or chain of its own."""
    world = World(SAME)
    ends, also_ends = (
        world.chain(project, ("shared",), logical_source_port=ident(f"{project}vm1"))
        for project in (T1, T2)
    )
    attribution.check_isolated([ends], [also_ends])
    goes_on = world.chain(T2, THROUGH[T2], logical_source_port=ident("t2vm1"))
    followed = replace(also_ends, successors=(world.chain(T2, ("t2f2",)).chain,))
    for other in (goes_on, followed):
        refusal(ends, other)
        refusal(other, ends)


def test_replies_of_a_chain_that_others_follow_end_with_its_first_group() -> None:
    world = World(SAME)
    chains = [
        replace(
            world.chain(
                project,
                ("shared", f"{project}f2"),
                True,
                logical_source_port=ident(f"{project}vm1"),
            ),
            successors=(world.chain(project, (f"{project}f1",)).chain,),
        )
        for project in (T1, T2)
    ]
    backward = [
        one
        for chain in chains
        for one in attribution.selectors(chain)
        if one.reverse and one.port == ident("shared-in")
    ]
    assert [one.to_destination for one in backward] == [True, True]


def test_replies_are_compared_as_replies() -> None:
    """The named destinations have different addresses, so replies come from different ports."""
    world = World(APART)
    one, other = (
        world.chain(
            project,
            (f"{project}f1", "shared"),
            True,
            source_prefix="10.0.0.0/24",
            logical_destination_port=ident(f"{project}vm2"),
        )
        for project in (T1, T2)
    )
    attribution.check_isolated([other], [one])
    open_ended = world.chain(T2, ("t2f1", "shared"), True, source_prefix="10.0.0.0/24")
    refusal(open_ended, one)


ROUTING = PortPair("pp", "provider", ident("shared-in"), ident("shared-out"))
BRIDGING = replace(ROUTING, kind=FunctionKind.L2)
AWARE = replace(ROUTING, correlation="mpls")


@pytest.mark.parametrize(
    ("pairs", "accepted_at_the_end", "accepted_before_others"),
    [
        # Functions that route send the packets of both chains to their destination, whichever
        # chain the packets belong to. Functions that bridge return them to the chain.
        ((ROUTING,), True, False),
        ((BRIDGING,), False, False),
        ((ROUTING, replace(BRIDGING, id="more")), False, False),
        ((AWARE,), True, True),
        ((AWARE, ROUTING), True, False),
        ((), True, True),
    ],
)
def test_the_kinds_of_a_shared_groups_functions_decide(
    pairs: tuple[PortPair, ...], accepted_at_the_end: bool, accepted_before_others: bool
) -> None:
    world = World(SAME)
    for groups, accepted in (
        ({T1: ("shared",), T2: ("shared",)}, accepted_at_the_end),
        (THROUGH, accepted_before_others),
    ):
        chains = [
            world.chain(project, groups[project], logical_source_port=ident(f"{project}vm1"))
            for project in (T1, T2)
        ]
        shared = replace(chains[0].chain.port_pair_groups[0], port_pairs=pairs)
        chains = [
            replace(
                one,
                chain=replace(
                    one.chain, port_pair_groups=(shared, *one.chain.port_pair_groups[1:])
                ),
            )
            for one in chains
        ]
        if accepted:
            attribution.check_isolated(chains, attribute="port_pairs", changed=shared)
        else:
            with pytest.raises(rules.Violation, match="port_pairs"):
                attribution.check_isolated(chains, attribute="port_pairs", changed=shared)


def test_a_chain_that_lost_a_group_drops_its_packets() -> None:
    world = World(APART)
    chain = world.chain(T1, ("t1f2",), logical_source_port=ident("t1vm1"))
    lost = replace(chain.chain, port_pair_groups=(WITHDRAWN_GROUP, *chain.chain.port_pair_groups))
    hosts = world.hosts([replace(chain, chain=lost)])
    header = Header(world.addresses["t1vm1"], world.addresses["t1vm2"], 17, 1, 2)
    assert world.functions_visited(hosts, header, "port", "t1vm1") == ([], "dropped")


def test_a_chain_with_an_empty_group_takes_nothing_at_a_shared_function() -> None:
    world = World(SAME)
    full = world.chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    shared, last = full.chain.port_pair_groups
    gap = replace(full.chain, port_pair_groups=(shared, replace(last, port_pairs=())))
    empty = replace(full, chain=gap)
    other = world.chain(T2, THROUGH[T2], logical_source_port=ident("t2vm1"))
    attribution.check_isolated([other], [empty])
    attribution.check_isolated([empty], [other])
    refusal(full, other)
    hosts = world.hosts([empty])
    header = Header(world.addresses["t1vm1"], world.addresses["t1vm2"], 17, 1, 2)
    assert world.functions_visited(hosts, header, "port", "t1vm1") == ([], "dropped")
    plan = plan_chain(empty, TUNNEL_IPS).plan
    assert [hop.targets for path in plan.paths for hop in path.hops] == [(), ()]


def test_filling_the_gap_names_the_borrowers_own_classifier() -> None:
    one, other = both(
        World(SAME),
        {"logical_source_port": ident("t1vm1")},
        {"logical_source_port": ident("t2vm1")},
    )
    filled = one.chain.port_pair_groups[-1]
    with pytest.raises(rules.Violation) as refused:
        attribution.check_isolated([one], [other], attribute="port_pairs", changed=filled)
    assert one.chain.flow_classifiers[0].id in refused.value.rule
    assert "several projects" not in refused.value.rule


# --- What a chain takes at a shared function.


def sources_at(port: str, chain: ChainSnapshot) -> list[tuple[str, ...] | None]:
    found = [one for one in attribution.selectors(chain) if one.port == ident(port)]
    return [one.sources for one in found]


def routing(chain: ChainSnapshot, name: str) -> ChainSnapshot:
    """Return the chain with a VM's port as that of a router."""
    port = replace(chain.ports[ident(name)], role=PortRole.ROUTER)
    return replace(chain, ports={**chain.ports, ident(name): port})


def test_a_mapping_behind_the_shared_function_changes_nothing_before_it() -> None:
    mapping = {"source_ip_prefix": "198.51.100.1/32"}
    named = {"logical_source_port": ident("t1vm1")}
    later = World(APART, mappings={"t1f2": mapping}).chain(T1, THROUGH[T1], **named)
    assert sources_at("shared-out", later) == [("10.0.0.1/32",)]
    before = World(APART, mappings={"t1f1": mapping}).chain(T1, ("t1f1", "shared"), **named)
    assert sources_at("shared-out", before) == [("198.51.100.1/32",)]


def test_only_what_changes_packets_before_a_hop_counts_there() -> None:
    world = World(APART, mappings={"t1f1": {"source_ip_prefix": "198.51.100.1/32"}})
    named = {"logical_source_port": ident("t1vm1")}
    for groups, translated in (
        (("t1f2", "t1f1", "shared"), True),
        (("t1f1", "t1f2", "shared"), True),
        (("t1f2", "shared", "t1f1"), False),
    ):
        chain = world.chain(T1, groups, **named)
        (one,) = (each for each in attribution.selectors(chain) if each.port == ident("shared-out"))
        address = "198.51.100.1/32" if translated else "10.0.0.1/32"
        assert (one.sources, one.translated) == ((address,), translated)
        assert one.senders == (None if translated else (address,))
        assert not any(each.translated for each in attribution.selectors(chain)[:1]) or (
            groups[0] == "t1f1"
        )
    assert sources_at("t1f2-out", chain) == [None], "a group of its own has all"


def test_which_groups_projects_share() -> None:
    chain = World(APART).chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    shared, last = chain.chain.port_pair_groups

    def sources(group: PortPairGroup, *more: PortPairGroup) -> list[tuple[str, ...] | None]:
        groups = (group, *more, last)
        changed = replace(chain, chain=replace(chain.chain, port_pair_groups=groups))
        targets = plan_chain(changed, TUNNEL_IPS).plan.paths[0].hops[0].targets
        assert bool(targets) == (not more or group.project_id == T1)
        return sources_at("shared-out", changed)

    named = [("10.0.0.1/32",)]
    assert sources(shared) == named
    assert sources(replace(shared, shared=False)) == named, "of another project"
    assert sources(replace(shared, project_id=T1)) == named, "shared with others"
    own = replace(shared, project_id=T1, shared=False)
    assert sources(own) == [None]
    (pair,) = shared.port_pairs
    aware = replace(pair, id="aware", egress=ident("t1f1-out"), correlation="mpls")
    assert sources(replace(shared, port_pairs=(pair, aware))) == named
    # A chain that drops everything sends to its own functions only.
    empty = replace(shared, id="empty", port_pairs=())
    assert sources(shared, empty) == []
    assert sources(own, empty) == [None]


def attributable(chain: ChainSnapshot) -> dict[str, bool]:
    names = {ident(f"shared-{side}"): side for side in ("in", "out")}
    return {
        names[one.port]: one.attributable
        for one in attribution.selectors(chain)
        if one.port in names
    }


def test_what_names_the_packets_of_a_borrower_in_both_directions() -> None:
    ends = {"source_prefix": "10.0.0.0/30"}, {"destination_prefix": "10.0.0.0/30"}

    def both_ways(**classifier: Any) -> dict[str, bool]:
        groups = ("t1f1", "shared", "t1f2")
        return attributable(World(APART).chain(T1, groups, True, **classifier))

    assert both_ways() == {"in": False, "out": False}
    assert both_ways(**ends[0]) == {"in": True, "out": True}
    assert both_ways(**ends[1]) == {"in": True, "out": False}
    # A named end with an address of the function's.
    world = World({**APART, "t1vm2": FUNCTION_ADDRESSES["shared-in"]})
    named = {"logical_destination_port": ident("t1vm2"), **ends[0]}
    chain = world.chain(T1, ("t1f1", "shared", "t1f2"), True, **named)
    assert attributable(chain) == {"in": False, "out": True}


def test_replies_are_not_translated_by_what_translates_sources() -> None:
    world = World(APART, mappings={"shared": {"source_ip_prefix": "198.51.100.1/32"}})
    named = {
        "logical_source_port": ident("t1vm1"), "logical_destination_port": ident("t1vm2")
    }  # fmt: skip
    chain = world.chain(T1, ("t1f1", "shared"), True, **named)
    assert attributable(chain) == {"in": True, "out": True}


def test_sources_that_nobody_named_are_known_by_prefix_once_they_are_translated() -> None:
    own = FUNCTION_ADDRESSES["shared-out"]
    for prefix, expected in ((f"{own}/32", False), ("198.51.100.1/32", True)):
        world = World(APART, mappings={"t1f1": {"source_ip_prefix": prefix}})
        chain = world.chain(T1, ("t1f1", "shared", "t1f2"), source_prefix="10.0.0.0/29")
        assert attributable(chain) == {"out": expected}


def test_replies_have_the_address_that_requests_were_mapped_to() -> None:
    world = World(APART, mappings={"t1f2": {"destination_ip_prefix": "198.51.100.1/32"}})
    named = {"logical_source_port": ident("t1vm1"), "logical_destination_port": ident("t1vm2")}
    chain = world.chain(T1, ("t1f2", "shared"), True, **named)
    assert sources_at("shared-in", chain) == [("198.51.100.1/32",)]
    without = World(APART).chain(T1, ("t1f2", "shared"), True, **named)
    assert sources_at("shared-in", without) == [("10.0.0.2/32",)]


def test_a_shared_tap_returns_nothing() -> None:
    chain = World(SAME).chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    shared, last = chain.chain.port_pair_groups
    groups = (replace(shared, tap_enabled=True), last)
    tapped = replace(chain, chain=replace(chain.chain, port_pair_groups=groups))
    assert sources_at("shared-out", tapped) == []
    hops = [hop for path in plan_chain(tapped, TUNNEL_IPS).plan.paths for hop in path.hops]
    assert [hop.accepted_sources for hop in hops] == [(), ()]


def test_what_a_router_sends_is_attributed_without_addresses_of_the_functions() -> None:
    for prefix, sources in (("198.51.100.0/24", ("198.51.100.0/24",)), ("10.0.0.0/24", ())):
        named = {"logical_source_port": ident("t1vm1"), "source_prefix": prefix}
        chain = routing(World(APART).chain(T1, THROUGH[T1], **named), "t1vm1")
        assert sources_at("shared-out", chain) == [sources]
        assert attribution.selectors(chain)[0].senders is None, "no flow knows who sends there"


def test_a_prefix_of_all_addresses_names_no_source() -> None:
    chain = World(APART).chain(T1, THROUGH[T1], source_prefix="0.0.0.0/0")
    assert "Name the sources" in refusal(chain).rule


def test_replies_of_routers_count_in_symmetric_chains() -> None:
    named = {
        "logical_destination_port": ident("t1vm2"),
        "destination_prefix": "10.0.0.0/24",
        "logical_source_port": ident("t1vm1"),
    }
    for symmetric in (False, True):
        chain = World(APART).chain(T1, THROUGH[T1], symmetric, **named)
        (classifier,) = chain.chain.flow_classifiers
        chain = replace(routing(chain, "t1vm2"), destinations={classifier.id: (ident("t1vm2"),)})
        found = {(one.id, port.id) for one, port in attribution.unattributable_routers(chain)}
        assert found == ({(classifier.id, ident("t1vm2"))} if symmetric else set())


@pytest.mark.parametrize("symmetric", [False, True])
def test_packets_of_routers_must_name_a_prefix_without_the_functions(symmetric: bool) -> None:
    """The first classifier's source is no router; the second one's is, and so is a missing port."""
    world = World(APART, mappings={"t1f1": {"source_ip_prefix": "198.51.100.0/24"}})

    def found(*groups: str, **classifier: Any) -> list[tuple[str, str]]:
        chain = world.chain(T1, groups, symmetric, logical_source_port=ident("t1vm1"))
        (fc,) = chain.chain.flow_classifiers
        named = replace(fc, id="routed", logical_source_port=ident("t1vm2"), **classifier)
        both = replace(chain.chain, flow_classifiers=(fc, named))
        sources = {**chain.sources, "routed": (ident("gone"), ident("t1vm2"))}
        chain = routing(replace(chain, chain=both, sources=sources, destinations={}), "t1vm2")
        return [(one.id, port.id) for one, port in attribution.unattributable_routers(chain)]

    assert found("shared", "t1f2") == [("routed", ident("t1vm2"))]
    assert found("shared", "t1f2", source_prefix="10.0.0.0/24") == [("routed", ident("t1vm2"))]
    assert found("shared", "t1f2", source_prefix="198.51.100.0/24") == []
    assert found("t1f2") == []
    assert found("t1f1", "shared") == [], "known by the prefix that it translates to"


def test_routers_and_like_senders_do_not_matter_behind_a_translation() -> None:
    """There, packets have the prefix that the function translates to, whoever has sent them."""
    world = World(APART, mappings={"t1f1": {"source_ip_prefix": "10.0.0.0/24"}})
    named = {"logical_source_port": ident("t1vm1")}
    chain = routing(world.chain(T1, ("t1f1", "shared", "t1f2"), **named), "t1vm1")
    assert list(attribution.unattributable_routers(chain)) == []
    same = replace(world, addresses=APART | {"t1vm1": FUNCTION_ADDRESSES["shared-out"]})
    chain = same.chain(T1, ("t1f1", "shared", "t1f2"), **named)
    assert list(attribution.senders_like_functions(chain)) == []


def test_only_requests_come_from_a_preceding_chain() -> None:
    """Replies to them come from the destination that the user named."""
    world = World(APART, mappings={"t1f2": {"source_ip_prefix": "198.51.100.1/32"}})
    named = {"source_prefix": "10.0.0.0/29", "logical_destination_port": ident("t1vm2")}
    chain = world.chain(T1, ("t1f1", "shared"), True, **named)
    for earlier, translated in (("t1f1", False), ("t1f2", True)):
        following = replace(chain, predecessors=(world.chain(T1, (earlier,)).chain,))
        found = {
            one.reverse: (one.senders, one.translated)
            for one in attribution.selectors(following)
            if one.group.shared
        }
        assert found == {False: (None, translated), True: (("10.0.0.2/32",), False)}


def test_packets_are_compared_with_the_addresses_that_a_shared_function_translates_to() -> None:
    world = World(APART, mappings={"shared": {"source_ip_prefix": "198.51.100.1/32"}})
    chain = world.chain(T1, ("shared",), logical_source_port=ident("t1vm1"))
    assert sources_at("shared-out", chain) == [("198.51.100.1/32",)]


def test_replies_of_any_machine_are_not_told_from_those_of_a_shared_function() -> None:
    """The function changes the destination of requests, so replies to them may come from all."""
    world = World(APART, mappings={"shared": {"destination_ip_prefix": "198.51.100.1/32"}})
    chain = world.chain(T1, ("t1f1", "shared", "t1f2"), True, source_prefix="10.0.0.0/29")
    assert attributable(chain) == {"in": False, "out": True}


def test_functions_whose_port_no_longer_exists_are_compared_without_it() -> None:
    world = World(APART, mappings={"t1f1": {"source_ip_prefix": "198.51.100.1/32"}})
    chain = world.chain(T1, ("t1f1", "shared", "t1f2"), logical_source_port=ident("t1vm1"))
    left = {port: one for port, one in chain.ports.items() if port != ident("shared-in")}
    assert attributable(replace(chain, ports=left)) == {"out": True}


def test_sources_that_are_accepted_behind_each_hop() -> None:
    translation = {"source_ip_prefix": "198.51.100.1/32"}

    def accepted(world: World, *groups: str) -> list[tuple[tuple[str, ...], ...]]:
        chain = world.chain(T1, groups, logical_source_port=ident("t1vm1"))
        (fc,) = chain.chain.flow_classifiers
        routed = replace(
            fc, id="r", logical_source_port=ident("t1vm2"), source_prefix="10.9.0.0/24"
        )
        both = replace(chain.chain, flow_classifiers=(fc, routed))
        sources = {**chain.sources, "r": (ident("t1vm2"),)}
        plan = plan_chain(
            routing(replace(chain, chain=both, sources=sources), "t1vm2"), TUNNEL_IPS
        ).plan
        return [hop.accepted_sources for hop in plan.paths[0].hops]

    own = (("10.0.0.1/32",), ("10.9.0.0/24",))
    assert accepted(World(APART), "t1f1", "shared", "t1f2") == [(), own, ()]
    translated = (("198.51.100.1/32",), ("198.51.100.1/32",))
    before = World(APART, mappings={"t1f1": translation})
    assert accepted(before, "t1f1", "shared") == [(), translated]
    behind = World(APART, mappings={"t1f2": translation})
    assert accepted(behind, "shared", "t1f2") == [own, ()]
    like_function = World(APART | {"t1vm1": FUNCTION_ADDRESSES["shared-out"]})
    assert accepted(like_function, "shared") == [((), ("10.9.0.0/24",))]
    there = World(APART, mappings={"shared": translation})
    assert accepted(there, "t1f1", "shared") == [(), translated]


def test_accepted_sources_have_one_order() -> None:
    """Equal plans of one revision must be equal on all hosts."""
    chain = World(APART).chain(T1, ("shared", "t1f2"), source_prefix="10.0.0.0/29")
    (fc,) = chain.chain.flow_classifiers
    for vms in (("t1vm1", "t1vm2"), ("t1vm2", "t1vm1")):
        plan = plan_chain(replace(chain, sources={fc.id: tuple(map(ident, vms))}), TUNNEL_IPS).plan
        assert plan.paths[0].hops[0].accepted_sources == (("10.0.0.1/32", "10.0.0.2/32"),)


def test_a_named_source_that_no_longer_exists_sends_nothing() -> None:
    chain = World(APART).chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    left = {port: each for port, each in chain.ports.items() if port != ident("t1vm1")}
    (selector, _) = attribution.selectors(replace(chain, ports=left))
    assert (selector.sources, selector.senders) == ((), None)


def test_a_shared_function_that_translates_to_a_sources_address_is_not_attributable() -> None:
    """It may send from there, although its port security does not say so."""
    world = World(APART, mappings={"shared": {"source_ip_prefix": "10.0.0.1/32"}})
    chain = world.chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    ports = {port: replace(each, address_pairs=()) for port, each in chain.ports.items()}
    assert "translate source addresses" in refusal(replace(chain, ports=ports)).rule


RANGES = st.sampled_from(
    ["10.0.0.0/28", "10.0.0.0/30", "10.0.0.2/31", "10.0.0.3/32", "10.0.0.8/29", "10.0.0.9/32"]
)
TAKEN = st.tuples(st.sampled_from("pqrs"), st.booleans(), st.lists(RANGES, min_size=1, max_size=2))


@given(st.lists(TAKEN, min_size=1, max_size=3), st.lists(TAKEN, max_size=6))
@example(
    [("p", False, ["10.0.0.9/32"])],
    [
        ("q", False, ["10.0.0.0/28"]),
        ("r", False, ["10.0.0.2/31"]),
        ("s", False, ["10.0.0.3/32"]),
    ],
)
@example(
    [("p", False, ["10.0.0.3/32"])],
    [("q", False, ["10.0.0.8/29"]), ("r", False, ["10.0.0.2/31"])],
)
def test_addresses_of_projects_are_compared_as_each_with_each(
    own: list[tuple[str, bool, list[str]]], others: list[tuple[str, bool, list[str]]]
) -> None:
    chain = World(APART).chain(T1, THROUGH[T1], logical_source_port=ident("t1vm1"))
    template = attribution.selectors(chain)[0]
    made = [
        replace(
            template, chain=replace(template.chain, id=str(number), project_id=project),
            classifier=replace(template.classifier, id=str(number)),
            to_destination=ends, sources=tuple(cidrs),
        )
        for number, (project, ends, cidrs) in enumerate([*own, *others])
    ]  # fmt: skip
    at_fault = [
        one
        for one, other in itertools.product(made[: len(own)], made)
        if one.chain.project_id != other.chain.project_id
        and not (one.to_destination and other.to_destination)
        and any(
            ip_network(a).overlaps(ip_network(b))
            for a, b in itertools.product(one.sources or (), other.sources or ())
        )
    ]
    with mock.patch.object(attribution, "selectors", lambda number: [made[number]]):
        try:
            attribution.check_isolated([*range(len(own))], [*range(len(own), len(made))])  # type: ignore[arg-type, list-item]
        except rules.Violation as violation:
            assert f"classifier {at_fault[0].classifier.id}" in violation.rule or (
                at_fault[0].chain.project_id != T1
            )
        else:
            assert not at_fault


def test_messages_about_a_changed_group_name_nothing_that_its_owner_may_not_see() -> None:
    """The owner of a group hears of its chain's classifier only if another group is the reason."""
    one, other = both(
        World(SAME, owner=T1),
        {"logical_source_port": ident("t1vm1")},
        {"logical_source_port": ident("t2vm1")},
    )
    shared, last = one.chain.port_pair_groups
    classifier = one.chain.flow_classifiers[0].id
    for changed, named in (
        (shared, False),
        (last, True),
        (replace(last, project_id="provider"), False),
        (None, True),
    ):
        with pytest.raises(rules.Violation) as refused:
            attribution.check_isolated([one], [other], changed=changed)
        assert (classifier in refused.value.rule) is named


TOLD_APART = (
    " that a port pair group of another project returns cannot be told from those that its "
    "functions send of their own"
)
ALTERNATIVE = (
    "use a group whose pairs have the correlation mpls or nsh in service_function_parameters, or "
    "a group of your own"
)
NAME_SOURCES = (
    f"{TOLD_APART}. Name the sources in the classifier, by logical_source_port or "
    "source_ip_prefix; in a chain that follows another one, by a source_ip_prefix without "
    f"addresses of the functions. Or {ALTERNATIVE}"
)
TRANSLATES = {"shared": {"source_ip_prefix": "198.51.100.1/32"}}


@pytest.mark.parametrize(
    ("mappings", "named", "expected"),
    [
        ({}, {}, f"packets of flow classifier {{}}{NAME_SOURCES}"),
        (
            TRANSLATES,
            {"source_prefix": "10.0.0.0/29"},
            f"packets of flow classifier {{}}{TOLD_APART}: the functions translate source "
            "addresses, and may send from the same ones. Let it be the last group, or "
            f"{ALTERNATIVE}",
        ),
    ],
)
def test_users_are_told_which_packets_cannot_be_attributed(
    mappings: dict[str, dict[str, Any]], named: dict[str, Any], expected: str
) -> None:
    chain = World(APART, mappings=mappings).chain(T1, THROUGH[T1], **named)
    classifier = chain.chain.flow_classifiers[0].id
    assert refusal(chain).rule == expected.format(classifier)
    # The owner of the group hears of no chain.
    group = chain.chain.port_pair_groups[0]
    for changed, rule in (
        (
            group,
            f"port chains of several projects use group {rules.label(group)}, some for packets "
            "whose sources they do not name, so they could take packets that functions of this "
            "kind send of their own; use pairs with the correlation mpls or nsh",
        ),
        (chain.chain.port_pair_groups[1], expected.format(classifier)),
    ):
        with pytest.raises(rules.Violation) as refused:
            attribution.check_isolated([chain], changed=changed)
        assert refused.value.rule == rule


def test_users_are_told_which_replies_cannot_be_attributed() -> None:
    """A function that translates the source of requests does not translate that of replies."""
    chain = World(APART, mappings=TRANSLATES).chain(T1, ("t1f1", "shared"), True)
    (classifier,) = chain.chain.flow_classifiers
    expected = f"replies to packets of flow classifier {classifier.id}{NAME_SOURCES}"
    assert refusal(chain).rule == expected


def test_users_are_told_which_packets_two_projects_would_take() -> None:
    for groups, symmetric, what in (
        (THROUGH, False, "packets"),
        ({T1: ("t1f1", "shared"), T2: ("t2f1", "shared")}, True, "replies to packets"),
    ):
        one, other = (
            World(SAME).chain(
                project, groups[project], symmetric, logical_source_port=ident(f"{project}vm1")
            )
            for project in (T1, T2)
        )
        (classifier,) = one.chain.flow_classifiers
        assert refusal(one, other).rule == (
            f"{what} of flow classifier {classifier.id} that a port pair group of another project "
            "returns could belong to a port chain of another project: chains of two projects "
            "cannot take packets with the same source addresses there. Name other sources, or "
            f"{ALTERNATIVE}"
        )
        group = next(each for each in one.chain.port_pair_groups if each.shared)
        with pytest.raises(rules.Violation) as refused:
            attribution.check_isolated([one], [other], changed=group)
        assert refused.value.rule == (
            f"port chains of several projects use functions of group {rules.label(group)}, and "
            "packets that functions of this kind return could belong to more than one of them; "
            "create a group for each project, or use pairs with the correlation mpls or nsh"
        )


PREFIXES = st.sampled_from(["10.0.0.0/29", "10.0.0.0/31", "10.0.0.1/32", "10.0.0.2/31"])
CHAINS = st.tuples(
    st.sampled_from([T1, T2, PROVIDER]), st.booleans(), st.lists(PREFIXES, min_size=1, max_size=3)
)


def with_prefixes(number: int, project: str, ends: bool, prefixes: list[str]) -> ChainSnapshot:
    """A chain through the shared function; it ends there, or another function follows."""
    world = World(APART)
    groups = ("shared",) if ends else ("shared", "t1f2" if project == T1 else "t2f2")
    made = world.chain(T1 if project == T1 else T2, groups)
    classifiers = tuple(
        replace(fc, id=f"{number}-{index}", source_prefix=prefix, project_id=project)
        for index, prefix in enumerate(prefixes)
        for fc in made.chain.flow_classifiers
    )
    chain = replace(
        made.chain,
        id=str(number),
        project_id=project,
        flow_classifiers=classifiers,
        name=str(number),
    )
    return replace(made, chain=chain, sources={fc.id: () for fc in classifiers})


@given(st.lists(CHAINS, min_size=1, max_size=4), st.lists(CHAINS, max_size=4))
def test_chains_are_compared_as_each_with_each(
    own: list[tuple[str, bool, list[str]]], others: list[tuple[str, bool, list[str]]]
) -> None:
    chains = [with_prefixes(number, *each) for number, each in enumerate([*own, *others])]
    mine = [each for chain in chains[: len(own)] for each in attribution.selectors(chain)]
    everybodys = [each for chain in chains for each in attribution.selectors(chain)]
    at_fault = [
        one
        for one in mine
        for other in everybodys
        if one.chain.project_id != other.chain.project_id
        and one.port == other.port
        and not (one.to_destination and other.to_destination)
        and ip_network(one.header.source_prefixes[0]).overlaps(
            ip_network(other.header.source_prefixes[0])
        )
    ]
    try:
        attribution.check_isolated(chains[: len(own)], chains[len(own) :])
    except rules.Violation as violation:
        assert f"flow classifier {at_fault[0].classifier.id} " in violation.rule
    else:
        assert not at_fault


def test_chains_of_one_ethertype_are_compared() -> None:
    one = World(APART).chain(T1, THROUGH[T1], source_prefix="10.0.0.1/32")
    other = World(APART).chain(T2, THROUGH[T2], source_prefix="::a00:1/128", ethertype="IPv6")
    attribution.check_isolated([one], [other])
