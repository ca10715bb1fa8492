"""Requests that the Open vSwitch driver rejects, each as the smallest example."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.model import (
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
from portchain.core.rules import Kind, Violation
from portchain.dataplane.planning import limits

TELNET = FlowClassifier(
    "f", "alice", protocol=6, destination_ports=(23, 23),
    source_prefix="10.0.0.0/24", destination_prefix="10.0.1.0/24",
)  # fmt: skip
PAIR = PortPair("pp", "alice", "p1", "p2")
SINGLE = replace(PAIR, egress="p1")


def chain(*pairs: PortPair, classifier: FlowClassifier = TELNET, **attributes: Any) -> PortChain:
    groups = (PortPairGroup(f"g{n}", "alice", n, (pair,)) for n, pair in enumerate(pairs))
    return PortChain("pc", "alice", 1, tuple(groups), (classifier,), **attributes)


def assert_rejected(attribute: str, chain: PortChain, **graph: Any) -> None:
    with pytest.raises(Violation) as refusal:
        limits.check_chain(ChainSnapshot(chain, {}, {}, **graph))
    assert (refusal.value.attribute, refusal.value.kind) == (attribute, Kind.UNSUPPORTED)


def assert_accepted(chain: PortChain) -> None:
    limits.check_chain(ChainSnapshot(chain, {}, {}))


def test_header_for_bridging_function() -> None:
    with pytest.raises(Violation):
        limits.check_pair(replace(PAIR, kind=FunctionKind.L2, correlation="mpls"))
    limits.check_pair(replace(PAIR, kind=FunctionKind.L2))


@pytest.mark.parametrize("symmetric", [False, True])
def test_bridging_function_between_two_networks(symmetric: bool) -> None:
    def snapshot(networks: str, source: str = "vm", kind: str = "l2") -> ChainSnapshot:
        ends = ("vm", "server", "p1", "p2")
        named = replace(
            TELNET, logical_source_port=source or None, logical_destination_port="server"
        )
        pair = replace(PAIR, kind=FunctionKind(kind))
        return ChainSnapshot(
            chain(pair, classifier=named, symmetric=symmetric),
            {
                end: Port(end, net, "alice", "fa:16:3e:00:00:01")
                for end, net in zip(ends, networks, strict=True)
            },
            sources={"f": (source,) if source else ()},
            destinations={"f": ("server",) if symmetric else ()},
        )

    for networks, source, kind, is_accepted in (
        ("1212", "vm", "l2", False),
        ("1112", "vm", "l2", False),
        ("1312", "vm", "l2", False),
        ("1111", "vm", "l2", True),
        ("1122", "vm", "l2", True),
        ("1123", "vm", "l2", True),  # neither port is where the packets are
        ("1123", "", "l2", False),  # sources can be on both networks
        ("1212", "vm", "l3", True),
    ):
        case = snapshot(networks, source, kind)
        if is_accepted:
            limits.check_chain(case)
            continue
        with pytest.raises(Violation, match="two networks") as refusal:
            limits.check_chain(case)
        assert (refusal.value.attribute, refusal.value.kind) == (
            "port_pair_groups", Kind.UNSUPPORTED,
        )  # fmt: skip


def test_bridging_function_between_the_networks_of_routing_functions() -> None:
    bridging = replace(PAIR, id="b", kind=FunctionKind.L2, ingress="b1", egress="b2")
    named = replace(TELNET, logical_source_port="vm")
    ports = {"vm": "1", "p1": "1", "p2": "2", "b1": "2", "b2": "3"}
    for order, is_accepted in (((PAIR, bridging), False), ((bridging,), True)):
        case = ChainSnapshot(
            chain(*order, classifier=named),
            {
                name: Port(name, network, "alice", "fa:16:3e:00:00:01")
                for name, network in ports.items()
            },
            sources={"f": ("vm",)},
        )
        if is_accepted:
            limits.check_chain(case)
        else:
            with pytest.raises(Violation, match="two networks"):
                limits.check_chain(case)


BRIDGING = replace(PAIR, id="b", kind=FunctionKind.L2, ingress="b1", egress="b2")
NAMED = replace(TELNET, logical_source_port="vm", logical_destination_port="server")


@pytest.mark.parametrize(
    ("pairs", "networks", "attributes", "is_accepted"),
    [
        # Replies come from the destination, and from where a function returns them.
        ((BRIDGING,), {"vm": "3", "server": "1"}, {"symmetric": True}, False),
        ((BRIDGING,), {"vm": "3", "server": "1"}, {}, True),
        ((PAIR, BRIDGING), {"vm": "3", "server": "3", "p1": "2"}, {"symmetric": True}, False),
        ((BRIDGING,), {"vm": "3", "server": "3"}, {"symmetric": True}, True),
        # A port of the chain no longer exists.
        ((BRIDGING,), {"server": "1"}, {}, True),
    ],
)
def test_bridging_function_between_the_networks_of_both_ends(
    pairs: tuple[PortPair, ...], networks: dict[str, str], attributes: Any, is_accepted: bool
) -> None:
    networks = {"p1": "3", "p2": "3", "b1": "1", "b2": "2"} | networks
    symmetric = bool(attributes)
    snapshot = ChainSnapshot(
        chain(*pairs, classifier=NAMED, **attributes),
        ports_on(networks),
        {"f": ("vm",)},
        {"f": ("server",)} if symmetric else {},
    )
    if is_accepted:
        limits.check_chain(snapshot)
    else:
        with pytest.raises(Violation, match="two networks"):
            limits.check_chain(snapshot)


def ports_on(networks: dict[str, str]) -> dict[str, Port]:
    return {
        name: Port(name, network, "alice", "fa:16:3e:00:00:01")
        for name, network in networks.items()
    }


def test_every_bridging_function_of_a_group_is_checked() -> None:
    inside = replace(BRIDGING, id="i", ingress="i1", egress="i2")
    made = chain(inside, classifier=NAMED)
    (group,) = made.port_pair_groups
    made = replace(made, port_pair_groups=(replace(group, port_pairs=(inside, BRIDGING)),))
    networks = {"vm": "1", "server": "1", "i1": "1", "i2": "1", "b1": "1", "b2": "2"}
    with pytest.raises(Violation, match="two networks"):
        limits.check_chain(ChainSnapshot(made, ports_on(networks), {"f": ("vm",)}))


@pytest.mark.parametrize(("network", "is_accepted"), [("1", True), ("2", False)])
def test_packets_of_a_following_chain_come_from_the_chain_before_it(
    network: str, is_accepted: bool
) -> None:
    """Its classifiers may be open: no port on the networks of its functions is a source."""
    routing = replace(PAIR, id="r", ingress="r1", egress="r2")
    networks = {"b1": "2", "b2": "3", "r1": network, "r2": network}
    snapshot = ChainSnapshot(
        chain(BRIDGING), ports_on(networks), {"f": ()}, predecessors=(chain(routing),)
    )
    if is_accepted:
        limits.check_chain(snapshot)
    else:
        with pytest.raises(Violation, match="two networks"):
            limits.check_chain(snapshot)


def test_one_open_classifier_is_enough_to_have_sources_everywhere() -> None:
    named = replace(NAMED, id="n", destination_ports=(80, 80))
    for classifiers, symmetric, is_accepted in (
        ((named,), True, True),
        ((named, replace(TELNET, source_prefix="10.9.0.0/24")), False, False),
        ((replace(named, logical_destination_port=None),), True, False),
        ((replace(named, logical_destination_port=None),), False, True),
    ):
        made = replace(chain(BRIDGING, symmetric=symmetric), flow_classifiers=classifiers)
        networks = {"vm": "3", "server": "3", "b1": "1", "b2": "2"}
        snapshot = ChainSnapshot(made, ports_on(networks), {"n": ("vm",)})
        if is_accepted:
            limits.check_chain(snapshot)
        else:
            with pytest.raises(Violation, match="two networks"):
                limits.check_chain(snapshot)


@pytest.mark.parametrize("fields", [("eth_src",), ("ip_src", "eth_dst")])
def test_replies_do_not_have_the_mac_addresses_of_requests(fields: tuple[str, ...]) -> None:
    for symmetric in (False, True):
        made = chain(PAIR, symmetric=symmetric)
        (group,) = made.port_pair_groups
        made = replace(made, port_pair_groups=(replace(group, lb_fields=fields),))
        if symmetric:
            assert_rejected("chain_parameters", made)
        else:
            assert_accepted(made)


def test_ambiguous_directions_at_single_port() -> None:
    anything = replace(TELNET, source_prefix=None, destination_ports=None)
    assert_rejected("chain_parameters", chain(PAIR, SINGLE, classifier=anything, symmetric=True))
    assert_accepted(chain(PAIR, SINGLE, classifier=anything))
    assert_accepted(chain(PAIR, PAIR, classifier=anything, symmetric=True))
    assert_accepted(chain(PAIR, SINGLE, symmetric=True))
    aware = replace(SINGLE, correlation="mpls")
    assert_accepted(chain(aware, classifier=anything, symmetric=True))
    observed = chain(SINGLE, classifier=anything, symmetric=True)
    tap = replace(observed.port_pair_groups[0], tap_enabled=True)
    assert_accepted(replace(observed, port_pair_groups=(tap,)))


def test_logical_ports_tell_directions_apart() -> None:
    named = replace(
        TELNET, source_prefix=None, destination_prefix=None, destination_ports=None,
        logical_source_port="a", logical_destination_port="b",
    )  # fmt: skip
    assert_accepted(chain(SINGLE, classifier=named, symmetric=True))
    half = replace(named, logical_destination_port=None)
    assert_rejected("chain_parameters", chain(SINGLE, classifier=half, symmetric=True))


def test_too_many_hops() -> None:
    assert_accepted(chain(*[PAIR] * 63, correlation="nsh"))
    assert_rejected("port_pair_groups", chain(*[PAIR] * 64, correlation="nsh"))
    assert_accepted(chain(*[PAIR] * 254))
    assert_rejected("port_pair_groups", chain(*[PAIR] * 255))


def test_only_taps_in_service_graph() -> None:
    observed = chain(PAIR)
    group = replace(observed.port_pair_groups[0], tap_enabled=True)
    taps = replace(observed, port_pair_groups=(group,))
    assert_accepted(taps)
    assert_rejected("port_chains", taps, predecessors=(observed,))
    assert_rejected("port_chains", taps, successors=(chain(replace(PAIR, correlation="mpls")),))


@pytest.mark.parametrize("side", ["predecessors", "successors"])
def test_symmetric_chain_in_service_graph(side: str) -> None:
    assert_rejected("port_chains", chain(PAIR, symmetric=True), **{side: (chain(PAIR),)})


def failing_open(chain: PortChain, **changes: Any) -> PortChain:
    opened = (
        replace(group, failure_mode=FailureMode.OPEN, **changes) for group in chain.port_pair_groups
    )
    return replace(chain, port_pair_groups=tuple(opened))


@pytest.mark.parametrize("side", ["predecessors", "successors"])
def test_groups_that_fail_open_in_service_graph(side: str) -> None:
    assert_accepted(failing_open(chain(PAIR)))
    assert_rejected("port_chains", failing_open(chain(PAIR)), **{side: (chain(PAIR),)})
    tap = failing_open(chain(PAIR), tap_enabled=True)
    both = replace(
        tap, port_pair_groups=(*tap.port_pair_groups, *chain(PAIR, PAIR).port_pair_groups[1:])
    )
    limits.check_chain(ChainSnapshot(both, {}, {}, successors=(chain(PAIR),)))


def test_groups_that_fail_open_and_change_headers() -> None:
    mapping = {"destination_port_range_min": 80, "destination_port_range_max": 80}
    assert_accepted(failing_open(chain(PAIR), ingress_n_tuple=mapping))
    assert_rejected("port_pair_groups", failing_open(chain(PAIR), egress_n_tuple=mapping))


def test_bridging_functions_on_both_sides_of_a_link() -> None:
    other = replace(PAIR, id="o", kind=FunctionKind.L2, ingress="o1", egress="o2")
    both = chain(other)
    (group,) = both.port_pair_groups
    mixed = replace(both, port_pair_groups=(replace(group, port_pairs=(other, PAIR)),))
    observed = replace(group, id="tap", tap_enabled=True)
    for following, before, is_accepted in (
        (chain(BRIDGING), chain(other), False),
        (chain(BRIDGING), mixed, False),
        (chain(BRIDGING), replace(both, port_pair_groups=(group, observed)), False),
        (chain(BRIDGING), replace(both, port_pair_groups=(observed,)), True),
        (chain(BRIDGING), chain(PAIR), True),
        (chain(BRIDGING), chain(other, PAIR), True),
        (chain(BRIDGING, PAIR), chain(other), True),
        (chain(PAIR), chain(other), True),
    ):
        if is_accepted:
            limits.check_chain(ChainSnapshot(following, {}, {}, predecessors=(before,)))
        else:
            assert_rejected("port_chains", following, predecessors=(before,))


def test_one_function_on_another_network_is_enough_to_lose_packets() -> None:
    aware = [replace(PAIR, id=x, ingress=x, egress=x, correlation="mpls") for x in ("a", "b")]
    made = chain(aware[0], classifier=NAMED, correlation="mpls")
    (group,) = made.port_pair_groups
    made = replace(made, port_pair_groups=(replace(group, port_pairs=tuple(aware)),))
    networks = {"vm": "1", "server": "1", "a": "1", "b": "2"}
    routing = replace(PAIR, id="r", ingress="r1", egress="r2")
    last = chain(aware[0])
    mixed = replace(group, id="m", port_pairs=(routing, replace(aware[0], id="c")))
    for following, is_accepted in (
        (chain(BRIDGING), False),
        (chain(routing), True),
        (chain(BRIDGING, routing), True),
        (replace(last, port_pair_groups=(mixed,)), False),
    ):
        snapshot = ChainSnapshot(
            made, ports_on(networks), {"f": ("vm",)}, successors=(replace(following, id="next"),)
        )
        if is_accepted:
            limits.check_chain(snapshot)
        else:
            with pytest.raises(Violation, match="not on the network of its packets"):
                limits.check_chain(snapshot)


@pytest.mark.parametrize(
    ("network", "after", "is_accepted"),
    [
        ("1", {"kind": FunctionKind.L2}, True),
        ("2", {"kind": FunctionKind.L2}, False),
        ("2", {"correlation": "mpls"}, False),
        ("2", {}, True),
    ],
)
def test_mpls_aware_function_on_another_network_before_a_following_chain(
    network: str, after: dict[str, Any], is_accepted: bool
) -> None:
    aware = replace(PAIR, correlation="mpls")
    first = chain(aware, classifier=replace(TELNET, logical_source_port="vm"), correlation="mpls")
    next_pair = replace(PAIR, id="n", ingress="n1", egress="n2", **after)
    networks = {"vm": "1", "p1": network, "p2": network}
    snapshot = ChainSnapshot(
        first,
        {end: Port(end, net, "alice", "fa:16:3e:00:00:01") for end, net in networks.items()},
        sources={"f": ("vm",)},
        successors=(replace(chain(next_pair), id="next"),),
    )
    if is_accepted:
        limits.check_chain(snapshot)
        return
    with pytest.raises(Violation, match="not on the network of its packets") as refusal:
        limits.check_chain(snapshot)
    assert (refusal.value.attribute, refusal.value.kind) == ("port_chains", Kind.UNSUPPORTED)


def mapping(pairs: tuple[PortPair, ...] = (PAIR,), **egress: Any) -> PortPairGroup:
    return PortPairGroup("nat", "alice", 9, pairs, "NAT", egress_n_tuple=egress)


def with_group(group: PortPairGroup, *pairs: PortPair, **attributes: Any) -> PortChain:
    made = chain(*pairs, **attributes)
    return replace(made, port_pair_groups=(*made.port_pair_groups, group))


def test_mapping_that_packets_cannot_have() -> None:
    source = mapping(source_ip_prefix="10.0.0.99/32")
    ports = mapping(source_port_range_min=5000)
    assert_accepted(with_group(source, PAIR))
    assert_accepted(with_group(ports, PAIR))
    assert_rejected("port_pair_groups", with_group(mapping(source_ip_prefix="fd00::9/128"), PAIR))
    ping = replace(TELNET, protocol=1, destination_ports=None)
    assert_rejected("port_pair_groups", with_group(ports, PAIR, classifier=ping))
    assert_accepted(with_group(source, PAIR, classifier=ping))
    before = replace(mapping(), ingress_n_tuple={"source_port_range_min": 5000})
    assert_accepted(with_group(before, PAIR))
    assert_rejected("port_pair_groups", with_group(before, PAIR, classifier=ping))
    assert_rejected("port_pair_groups", with_group(replace(source, tap_enabled=True), PAIR))


def test_replies_that_cannot_find_their_pair() -> None:
    source = mapping(source_ip_prefix="10.0.0.99/32")
    assert_accepted(with_group(source, PAIR, symmetric=True))
    several = replace(source, port_pairs=(PAIR, replace(PAIR, id="other")))
    assert_accepted(with_group(several, PAIR))
    assert_rejected("chain_parameters", with_group(several, PAIR, symmetric=True))
    destination = mapping(destination_ip_prefix="10.0.0.99/32")
    assert_accepted(with_group(destination, PAIR))
    assert_rejected("chain_parameters", with_group(destination, PAIR, symmetric=True))
    assert_rejected("chain_parameters", with_group(source, SINGLE, symmetric=True))


def through_router(
    role: PortRole, symmetric: bool = True, shared: bool = False, **ends: Any
) -> Any:
    """A chain whose packets, or replies, come from a router."""
    router = Port("r1", "net", "alice", "fa:16:3e:00:00:01", role=role)
    classifier = replace(TELNET, **{"destination_prefix": None, **ends.pop("classifier", {})})
    made = chain(PAIR, classifier=classifier, symmetric=symmetric)
    groups = tuple(replace(group, shared=shared) for group in made.port_pair_groups)
    functions = Port("p2", "net", "alice", "fa:16:3e:00:00:02", ("10.0.0.30",))
    return ChainSnapshot(
        replace(made, port_pair_groups=groups),
        {"r1": router, "p2": functions},
        **{"sources": {}, **ends},
    )


@pytest.mark.parametrize("end", ["sources", "destinations"])
def test_distributed_router_as_an_end(end: str) -> None:
    ends = {end: {"f": ("r1",)}}
    with pytest.raises(Violation, match="a router that is not distributed") as refusal:
        limits.check_chain(through_router(PortRole.DISTRIBUTED_ROUTER, **ends))
    assert refusal.value.attribute == "flow_classifiers"
    limits.check_chain(through_router(PortRole.ROUTER, **ends))
    limits.check_chain(through_router(PortRole.ROUTER, **{end: {"f": ("gone",)}}))
    if end == "destinations":
        limits.check_chain(through_router(PortRole.DISTRIBUTED_ROUTER, symmetric=False, **ends))


def test_router_behind_a_shared_function() -> None:
    """The function's own packets could be taken for those of hosts behind the router."""
    replies = {"destinations": {"f": ("r1",)}, "shared": True}
    for prefix in (None, "0.0.0.0/0", "10.0.0.0/24"):
        with pytest.raises(Violation, match="addresses behind the router"):
            narrow = {"classifier": {"destination_prefix": prefix}}
            limits.check_chain(through_router(PortRole.ROUTER, **replies, **narrow))
    outside = {"classifier": {"destination_prefix": "203.0.113.0/24"}}
    limits.check_chain(through_router(PortRole.ROUTER, **replies, **outside))
    limits.check_chain(through_router(PortRole.ROUTER, **{**replies, "shared": False}))


def test_source_with_the_address_of_a_shared_function() -> None:
    """Nothing tells its packets, returned by the function, from the function's own."""

    other = replace(PAIR, id="o", ingress="o1", egress="o2")

    def snapshot(
        address: str,
        *,
        shared: bool = True,
        reverse: bool = False,
        symmetric: bool = False,
        **named: Any,
    ) -> ChainSnapshot:
        groups = tuple(
            replace(group, shared=shared and not number)
            for number, group in enumerate(chain(replace(PAIR, **named), other).port_pair_groups)
        )
        if reverse:
            groups = groups[::-1]
        made = replace(chain(PAIR, symmetric=symmetric), port_pair_groups=groups)
        end = Port("vm", "net", "alice", "fa:16:3e:00:00:01", (address,))
        function = Port("p2", "net", "alice", "fa:16:3e:00:00:02", ("10.0.0.30", "10.0.1.30"))
        return ChainSnapshot(
            made,
            {"vm": end, "p2": function},
            {"f": () if reverse else ("vm", "gone")},
            {"f": ("vm",)} if reverse and symmetric else {},
        )

    last = snapshot("10.0.0.30")
    last = replace(
        last, chain=replace(last.chain, port_pair_groups=last.chain.port_pair_groups[::-1])
    )
    changing = replace(
        last.chain.port_pair_groups[1], egress_n_tuple={"destination_port_range_min": 50}
    )
    first, second = snapshot("10.0.0.30").chain.port_pair_groups
    second = replace(second, egress_n_tuple={"source_ip_prefix": "192.0.2.1/32"})
    translated_later = replace(
        last, chain=replace(last.chain, port_pair_groups=(first, second))
    )  # fmt: skip
    one_bridges = (PAIR, replace(other, kind=FunctionKind.L2))
    mixed = replace(last.chain.port_pair_groups[1], port_pairs=one_bridges)
    for refused in (
        replace(last, chain=replace(last.chain, port_pair_groups=(changing,))),
        replace(last, chain=replace(last.chain, port_pair_groups=(mixed,))),
        snapshot("10.0.0.30"),
        translated_later,
        snapshot("10.0.0.30", kind=FunctionKind.L2),
        snapshot("10.0.1.30", reverse=True, symmetric=True),
    ):
        with pytest.raises(Violation, match="has an address of a function of") as refusal:
            limits.check_chain(refused)
        assert (refusal.value.attribute, refusal.value.kind) == (
            "flow_classifiers", Kind.UNSUPPORTED,
        )  # fmt: skip
    for accepted in (
        snapshot("10.0.0.31"),
        snapshot("10.0.1.30"),  # not in the classifier's prefix
        snapshot("10.0.0.30", shared=False),
        snapshot("10.0.0.30", correlation="mpls"),
        snapshot("10.0.1.30", reverse=True),
        last,
    ):
        limits.check_chain(accepted)
