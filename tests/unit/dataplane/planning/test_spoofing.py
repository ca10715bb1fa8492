"""With which source addresses functions may return packets."""

import random
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from portchain.core import rules
from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    FunctionKind,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
    PortRole,
)
from portchain.dataplane.planning import limits, spoofing
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, mac

VIRTUAL = "00:00:5e:00:01:0a"
LINK_LOCAL = "fe80::200:5eff:fe00:10a/128"


def port(name: str, *addresses: str, **changes: Any) -> Port:
    made = Port(name, "net", "alice", mac(name), addresses, "h1", plugged=True)
    return replace(made, **{"network_project_id": "alice"} | changes)


PORTS = {
    each.id: each
    for each in (
        port("vm", "10.0.0.10"),
        port("server", "10.0.0.20"),
        port("in", "10.0.0.30"),
        port("out", "10.0.0.31"),
        port("out2", "10.0.0.32"),
    )
}
FUNCTION = PortPair("pp", "alice", "in", "out")
GROUP = PortPairGroup("pg", "alice", 1, (FUNCTION,))
AFTER = PortPairGroup("pg2", "alice", 2, (PortPair("pp2", "alice", "in2", "out2"),))
CLASSIFIER = FlowClassifier("fc", "alice")


def snapshot(*groups: PortPairGroup, ports: Any = None, symmetric: bool = False) -> ChainSnapshot:
    chain = PortChain("pc", "alice", 1, groups, (CLASSIFIER,), symmetric=symmetric)
    return ChainSnapshot(
        chain,
        PORTS | {each.id: each for each in ports or ()},
        {"fc": ("vm",)},
        {"fc": ("server",)} if symmetric else {},
    )


def v4(found: Any) -> list[list[str]]:
    return [[cidr for cidr in each if ":" not in cidr] for each in found]


def test_sources_send_from_their_addresses_and_pairs() -> None:
    pairs = (AddressPair("10.0.9.0/24", VIRTUAL), AddressPair("2001:db8::/64", mac("vm")))
    vm = port("vm", "10.0.0.10", "2001:db8:1::10", address_pairs=pairs)
    own = {*spoofing.may_send_from(vm)}
    assert own >= {"10.0.0.10/32", "2001:db8:1::10/128", "10.0.9.0/24", "2001:db8::/64", LINK_LOCAL}
    assert len(own) == 6, "and the link-local address of its own MAC address"
    assert spoofing.frame_addresses(vm) == (mac("vm"), VIRTUAL)


@pytest.mark.parametrize("changes", [{"port_security": False}, {"role": PortRole.ROUTER}])
def test_ports_that_may_send_from_anywhere(changes: dict[str, Any]) -> None:
    free = port("vm", "10.0.0.10", **changes)
    assert {*spoofing.may_send_from(free)} == {"0.0.0.0/0", "::/0"}
    assert spoofing.frame_addresses(free) == ()
    (found,) = spoofing.returned_sources(snapshot(GROUP, ports=[free]))
    networks = [ip_network(cidr) for cidr in found or ()]
    for address in ("192.0.2.1", "2001:db8::1", "10.0.0.10"):
        assert any(ip_address(address) in one for one in networks)


def test_each_function_returns_what_the_sources_may_send() -> None:
    tap = replace(AFTER, tap_enabled=True)
    found = spoofing.returned_sources(snapshot(GROUP, tap, symmetric=True))
    assert found[1] is None, "it returns nothing"
    assert v4(found[:1]) == [["10.0.0.10/32"]]
    replies = spoofing.returned_sources(snapshot(GROUP, symmetric=True), reverse=True)
    assert v4(replies) == [["10.0.0.20/32"]]


def test_a_function_that_translates_returns_what_its_own_port_may_send() -> None:
    changes = replace(GROUP, egress_n_tuple={"source_ip_prefix": "10.0.0.31/32"})
    aware = replace(GROUP, port_pairs=(replace(FUNCTION, correlation="mpls"),))
    for translating in (changes, aware):
        found = v4(spoofing.returned_sources(snapshot(translating, AFTER)))
        assert found == [["10.0.0.10/32", "10.0.0.31/32"]] * 2
    found = v4(spoofing.returned_sources(snapshot(AFTER, changes)))
    assert found == [["10.0.0.10/32"], ["10.0.0.10/32", "10.0.0.31/32"]]
    plain = v4(spoofing.returned_sources(snapshot(GROUP, AFTER)))
    assert plain == [["10.0.0.10/32"]] * 2


def test_a_translation_to_an_address_that_nobody_may_send_from_is_refused() -> None:
    allowed = (AddressPair("10.0.8.0/24", mac("out")),)
    for prefix, ports, accepted in (
        ("10.0.0.99/32", (), False),
        ("10.0.0.31/32", (), True),  # the function's own
        ("10.0.0.10/32", (), True),  # the source's
        ("10.0.0.10/31", (), False),
        ("10.0.8.0/25", (port("out", "10.0.0.31", address_pairs=allowed),), True),
        ("192.0.2.1/32", (port("out", "10.0.0.31", port_security=False),), True),
    ):
        changes = replace(GROUP, egress_n_tuple={"source_ip_prefix": prefix})
        chain = snapshot(changes, ports=ports)
        if accepted:
            limits.check_chain(chain)
            continue
        with pytest.raises(rules.Violation, match="allowed_address_pairs") as refused:
            limits.check_chain(chain)
        assert refused.value.attribute == "port_pair_groups"


def test_only_what_functions_return_is_compared_with_a_translation() -> None:
    nobodys = {"egress_n_tuple": {"source_ip_prefix": "10.0.0.99/32"}}
    for group in (
        replace(GROUP, port_pairs=(), **nobodys),
        replace(AFTER, port_pairs=(replace(FUNCTION, egress="gone"),), **nobodys),
    ):
        spoofing.check_mappings(snapshot(group))
        with pytest.raises(rules.Violation):
            spoofing.check_mappings(snapshot(group, replace(GROUP, group_id=3, **nobodys)))
    spoofing.check_mappings(snapshot(replace(GROUP, tap_enabled=True, **nobodys)))
    single = replace(GROUP, port_pairs=(replace(FUNCTION, ingress="out"),), **nobodys)
    with pytest.raises(rules.Violation):
        spoofing.check_mappings(replace(snapshot(single), ports={"out": PORTS["out"]}))
    with pytest.raises(rules.Violation):
        spoofing.check_mappings(snapshot(AFTER, replace(GROUP, **nobodys)))


def test_the_function_translates_where_it_returns_requests() -> None:
    pairs = {"address_pairs": (AddressPair("10.0.8.0/24", mac("port")),)}
    changes = replace(GROUP, egress_n_tuple={"source_ip_prefix": "10.0.8.1/32"})
    spoofing.check_mappings(snapshot(changes, ports=[port("out", "10.0.0.31", **pairs)]))
    with pytest.raises(rules.Violation):
        spoofing.check_mappings(snapshot(changes, ports=[port("in", "10.0.0.30", **pairs)]))


def test_replies_are_translated_by_functions_that_may_change_any_packet() -> None:
    aware = replace(GROUP, port_pairs=(replace(FUNCTION, correlation="mpls"),))
    found = spoofing.returned_sources(snapshot(aware, AFTER, symmetric=True), reverse=True)
    assert v4(found) == [["10.0.0.20/32"], ["10.0.0.20/32", "10.0.0.30/32"]]
    one_aware = replace(
        GROUP, port_pairs=(PortPair("x", "alice", "in2", "out2"), *aware.port_pairs)
    )
    found = spoofing.returned_sources(snapshot(one_aware))
    assert v4(found) == [["10.0.0.10/32", "10.0.0.31/32", "10.0.0.32/32"]]
    changes = replace(GROUP, egress_n_tuple={"source_ip_prefix": "10.0.0.31/32"})
    found = spoofing.returned_sources(snapshot(changes, symmetric=True), reverse=True)
    assert v4(found) == [["10.0.0.20/32"]]


def test_link_local_addresses_are_made_of_mac_addresses() -> None:
    vm = port("vm", mac_address="02:16:3e:00:01:02")
    assert [*spoofing.may_send_from(vm)] == ["fe80::16:3eff:fe00:102/128"]
    macs = [f"00:00:5e:00:01:{number:02x}" for number in range(9, 0, -1)]
    several = replace(vm, address_pairs=tuple(AddressPair("10.0.0.1/32", one) for one in macs))
    assert spoofing.frame_addresses(several) == (vm.mac_address, *sorted(macs))


ELSEWHERE = {"network_id": "elsewhere"}
HERE = {"network_subnets": ("10.55.0.0/24", "10.0.0.0/24", "2001:db8::/64")}


@pytest.mark.parametrize(
    ("sender", "allowed", "not_allowed"),
    [
        (
            port("vm", "10.44.0.10", port_security=False, **ELSEWHERE),
            ("10.44.0.10", "9.255.255.255", "10.0.1.0", "10.54.255.255", "10.56.0.0",
             "2001:db8:0:1::1"),
            ("10.0.0.0", "10.0.0.20", "10.55.0.255", "2001:db8::1", "fe80::1"),
        ),
        (
            port("vm", "10.44.0.10", "10.0.0.10", mac_address=VIRTUAL, **ELSEWHERE),
            ("10.44.0.10",), ("10.0.0.10", LINK_LOCAL[:-4]),
        ),
        (
            port("vm", "10.0.0.10", mac_address=VIRTUAL),
            ("10.0.0.10", LINK_LOCAL[:-4]), ("10.0.0.11",),
        ),
        (
            port("vm", "10.44.0.1", role=PortRole.ROUTER, **ELSEWHERE),
            ("10.44.0.10", "10.44.0.1", "192.0.2.1"), ("10.0.0.20", "10.55.0.7", "fe80::1"),
        ),
        (
            port("vm", "10.0.0.1", role=PortRole.ROUTER, mac_address=VIRTUAL),
            ("10.0.0.1", "10.44.0.10", LINK_LOCAL[:-4]), ("10.0.0.20", "10.55.0.7", "fe80::1"),
        ),
        (
            port("vm", "10.0.0.1", role=PortRole.ROUTER, **ELSEWHERE),
            ("10.44.0.10",), ("10.0.0.1",),
        ),
    ],
    ids=["anything", "addresses of two networks", "on the network", "router elsewhere",
         "router on the network", "router elsewhere with an address of the network"],
)  # fmt: skip
def test_a_sender_elsewhere_has_no_address_of_the_functions_network(
    sender: Port, allowed: tuple[str, ...], not_allowed: tuple[str, ...]
) -> None:
    (found,) = spoofing.returned_sources(
        snapshot(GROUP, ports=[sender, port("out", "10.0.0.31", **HERE)])
    )
    networks = [ip_network(cidr) for cidr in found or ()]
    for addresses, expected in ((allowed, True), (not_allowed, False)):
        for address in addresses:
            assert any(ip_address(address) in one for one in networks) is expected, address


def test_senders_elsewhere_with_an_address_of_the_functions_network_are_refused() -> None:
    functions = [port(name, **HERE) for name in ("in", "out")]
    moved = port("out", network_id="third", network_subnets=("10.9.0.0/24",))
    vm, server = port("vm", "10.0.0.10", **ELSEWHERE), port("server", "10.0.0.20", **ELSEWHERE)
    beside = port("vm", "10.44.0.10", **ELSEWHERE)
    two = replace(GROUP, port_pairs=(PortPair("x", "alice", "in2", "out2"), FUNCTION))
    tap = replace(GROUP, tap_enabled=True)
    for groups, ports, symmetric, is_accepted in (
        ((GROUP,), [vm], False, False),
        ((GROUP,), [beside], False, True),
        ((GROUP,), [port("vm", "10.0.0.10")], False, True),  # on the network
        ((GROUP,), [replace(vm, role=PortRole.ROUTER)], False, True),
        ((GROUP,), [server], False, True),
        ((GROUP,), [server], True, False),
        ((GROUP,), [vm], True, False),
        ((GROUP,), [vm, moved], False, True),
        ((tap,), [vm], False, True),
        ((tap, replace(GROUP, id="pg3")), [vm], False, False),
        ((two,), [vm, port("out2", **HERE)], False, False),
        ((two,), [vm, replace(moved, id="out2")], False, False),
    ):
        chain = snapshot(*groups, ports=[*functions, *ports], symmetric=symmetric)
        if is_accepted:
            spoofing.check_senders(chain)
            continue
        with pytest.raises(rules.Violation, match="is on another network") as refused:
            limits.check_chain(chain)
        assert refused.value.attribute == "port_pair_groups"


NAT = replace(GROUP, id="nat", egress_n_tuple={"source_ip_prefix": "10.0.0.31/32"})


@pytest.mark.parametrize("place", [ELSEWHERE, {}], ids=["elsewhere", "on the network"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("groups", "prefix", "is_accepted"),
    [
        ((GROUP,), "10.0.0.0/24", False),
        ((replace(GROUP, id="tap", tap_enabled=True), GROUP), "10.0.0.8/29", False),
        ((replace(GROUP, id="tap", tap_enabled=True),), "10.0.0.8/29", True),
        ((GROUP, NAT), "10.0.0.8/29", False),
        ((NAT, GROUP), "10.0.0.8/29", True),
        ((GROUP,), "10.0.0.0/16", True),
        ((GROUP,), "192.0.2.0/24", True),
        ((GROUP,), None, True),
    ],
)
def test_a_router_as_the_source_of_the_functions_network_is_refused(
    groups: tuple[PortPairGroup, ...],
    prefix: str | None,
    is_accepted: bool,
    reverse: bool,
    place: dict[str, Any],
) -> None:
    functions = [port(name, **HERE) for name in ("in", "out")]
    router = port("router", "10.44.0.1", role=PortRole.ROUTER, **place)
    made = snapshot(*groups, ports=[*functions, router], symmetric=reverse)
    side = "destination" if reverse else "source"
    classifier = replace(CLASSIFIER, **{f"{side}_prefix": prefix})
    made = replace(
        made,
        chain=replace(made.chain, flow_classifiers=(classifier,)),
        **{f"{side}s": {"fc": ("router",)}},
    )
    if is_accepted and not (reverse and NAT in groups):  # replies are not translated
        spoofing.check_senders(made)
        return
    with pytest.raises(rules.Violation, match="takes packets that a router") as refused:
        spoofing.check_senders(made)
    assert refused.value.attribute == "port_pair_groups"


def test_ports_whose_replies_return_through_no_function_may_have_any_address() -> None:
    functions = [port(name, **HERE) for name in ("in", "out")]
    chain = snapshot(GROUP, ports=[*functions, port("server", "10.0.0.20", **ELSEWHERE)])
    spoofing.check_senders(replace(chain, destinations={"fc": ("server",)}))


def test_every_sender_is_compared() -> None:
    both = replace(
        snapshot(
            GROUP,
            ports=[
                port("out", **HERE),
                port("vm", "10.44.0.10", **ELSEWHERE),
                port("other", "10.0.0.10", **ELSEWHERE),
            ],
        ),
        sources={"fc": ("vm", "other")},
    )
    with pytest.raises(rules.Violation, match="port other is on another network"):
        spoofing.check_senders(both)


def following(*groups: PortPairGroup, behind: PortPairGroup, **changes: Any) -> ChainSnapshot:
    """Return the third chain of a service graph.

    :param behind: the group of the first chain, which takes what ``vm`` sends.
    """
    alone = snapshot(*groups, ports=[port("out3", "10.0.0.33")])
    first = PortChain("first", "alice", 2, (behind,), (replace(CLASSIFIER, id="fc2"),))
    second = replace(first, id="second", port_pair_groups=(AFTER,))
    graph = replace(
        alone, sources={"fc": ()}, predecessors=(second,), earlier=(first,), senders=("vm",)
    )
    return replace(graph, **changes)


def test_functions_return_what_the_sources_of_earlier_chains_may_send() -> None:
    found = spoofing.returned_sources(following(GROUP, behind=AFTER))
    assert v4(found) == [["10.0.0.10/32"]]
    nobody = following(GROUP, behind=AFTER, senders=())
    assert spoofing.returned_sources(nobody) == [()]


def test_functions_return_what_functions_of_earlier_chains_translate_to() -> None:
    third = replace(GROUP, port_pairs=(PortPair("pp3", "alice", "in", "out3"),))
    for translating in (
        replace(third, egress_n_tuple={"source_ip_prefix": "10.0.0.33/32"}),
        replace(third, port_pairs=(replace(third.port_pairs[0], correlation="mpls"),)),
    ):
        found = spoofing.returned_sources(following(GROUP, behind=translating))
        assert v4(found) == [["10.0.0.10/32", "10.0.0.33/32"]]
        tap = replace(translating, tap_enabled=True)
        found = spoofing.returned_sources(following(GROUP, behind=tap))
        assert v4(found) == [["10.0.0.10/32"]]


def test_addresses_in_following_chains_are_refused_as_in_others() -> None:
    functions = [port(name, **HERE) for name in ("in", "out")]
    elsewhere = {each.id: each for each in (*functions, port("vm", "10.0.0.10", **ELSEWHERE))}
    good = following(GROUP, behind=AFTER)
    limits.check_chain(good)
    with pytest.raises(rules.Violation, match="is on another network"):
        limits.check_chain(replace(good, ports=good.ports | elsewhere))
    nobodys = replace(GROUP, egress_n_tuple={"source_ip_prefix": "10.0.0.99/32"})
    with pytest.raises(rules.Violation, match="allowed_address_pairs"):
        limits.check_chain(following(nobodys, behind=AFTER))


BRIDGING = replace(AFTER, id="bridging", port_pairs=(replace(FUNCTION, kind=FunctionKind.L2),))
BOTH = replace(
    GROUP, port_pairs=(*BRIDGING.port_pairs, PortPair("pp3", "alice", "in2", "out2"))
)  # fmt: skip
TAP = replace(GROUP, id="tap", tap_enabled=True)
OPEN = replace(GROUP, failure_mode=FailureMode.OPEN)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ((GROUP,), [None]),
        ((BRIDGING,), [["vm"]]),
        ((TAP, BRIDGING), [None, ["vm"]]),
        ((GROUP, BRIDGING), [None, ["out"]]),
        ((BRIDGING, GROUP, BRIDGING), [["vm"], None, ["out"]]),
        ((BOTH, BRIDGING), [["vm"], ["out2", "vm"]]),
        ((replace(GROUP, port_pairs=()), BRIDGING), [None, ["vm"]]),
        ((OPEN, BRIDGING), [None, ["out", "vm"]]),
    ],
)
def test_functions_that_keep_frames_return_those_of_sources_and_routing_functions(
    groups: tuple[PortPairGroup, ...], expected: list[Any]
) -> None:
    macs = [None if names is None else tuple(sorted(map(mac, names))) for names in expected]
    assert spoofing.returned_macs(snapshot(*groups)) == macs


def test_frames_have_further_addresses_of_their_senders() -> None:
    pairs = (AddressPair("10.0.0.10/32", VIRTUAL),)
    vm = port("vm", "10.0.0.10", address_pairs=pairs)
    found = spoofing.returned_macs(snapshot(BRIDGING, ports=[vm]))
    assert found == [tuple(sorted((VIRTUAL, mac("vm"))))]
    free = port("vm", "10.0.0.10", port_security=False)
    assert spoofing.returned_macs(snapshot(BRIDGING, ports=[free])) == [None]
    two = replace(snapshot(BRIDGING, ports=[free]), sources={"fc": ("server", "vm")})
    assert spoofing.returned_macs(two) == [None], "one of them may send from any"
    assert spoofing.returned_macs(snapshot(GROUP, BRIDGING, ports=[free]))[1] == (mac("out"),)


def test_frames_of_replies_have_the_addresses_of_the_other_sides() -> None:
    chain = snapshot(BRIDGING, GROUP, symmetric=True)
    assert spoofing.returned_macs(chain, reverse=True) == [None, (mac("in"),)]
    assert spoofing.returned_macs(snapshot(BRIDGING, symmetric=True), reverse=True) == [
        (mac("server"),)
    ]


def test_frames_in_following_chains_have_addresses_of_earlier_ones() -> None:
    found = spoofing.returned_macs(following(BRIDGING, behind=BOTH))
    assert found == [tuple(sorted((mac("vm"), mac("out2"))))]


def test_functions_use_the_addresses_of_their_ports_in_each_direction() -> None:
    plan = plan_chain(snapshot(GROUP, symmetric=True), TUNNEL_IPS).plan
    macs = [path.hops[0].targets[0].return_macs for path in plan.paths]
    assert macs == [(mac("out"),), (mac("in"),)]
    bridging = replace(GROUP, port_pairs=(replace(FUNCTION, kind=FunctionKind.L2),))
    plan = plan_chain(snapshot(bridging, symmetric=True), TUNNEL_IPS).plan
    hops = [path.hops[0] for path in plan.paths]
    assert all(hop.returned_sources is not None for hop in hops)
    assert [hop.returned_macs for hop in hops] == [(mac("vm"),), (mac("server"),)]


def allowed(found: tuple[str, ...] | None, address: str) -> bool:
    return any(ip_address(address) in ip_network(cidr) for cidr in found or ())


OF_BOB = {"network_id": "shared", "network_project_id": "bob"} | HERE
VM_ELSEWHERE = port("vm", "10.44.0.10", network_id="mine", network_subnets=("10.44.0.0/24",))
UNSECURED = replace(VM_ELSEWHERE, port_security=False)
VM_ROUTER = replace(VM_ELSEWHERE, role=PortRole.ROUTER)
OF_OWNER = OF_BOB | {"project_id": "bob"}
LAST = replace(AFTER, id="last", port_pairs=(PortPair("pp3", "alice", "out", "out2"),))
TO_44 = (AddressPair("10.44.0.0/24", mac("out")),)
LETS_PASS = replace(GROUP, id="opens", failure_mode=FailureMode.OPEN)
TRANSLATES = replace(GROUP, egress_n_tuple={"source_ip_prefix": "10.0.0.31/32"})


@pytest.mark.parametrize(
    ("sender", "groups", "ends", "passing", "is_accepted"),
    [
        (UNSECURED, (GROUP,), OF_BOB, (), False),
        (VM_ELSEWHERE, (GROUP,), OF_BOB, (), False),
        (VM_ROUTER, (GROUP,), OF_BOB, (), False),
        # The owner of the network lets the port send from there, or it is the owner's function.
        (UNSECURED, (GROUP,), OF_BOB | {"address_pairs": TO_44}, ("10.44.0.10",), True),
        (VM_ROUTER, (GROUP,), OF_BOB | {"address_pairs": TO_44}, ("10.44.0.10",), True),
        (UNSECURED, (GROUP,), OF_BOB | {"port_security": False}, ("10.44.0.10", "8.8.8.8"), True),
        (UNSECURED, (GROUP,), OF_OWNER, ("10.44.0.10", "8.8.8.8"), True),
        # A network of nobody is none of the member's; one of the member's own is.
        (UNSECURED, (GROUP,), OF_BOB | {"network_project_id": ""}, (), False),
        (UNSECURED, (GROUP,), HERE, ("10.44.0.10", "8.8.8.8"), True),
        # Translated, packets have an address of the function.
        (VM_ELSEWHERE, (TRANSLATES,), OF_BOB, ("10.0.0.31",), True),
        # Only what leaves the chain counts: these packets go on to a network of the member's.
        (UNSECURED, (GROUP, LAST), OF_BOB, ("10.44.0.10", "8.8.8.8"), True),
        (UNSECURED, (LETS_PASS, replace(AFTER, tap_enabled=True)), OF_BOB, (), False),
        (UNSECURED, (GROUP, replace(LAST, failure_mode=FailureMode.OPEN)), OF_BOB, (), False),
    ],
)
def test_on_the_network_of_another_project_addresses_count_that_its_owner_allows(
    sender: Port,
    groups: tuple[PortPairGroup, ...],
    ends: dict[str, Any],
    passing: tuple[str, ...],
    is_accepted: bool,
) -> None:
    """A member turns port security off, makes routers and chooses addresses on their own network.

    Elsewhere, these would be the addresses of machines behind routers.
    """
    functions = [port(name, f"10.0.0.3{n}", **ends) for n, name in enumerate(("in", "out"))]
    made = snapshot(*groups, ports=[sender, *functions, port("out2", "10.66.0.2", network_id="m")])
    found = spoofing.returned_sources(made)[0]
    for address in ("10.44.0.10", "8.8.8.8", "10.0.0.31"):
        assert allowed(found, address) is (address in passing), address
    if is_accepted:
        spoofing.check_senders(made)
        return
    with pytest.raises(rules.Violation, match="on a network of another project") as refused:
        limits.check_chain(made)
    assert refused.value.attribute == "port_pair_groups"
    assert "allowed_address_pairs" in refused.value.rule


def test_functions_that_keep_headers_return_to_the_network_of_the_source() -> None:
    """Wherever they are themselves, the network of another project included."""
    functions = [port(name, f"10.0.0.3{n}", **OF_BOB) for n, name in enumerate(("in", "out"))]
    for kind in KEEPING:
        group = replace(GROUP, port_pairs=(replace(FUNCTION, **kind),))
        made = snapshot(group, ports=[UNSECURED, *functions])
        limits.check_chain(made)
        assert allowed(spoofing.returned_sources(made)[0], "8.8.8.8")
        beside = replace(made, sources={"fc": ("vm", "server")})
        on_shared = {"server": port("server", "10.0.0.20", **OF_BOB)}
        beside = replace(beside, ports=beside.ports | on_shared)
        assert not allowed(spoofing.returned_sources(beside)[0], "8.8.8.8")
        with pytest.raises(rules.Violation, match="on a network of another project"):
            limits.check_chain(beside)


@pytest.mark.parametrize("host", ["h1", ""])
def test_a_function_elsewhere_does_not_continue_on_its_own_network(host: str) -> None:
    """Not even while no source is bound."""
    functions = [port(name, f"10.0.0.3{n}", **OF_BOB) for n, name in enumerate(("in", "out"))]
    group = replace(GROUP, port_pairs=(replace(FUNCTION, correlation="mpls"),))
    made = snapshot(group, ports=[replace(UNSECURED, host=host), *functions])
    (target,) = plan_chain(made, TUNNEL_IPS).plan.paths[0].hops[0].targets
    assert target.off_network
    following = replace(made, sources={"fc": ()}, senders=("vm",))
    (target,) = plan_chain(following, TUNNEL_IPS).plan.paths[0].hops[0].targets
    assert target.off_network


def test_replies_leave_where_requests_come_from() -> None:
    ends = [port("in", "10.0.0.30", **OF_BOB), port("out", "10.44.0.31", network_id="mine")]
    server = replace(UNSECURED, id="server")
    made = snapshot(GROUP, ports=[*ends, server, port("vm", "10.0.0.10", **OF_BOB)], symmetric=True)
    assert not allowed(spoofing.returned_sources(made, reverse=True)[0], "8.8.8.8")
    with pytest.raises(rules.Violation, match="port server would leave the chain behind"):
        spoofing.check_senders(made)
    spoofing.check_senders(replace(made, chain=replace(made.chain, symmetric=False)))


def test_only_addresses_of_the_version_that_a_chain_takes_must_be_allowed() -> None:
    functions = [
        port(name, f"10.0.0.3{n}", **OF_BOB | {"address_pairs": TO_44})
        for n, name in enumerate(("in", "out"))
    ]
    vm = replace(VM_ELSEWHERE, fixed_ips=("10.44.0.10", "2001:db8:44::10"))
    made = snapshot(GROUP, ports=[vm, *functions])
    spoofing.check_senders(made)
    six = (replace(CLASSIFIER, ethertype="IPv6"),)
    with pytest.raises(rules.Violation, match="on a network of another project"):
        spoofing.check_senders(replace(made, chain=replace(made.chain, flow_classifiers=six)))


BESIDE = {"network_id": "mine", "network_subnets": ("10.44.0.0/24",), "port_security": False}
KEEPING = [
    {"correlation": "mpls"},
    {"correlation": "nsh"},
    {"kind": FunctionKind.L2},
]


@pytest.mark.parametrize("kind", KEEPING)
def test_what_continues_on_another_network_has_no_address_of_a_machine_there(
    kind: dict[str, Any],
) -> None:
    """Such functions return packets to the network that they were on before.

    Users may turn port security off on networks of their own, and choose any addresses.
    """
    group = replace(GROUP, port_pairs=(replace(FUNCTION, **kind),))
    ports = [
        port("vm", "10.0.0.10", **HERE),
        port("mine", "10.44.0.10", **BESIDE),
        *(port(name, "10.0.0.20", **BESIDE) for name in ("in", "out")),
    ]
    made = replace(snapshot(group, ports=ports), sources={"fc": ("vm", "mine")})
    (found,) = spoofing.returned_sources(made)
    for address, expected in (
        ("10.0.0.10", True), ("10.44.0.10", True), ("192.0.2.1", True), ("10.0.0.20", False),
    ):  # fmt: skip
        assert allowed(found, address) is expected, address
    # Behind a function that routes, on the network of that function.
    routing = replace(AFTER, id="routes")
    behind = port("out2", "10.55.0.10", network_id="third", network_subnets=("10.55.0.0/24",))
    found = spoofing.returned_sources(
        replace(made, ports=made.ports | {behind.id: behind},
                chain=replace(made.chain, port_pair_groups=(routing, group)))
    )[1]  # fmt: skip
    assert not allowed(found, "10.55.0.20")
    assert allowed(found, "10.0.0.10")


OTHERS = 2
"""Number of the network that another project owns and shares; members own those before it."""


def random_port(name: str, network: int, draw: random.Random) -> Port:
    """Return a port on network ``n<number>``; on their own ones, members may do as they like."""
    is_others = network == OTHERS
    address = f"10.{network}.0.{draw.randrange(10, 20)}"
    pairs = [AddressPair(one, mac(name)) for one in REMOTE if draw.random() < 0.1]
    return port(
        name,
        *draw.choice([[address], [address], [address, draw.choice(REMOTE)[:-3]]][: 3 - is_others]),
        network_id=f"n{network}",
        network_subnets=(f"10.{network}.0.0/24",),
        network_project_id="bob" if is_others else "alice",
        project_id=draw.choice(["alice", "alice", "bob"]) if is_others else "alice",
        port_security=draw.random() < (0.9 if is_others else 0.5),
        address_pairs=tuple(pairs),
        role=draw.choice([PortRole.END, PortRole.END, PortRole.ROUTER]),
    )


REMOTE = ("192.0.2.1/32", "10.0.0.200/32", "10.99.0.5/32")
"""Addresses of machines behind routers, of others and of members."""


def may_use(one: Port, address: str) -> bool:
    """Tell whether Neutron lets a port send with an address that is not one of its network's."""
    named = (*one.fixed_ips, *(ip_network(pair.prefix)[0] for pair in one.address_pairs))
    return one.forwards or address in map(str, named)


def random_path(draw: random.Random) -> tuple[ChainSnapshot, list[Port]]:
    """Return a chain of functions of random kinds on three networks, and its sources."""
    sources = [random_port(f"vm{n}", draw.randrange(3), draw) for n in range(draw.randrange(1, 4))]
    ports, groups = list(sources), []
    for number in range(draw.randrange(1, 4)):
        network = draw.randrange(3)
        ends = [
            replace(random_port(f"{end}{number}", network, draw), role=PortRole.END)
            for end in ("in", "out")
        ]
        ports += ends
        kind = draw.choice([{}, {}, *KEEPING])
        pair = PortPair(f"pp{number}", "alice", *(end.id for end in ends), **kind)
        groups.append(PortPairGroup(f"pg{number}", "alice", number, (pair,)))
    made = snapshot(*groups, ports=ports)
    return replace(made, sources={"fc": tuple(one.id for one in sources)}), sources


@pytest.mark.parametrize("seed", range(300))
def test_what_leaves_on_the_network_of_another_project_could_be_sent_there(seed: int) -> None:
    """By a sender on it, or by the port from which the packets continue."""
    made, senders = random_path(random.Random(seed))
    groups = made.chain.port_pair_groups
    may_continue = list(senders)
    for group, found in zip(groups, spoofing.returned_sources(made), strict=True):
        (pair,) = group.port_pairs
        egress = made.ports[pair.egress]
        if pair.correlation:
            senders.append(egress)
        elif pair.kind is FunctionKind.L3:
            may_continue = [egress]
        here = [one for one in may_continue if one.network_id == f"n{OTHERS}"]
        if group is not groups[-1] or all(one.project_id == "bob" for one in here):
            continue
        users = [*here, *(one for one in senders if one.network_id == f"n{OTHERS}")]
        for address in (cidr[:-3] for cidr in REMOTE):
            if not any(may_use(one, address) for one in users):
                assert not allowed(found, address), address


@pytest.mark.parametrize("seed", range(300))
def test_no_path_frees_the_addresses_of_a_network(seed: int) -> None:
    """A network's address passes if a port on it may use the address; a router's are behind it."""
    made, sources = random_path(random.Random(seed))
    may_be_on, users = {one.network_id for one in sources}, list(sources)
    for group, found in zip(
        made.chain.port_pair_groups, spoofing.returned_sources(made), strict=True
    ):
        (pair,) = group.port_pairs
        egress = made.ports[pair.egress]
        if pair.correlation:
            users.append(egress)
        elif pair.kind is FunctionKind.L3:
            may_be_on = {egress.network_id}
        for network in may_be_on:
            here = [one for one in users if one.network_id == network]
            is_free = any(not one.port_security and not one.routes for one in here)
            own = {address for one in here for address in one.addresses}
            for host in (*range(10, 20), 200):
                address = f"10.{network[1:]}.0.{host}"
                if not is_free and address not in own:
                    assert not allowed(found, address), (group.id, address)
