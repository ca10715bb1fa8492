"""Two chains of one project, or a chain and what a function sends of its own, behind a function.

Named samples of packets that entered the wrong chain, and a randomised search for more.
"""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from portchain.core import rules
from portchain.core.model import AddressPair, ChainSnapshot, PortRole
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.ledger import FlowLedger
from portchain.dataplane.planning.ambiguity import check_unambiguous
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, ident, mac, switch
from tests.shared_functions import FUNCTION_ADDRESSES, T1, T2, UDP, World, are_accepted, is_accepted
from tests.simulated_network import Header, Host
from tests.stateful import EXPLORE

VMS = {"t1vm1": "10.0.0.1", "t1vm2": "10.0.0.2", "t2vm1": "10.0.0.3", "t2vm2": "10.0.0.4"}
NAT = "t1f1-out"
TO_ITSELF = {"source_ip_prefix": FUNCTION_ADDRESSES[NAT] + "/32"}
VM1, VM2, FROM_NAT = ({"logical_source_port": ident(name)} for name in ("t1vm1", "t1vm2", NAT))


def second(
    world: World, groups: tuple[str, ...], symmetric: bool = False, **classifier: Any
) -> ChainSnapshot:
    """Return another chain of T1."""
    made = world.chain(T1, groups, symmetric, **classifier)
    (before,) = made.chain.flow_classifiers
    fc = replace(before, id=ident("fc-second"))
    chain = replace(
        made.chain, id=ident("second"), name="second", chain_id=9, serial=9, flow_classifiers=(fc,)
    )
    return replace(
        made, chain=chain,
        sources={fc.id: made.sources[before.id]},
        destinations=dict.fromkeys([fc.id], made.destinations.get(before.id, ())),
    )  # fmt: skip


def refusal(own: ChainSnapshot, other: ChainSnapshot, **kwargs: Any) -> rules.Violation:
    with pytest.raises(rules.Violation) as refused:
        check_unambiguous([own], [other], **kwargs)
    return refused.value


def with_pairs(chain: ChainSnapshot, address: str, *names: str) -> ChainSnapshot:
    """Give ports an allowed address pair."""
    pairs = (AddressPair(address, mac("virtual")),)
    ports = {ident(name): replace(chain.ports[ident(name)], address_pairs=pairs) for name in names}
    return replace(chain, ports={**chain.ports, **ports})


def test_sources_with_one_address_on_two_networks() -> None:
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T1)
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, destination_prefix="10.0.0.0/24")
    other = second(world, ("t1f1", "shared"), **VM2, destination_ports=(50, 50))
    rules.check_overlaps(one.chain.flow_classifiers, other.chain.flow_classifiers)
    violation = refusal(one, other)
    assert violation.attribute == "port_pair_groups"
    for part in (
        f"flow classifier {one.chain.flow_classifiers[0].id} ", "port pair group t1f1", "second",
        "correlation mpls or nsh", "different source addresses",
    ):  # fmt: skip
        assert part in violation.rule
    assert "another project" not in violation.rule
    assert f"flow classifier {other.chain.flow_classifiers[0].id} " in refusal(other, one).rule


@pytest.mark.parametrize(
    "apart",
    [
        {"destination_ports": (51, 60)},
        {"protocol": 6},
        {"source_ports": (5, 6), "destination_ports": None},
        {"destination_prefix": "10.0.1.0/24"},
    ],
)
def test_header_fields_tell_chains_of_one_project_apart(apart: dict[str, Any]) -> None:
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T1)
    ports = {"destination_ports": (50, 50), "source_ports": (7, 7)}
    prefix = {"destination_prefix": "10.0.0.0/24"}
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, **ports, **prefix)
    other = second(world, ("t1f1", "shared"), **VM2, **{**prefix, **ports, **apart})
    check_unambiguous([one], [other])
    refusal(one, second(world, ("t1f1", "shared"), **VM2, **prefix))


@pytest.mark.parametrize("field", ["protocol", "source_ports", "destination_ports"])
@pytest.mark.parametrize("end", [0, -1])
def test_a_field_that_a_classifier_leaves_open_has_any_value(field: str, end: int) -> None:
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T1)
    value = (0, 255)[end] if field == "protocol" else ((0, 65535)[end],) * 2
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, **{field: None})
    refusal(one, second(world, ("t1f1", "shared"), **VM2, **{field: value}))


def test_chains_of_two_projects_or_that_end_there_may_be_alike() -> None:
    """Other rules compare chains of two projects."""
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T1)
    one = world.chain(T1, ("t1f1",), **VM1)
    check_unambiguous([one], [second(world, ("t1f1",), **VM2)])
    refusal(one, second(world, ("t1f1", "shared"), **VM2))
    refusal(second(world, ("t1f1", "shared"), **VM2), one)
    longer = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    moved = replace(longer.chain, project_id=T2, id="elsewhere")
    check_unambiguous([longer], [replace(longer, chain=moved)])


def test_two_chains_that_the_request_does_not_change_are_not_compared() -> None:
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T1)
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    other = second(world, ("t1f1", "shared"), **VM2)
    check_unambiguous([], [one, other])
    with pytest.raises(rules.Violation):
        check_unambiguous([one, other])


def test_a_virtual_address_of_two_sources() -> None:
    world = World(VMS, owner=T1)
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    other = second(world, ("t1f1", "shared"), **VM2)
    check_unambiguous([one], [other])
    refusal(*(with_pairs(each, "10.0.0.100", "t1vm1", "t1vm2") for each in (one, other)))


def test_functions_make_headers_alike() -> None:
    mapping = {"destination_port_range_min": 51, "destination_port_range_max": 51}
    world = World(VMS, owner=T1, mappings={"t1f1": mapping})
    one = world.chain(T1, ("t1f1", "t1f2", "shared"), **VM1, destination_ports=(50, 50))
    other = second(world, ("t1f2",), **VM1, destination_ports=(51, 51))
    refusal(one, other)
    check_unambiguous([one], [second(world, ("t1f2",), **VM1, destination_ports=(52, 52))])
    before = second(world, ("t1f1",), **VM2, destination_ports=(50, 50))
    check_unambiguous([one], [before])  # addresses still differ


def test_translated_sources_are_known_by_prefix() -> None:
    world = World(VMS, owner=T1, mappings={"t1f1": TO_ITSELF})
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    refusal(one, second(world, ("t1f1", "shared"), **VM2))
    ports = [{"destination_ports": (port, port)} for port in (50, 51)]
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, **ports[0])
    check_unambiguous([one], [second(world, ("t1f1", "shared"), **VM2, **ports[1])])
    alike = second(world, ("t1f1", "shared"), **VM2, **ports[0])
    of_another = replace(alike.chain, project_id=T2)
    check_unambiguous([one], [replace(alike, chain=of_another)])
    # Where the switch does not know the translated address, any named source can have it.
    one = world.chain(T1, ("t1f1", "t1f2", "shared"), **VM1)
    refusal(one, second(world, ("t1f2",), **VM2))
    check_unambiguous([one], [second(world, ("t1f2",), **VM2, source_prefix="10.0.0.2/32")])


def test_a_router_sends_what_a_named_source_could() -> None:
    world = World(VMS, owner=T1)
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, source_prefix="10.0.0.0/29")
    other = second(world, ("t1f1", "shared"), **VM2)
    router = replace(one.ports[ident("t1vm1")], role=PortRole.ROUTER)
    behind_router = replace(one, ports={**one.ports, router.id: router})
    refusal(behind_router, other)
    elsewhere = second(world, ("t1f1", "shared"), **VM2, source_prefix="10.0.0.8/29")
    check_unambiguous([behind_router], [elsewhere])
    check_unambiguous([one], [other])


def test_fixed_addresses_of_receivers_come_before_what_they_receive_besides() -> None:
    world = World({**VMS, "t1vm2": "10.0.0.2"}, owner=T1)
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, logical_destination_port=ident("t1vm2"))
    other = second(world, ("t1f1", "shared"), **VM1, logical_destination_port=ident("t2vm1"))

    def receive_all(chain: ChainSnapshot) -> ChainSnapshot:
        ports = {key: replace(port, port_security=False) for key, port in chain.ports.items()}
        return replace(chain, ports=ports)

    check_unambiguous([receive_all(one)], [receive_all(other)])


@pytest.mark.parametrize("swap", [False, True])
def test_a_function_that_translates_and_is_a_source(swap: bool) -> None:
    world = World(VMS, owner=T1, mappings={"t1f1": TO_ITSELF})
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    other = second(world, ("shared",), **FROM_NAT)
    for chain in (one, other):
        rules.check_no_source_is_function([chain])
    own, rival = (other, one) if swap else (one, other)
    violation = refusal(own, rival)
    assert violation.attribute == ("flow_classifiers" if swap else "port_pair_groups")
    for part in ("t1f1", "second", "Name another port as the source", "another address"):
        assert part in violation.rule
    assert refusal(own, rival, attribute="port_chains").attribute == "port_chains"
    check_unambiguous([], [one, other])


def test_a_function_that_does_not_translate_can_be_a_source() -> None:
    world = World(VMS, owner=T1)
    other = second(world, ("shared",), **FROM_NAT)
    check_unambiguous([other], [world.chain(T1, ("t1f1", "t1f2"), source_prefix="10.0.0.0/24")])
    check_unambiguous([other], [world.chain(T1, ("t1f1", "t1f2"), **VM1)])
    elsewhere = World(VMS, owner=T1, mappings={"t1f1": {"source_ip_prefix": "10.0.7.0/24"}})
    check_unambiguous([other], [elsewhere.chain(T1, ("t1f1", "t1f2"), **VM1)])
    same = World({**VMS, "t1vm1": FUNCTION_ADDRESSES[NAT]}, owner=T1)
    refusal(other, same.chain(T1, ("t1f1", "t1f2"), **VM1))


def test_header_fields_tell_what_a_function_sends_apart_in_one_project() -> None:
    world = World(VMS, owner=T1, mappings={"t1f1": TO_ITSELF})
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1, destination_ports=(50, 50))
    check_unambiguous([one], [second(world, ("shared",), **FROM_NAT, destination_ports=(51, 51))])
    refusal(one, second(world, ("shared",), **FROM_NAT))


def test_replies_of_a_function_are_what_it_sends() -> None:
    world = World(VMS, owner=T1, mappings={"t1f1": TO_ITSELF})
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    other = second(world, ("shared",), True, **VM2, logical_destination_port=ident(NAT))
    refusal(one, other)
    check_unambiguous(
        [one], [second(world, ("shared",), **VM2, logical_destination_port=ident(NAT))]
    )


def test_a_chain_that_follows_another_one_has_its_source_without_the_graph() -> None:
    world = World(VMS, owner=T1, mappings={"t1f1": TO_ITSELF})
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    other = second(world, ("shared",), **FROM_NAT)
    before = world.chain(T1, ("t1f2",), **VM2).chain
    refusal(replace(other, predecessors=(before,)), one)


def test_a_chain_that_follows_a_translating_one_has_its_addresses() -> None:
    vip = "10.0.7.7"
    world = World(VMS, owner=T1, mappings={"t1f2": {"source_ip_prefix": f"{vip}/32"}})
    before = world.chain(T1, ("t1f2",), **VM1).chain
    one = replace(
        world.chain(T1, ("t1f1", "shared"), source_prefix=f"{vip}/32"), predecessors=(before,)
    )
    other = with_pairs(second(world, ("shared",), **FROM_NAT), vip, NAT)
    refusal(one, other)
    without = replace(before, port_pair_groups=(World(VMS, owner=T1).group("t1f2"),))
    check_unambiguous([replace(one, predecessors=(without,))], [other])
    refusal(replace(one, predecessors=(without,), earlier=(before,)), other)


@pytest.mark.parametrize("swap", [False, True])
def test_two_projects_are_compared_by_addresses_alone(swap: bool) -> None:
    """T1's packets end at T2's function, whose port is also the source of a chain of T2."""
    translated = FUNCTION_ADDRESSES["shared-out"] + "/32"
    world = World(VMS, owner=T2, mappings={"shared": {"source_ip_prefix": translated}})
    one = world.chain(T1, ("shared",), **VM1, destination_ports=(50, 50))
    other = world.chain(
        T2, ("t2f1",), logical_source_port=ident("shared-out"), destination_ports=(51, 51)
    )
    own, rival = (other, one) if swap else (one, other)
    violation = refusal(own, rival)
    for chain in (one, other):
        (fc,) = chain.chain.flow_classifiers
        assert (fc.id in violation.rule) == (chain.chain.project_id == own.chain.project_id)


def test_two_projects_with_other_addresses() -> None:
    world = World(VMS, owner=T2, mappings={"shared": {"source_ip_prefix": "10.0.7.7/32"}})
    one = world.chain(T1, ("shared",), **VM1)
    other = world.chain(T2, ("t2f1",), logical_source_port=ident("shared-out"))
    # The function's port has the address that it translates to as an allowed one, too.
    refusal(one, other)
    check_unambiguous([], [one, other])
    port = replace(other.ports[ident("shared-out")], address_pairs=())
    check_unambiguous([one], [replace(other, ports={**other.ports, port.id: port})])


def test_the_owner_of_a_changed_group_learns_nothing_of_the_chains() -> None:
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T2)
    one = world.chain(T1, ("shared", "t1f2"), **VM1)
    other = second(world, ("shared", "t1f1"), **VM2)
    (group, _) = one.chain.port_pair_groups
    with pytest.raises(rules.Violation) as refused:
        check_unambiguous([one, other], attribute="port_pairs", changed=group)
    assert refused.value.attribute == "port_pairs"
    assert "second" not in refused.value.rule
    assert one.chain.flow_classifiers[0].id not in refused.value.rule
    assert "shared" in refused.value.rule
    # Of a group of its own, the project may know all.
    violation = refusal(one, other, attribute="port_pairs", changed=other.chain.port_pair_groups[1])
    assert one.chain.flow_classifiers[0].id in violation.rule


def test_the_owner_of_a_changed_group_is_told_of_its_own_source_only() -> None:
    translated = FUNCTION_ADDRESSES["shared-out"] + "/32"
    world = World(VMS, owner=T2, mappings={"shared": {"source_ip_prefix": translated}})
    one = world.chain(T1, ("shared",), **VM1)
    other = world.chain(T2, ("t2f1",), logical_source_port=ident("shared-out"))
    (group,) = one.chain.port_pair_groups
    violation = refusal(one, other, attribute="port_pairs", changed=group)
    assert other.chain.flow_classifiers[0].id in violation.rule
    assert one.chain.flow_classifiers[0].id not in violation.rule


def test_classifiers_of_one_chain_may_be_alike() -> None:
    world = World({**VMS, "t1vm2": "10.0.0.1"}, owner=T1)
    one = world.chain(T1, ("t1f1", "t1f2"), **VM1)
    (fc,) = one.chain.flow_classifiers
    alike = replace(fc, id="alike", logical_source_port=ident("t1vm2"))
    check_unambiguous([replace(one, chain=replace(one.chain, flow_classifiers=(fc, alike)))])


# The search.

ADDRESSES = st.fixed_dictionaries(
    {name: st.sampled_from(["10.0.0.1", "10.0.0.2"]) for name in ("t1vm1", "t1vm2")}
).map(lambda two: VMS | two)
MAPPINGS = st.dictionaries(
    st.sampled_from(["t1f1", "shared"]),
    st.sampled_from(
        [
            TO_ITSELF,
            {"source_ip_prefix": "10.0.0.2/32"},
            {"source_ip_prefix": FUNCTION_ADDRESSES["shared-out"] + "/32"},
            {"destination_port_range_min": 51, "destination_port_range_max": 51},
        ]
    ),
    max_size=2,
)
SENDERS = ("t1vm1", "t1vm2", NAT, "shared-out")
GROUPS = st.sampled_from([("t1f1", "t1f2"), ("t1f1", "shared"), ("shared", "t1f2"), ("t1f1",)])
# Of one source, classifiers that overlap are refused.
SOURCES = st.permutations(SENDERS).map(lambda names: names[:2])
HEADERS = st.fixed_dictionaries(
    {
        "destination_prefix": st.sampled_from([None, "10.0.0.8/29"]),
        "destination_ports": st.sampled_from([None, (50, 50), (51, 51)]),
    }
)


def without_tags(host: Host) -> Host:
    """The simulation knows neither frames with tags nor those to groups."""
    host.flows = [
        flow
        for flow in host.flows
        if not any(word.startswith(("dl_type=", "dl_dst=01:")) for word in flow.key.match)
    ]
    return host


@settings(deadline=None, derandomize=not EXPLORE, max_examples=EXPLORE or 80)
@given(ADDRESSES, MAPPINGS, GROUPS, GROUPS, SOURCES, HEADERS, HEADERS)
def test_packets_of_one_project_stay_in_their_chain(
    addresses: dict[str, str],
    mappings: dict[str, dict[str, Any]],
    groups: tuple[str, ...],
    other_groups: tuple[str, ...],
    sources: list[str],
    header: dict[str, Any],
    other_header: dict[str, Any],
) -> None:
    world = World(addresses, owner=T1, mappings=mappings)
    first, other = ({"logical_source_port": ident(name)} for name in sources)
    chains = [world.chain(T1, groups, **first, **header)]
    chains.append(second(world, other_groups, **other, **other_header))
    for chain in chains:
        assume(is_accepted(chain, []))
        try:
            rules.check_no_source_is_function([chain])
        except rules.Violation:
            assume(False)
    both = are_accepted(chains[:1], chains[1:])
    assert both == are_accepted(chains[1:], chains[:1])
    event(f"accepted: {both}")
    assume(both)
    local = switch("h1", *world.addresses, *FUNCTION_ADDRESSES)
    ledger = FlowLedger()
    for chain in chains:
        ledger.set(chain.chain.id, compile_chain(plan_chain(chain, TUNNEL_IPS).plan, local).flows)
    own = world.addresses | FUNCTION_ADDRESSES
    in_order = [{"h1": without_tags(world.hosts(chains, last)["h1"])} for last in (False, True)]
    for hosts, sender, target, port in itertools.product(
        in_order, SENDERS, (2, 9, 20), (50, 51, 52)
    ):
        sent = Header(own[sender], f"10.0.0.{target}", UDP, 40, port)
        wanted = [name for one in chains for name in world.functions_for(one, sender, sent)[1]]
        visited, _ = world.functions_visited(hosts, sent, "port", sender)
        assert visited == wanted, (sender, sent, visited, wanted)
