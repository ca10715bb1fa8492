"""Rules about requests, each with the smallest example that breaks it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portchain.core import capabilities, rules
from portchain.core.model import (
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
)
from portchain.core.protocols import ICMP, ICMPV6, IPV6_EXTENSION_HEADERS
from portchain.drivers.base import Capabilities
from portchain.drivers.noop import NoopDriver

CLASSIFIER = FlowClassifier("f", "alice", protocol=6)
OVER_IPV6 = {"protocol": ICMPV6, "ethertype": "IPv6"}
PAIR = PortPair("pp", "alice", "p1", "p2")
GROUP = PortPairGroup("pg", "alice", 1, (PAIR,))
CHAIN = PortChain("pc", "alice", 1, (GROUP,), (CLASSIFIER,))
PORT = Port("p1", "n", "alice", "fa:16:3e:00:00:01", device_id="vm")


def rejects(attribute: str, check: Callable[..., None], *subject: Any) -> None:
    with pytest.raises(rules.Violation) as refusal:
        check(*subject)
    assert refusal.value.attribute == attribute
    assert attribute in str(refusal.value)


@pytest.mark.parametrize(
    ("attribute", "changes"),
    [
        ("source_port_range_min", {"source_ports": (2, 1)}),
        ("destination_port_range_min", {"destination_ports": (2, 1)}),
        ("source_port_range_min", {"source_ports": (1, 2), "protocol": 1}),
        ("source_port_range_min", {"source_ports": (256, 256), **OVER_IPV6}),
        ("destination_port_range_min", {"destination_ports": (0, 0), "protocol": 1}),
        ("destination_port_range_min", {"destination_ports": (1, 2), "protocol": None}),
        (
            "destination_port_range_min",
            {"source_ports": (8, 8), "destination_ports": (1, 2), "protocol": 1},
        ),
        (
            "destination_port_range_min",
            {"source_ports": (8, 8), "destination_ports": (256, 256), "protocol": 1},
        ),
        ("source_port_range_min", {"source_ports": (135, 135), **OVER_IPV6}),
        ("protocol", {"protocol": 58}),
        *(("protocol", {**OVER_IPV6, "protocol": header}) for header in IPV6_EXTENSION_HEADERS),
        ("source_ip_prefix", {"source_prefix": "10.0.0.1/8"}),
        ("source_ip_prefix", {"source_prefix": "fd00::/8"}),
        ("destination_ip_prefix", {"destination_prefix": "10.0.0.0/8", "ethertype": "IPv6"}),
        ("destination_ip_prefix", {"destination_prefix": "nowhere"}),
    ],
)
def test_classifier(attribute: str, changes: dict[str, Any]) -> None:
    rejects(attribute, rules.check_flow_classifier, replace(CLASSIFIER, **changes))


@pytest.mark.parametrize("protocol", sorted(rules.PROTOCOLS_WITH_PORTS))
def test_classifier_with_ports(protocol: int) -> None:
    rules.check_flow_classifier(
        replace(CLASSIFIER, protocol=protocol, source_ports=(0, 65535), source_prefix="10.0.0.0/8")
    )


def test_classifier_of_icmp() -> None:
    over_ipv4 = {"protocol": ICMP}
    for family, icmp_type, code in (
        (over_ipv4, 8, 0), (over_ipv4, 255, 255), (over_ipv4, 135, 0), (OVER_IPV6, 128, 0),
    ):  # fmt: skip
        ports = {"source_ports": (icmp_type, icmp_type), "destination_ports": (code, code)}
        rules.check_flow_classifier(replace(CLASSIFIER, **family, **ports))
    rules.check_flow_classifier(replace(CLASSIFIER, **OVER_IPV6))


def test_protocols_that_are_extension_headers_of_ipv6_are_protocols_of_ipv4() -> None:
    for header in IPV6_EXTENSION_HEADERS:
        rules.check_flow_classifier(replace(CLASSIFIER, protocol=header))


@pytest.mark.parametrize(
    ("ethertype", "protocol", "meant"),
    [("IPv6", 1, 58), ("IPv6", 58, 58), ("IPv6", 6, 6), ("IPv4", 1, 1), ("IPv4", None, None)],
)
def test_icmp_of_ipv6_is_icmpv6(ethertype: str, protocol: int | None, meant: int | None) -> None:
    assert rules.protocol_of(ethertype, protocol) == meant


ports = st.none() | st.integers(0, 65535)


@example(None, 5, 0)
@example(5, None, 65535)
@given(ports, ports, st.integers(0, 65535))
def test_a_missing_bound_of_a_range_is_open(low: int | None, high: int | None, port: int) -> None:
    inside = (low is None or low <= port) and (high is None or port <= high)
    found = rules.port_range(low, high)
    assert inside == (found is None or found[0] <= port <= found[1])


def test_pair() -> None:
    other = replace(PORT, id="p2")
    rules.check_port_pair(PAIR, PORT, other)
    rules.check_port_pair(replace(PAIR, egress="p1"), PORT, PORT)
    rejects("ingress", rules.check_port_pair, PAIR, replace(PORT, device_id=""), other)
    rejects("egress", rules.check_port_pair, PAIR, PORT, replace(other, device_id=""))
    rejects("egress", rules.check_port_pair, PAIR, PORT, replace(other, device_id="vm2"))
    bridging = replace(PAIR, egress="p1", kind=FunctionKind.L2)
    rejects("egress", rules.check_port_pair, bridging, PORT, PORT)
    for weight in (0, 65535):
        rules.check_port_pair(replace(PAIR, weight=weight), PORT, other)
    for weight in (-1, 65536):
        rejects(
            "service_function_parameters",
            rules.check_port_pair,
            replace(PAIR, weight=weight),
            PORT,
            other,
        )


def test_a_changed_pair() -> None:
    aware = replace(PAIR, correlation="mpls")
    rules.check_changed_pair(aware, replace(aware, weight=0, name="new"))
    for wrong in (replace(aware, weight=65536), PAIR, replace(aware, correlation="nsh")):
        rejects("service_function_parameters", rules.check_changed_pair, aware, wrong)


def test_ports_of_a_mapping() -> None:
    for name in ("ingress_n_tuple", "egress_n_tuple"):
        right = {
            "source_port_range_min": 5,
            "source_port_range_max": 5,
            "destination_port_range_min": 9,
        }
        rules.check_port_pair_group(replace(GROUP, **{name: right}))
        wrong = {"destination_port_range_min": 6, "destination_port_range_max": 5}
        rejects(
            "port_pair_group_parameters",
            rules.check_port_pair_group,
            replace(GROUP, **{name: wrong}),
        )


@pytest.mark.parametrize("name", ["ingress_n_tuple", "egress_n_tuple"])
@pytest.mark.parametrize("side", ["source", "destination"])
def test_prefixes_of_a_mapping_are_prefixes(name: str, side: str) -> None:
    key = f"{side}_ip_prefix"
    rules.check_port_pair_group(replace(GROUP, **{name: {key: "10.0.0.0/8"}}))
    with pytest.raises(rules.Violation, match=f"{name}: {key}: .* host bits set"):
        rules.check_port_pair_group(replace(GROUP, **{name: {key: "10.0.0.1/8"}}))


def test_group() -> None:
    rules.check_port_pair_group(replace(GROUP, port_pairs=()))
    aware = replace(PAIR, id="aware", correlation="mpls")
    rejects("port_pairs", rules.check_port_pair_group, replace(GROUP, port_pairs=(PAIR, aware)))
    pairs = (aware, replace(aware, id="too"))
    rules.check_port_pair_group(replace(GROUP, port_pairs=pairs))
    rejects(
        "port_pairs",
        rules.check_port_pair_group,
        replace(GROUP, port_pairs=pairs, tap_enabled=True),
    )
    rules.check_port_pair_group(replace(GROUP, port_pairs=pairs[:1], tap_enabled=True))
    bridging = replace(PAIR, id="bridging", kind=FunctionKind.L2)
    rejects("port_pairs", rules.check_port_pair_group, replace(GROUP, port_pairs=(PAIR, bridging)))


def test_chain() -> None:
    rules.check_port_chain(CHAIN)
    rejects("port_pair_groups", rules.check_port_chain, replace(CHAIN, port_pair_groups=()))
    rejects(
        "port_pair_groups", rules.check_port_chain, replace(CHAIN, port_pair_groups=(GROUP, GROUP))
    )
    empty = replace(GROUP, port_pairs=())
    rejects("port_pair_groups", rules.check_port_chain, a_chain(empty, OTHER, empty))


def test_taps_cannot_follow_each_other() -> None:
    other_tap = a_group(4, "c", "d", tap_enabled=True)
    rejects("port_pair_groups", rules.check_port_chain, a_chain(TAP, other_tap))
    rules.check_port_chain(a_chain(TAP, FIRST, other_tap))


def test_only_packets_with_replies_need_a_reply_type() -> None:
    for one in (replace(CLASSIFIER, source_ports=(5, 9)), replace(CLASSIFIER, protocol=1)):
        rules.check_port_chain(replace(CHAIN, flow_classifiers=(one,), symmetric=True))


def owned_by(owner: str, group: PortPairGroup) -> PortPairGroup:
    """Return the group and its pairs as those of a project."""
    pairs = tuple(replace(pair, project_id=owner) for pair in group.port_pairs)
    return replace(group, project_id=owner, port_pairs=pairs)


@pytest.mark.parametrize(
    ("chain", "hidden"),
    [
        (lambda one, other: a_chain(one, replace(other, port_pairs=one.port_pairs)), "port p1"),
        (lambda one, other: a_chain(one, NEXT), "port p2"),
        (
            lambda one, other: replace(
                a_chain(one, OTHER),
                flow_classifiers=(FlowClassifier("f", "alice", logical_source_port="p1"),),
            ),
            "port p1",
        ),
        (
            lambda one, other: a_chain(
                replace(one, port_pairs=(replace(one.port_pairs[0], correlation="nsh"),)), OTHER
            ),
            "p1>p2",
        ),
    ],
    ids=["a port on a side twice", "ports in a row", "port of a source", "correlation"],
)
def test_messages_about_a_chain_name_own_resources_only(
    chain: Callable[[PortPairGroup, PortPairGroup], PortChain], hidden: str
) -> None:
    for owner in ("alice", "bob"):
        one = owned_by(owner, FIRST)
        with pytest.raises(rules.Violation) as refusal:
            rules.check_port_chain(chain(one, replace(one, id="g2")))
        assert (hidden in refusal.value.rule) == (owner == "alice"), refusal.value.rule


def test_message_about_a_port_on_a_side_twice_hides_it_if_one_pair_is_foreign() -> None:
    foreign = owned_by("bob", replace(FIRST, id="g2"))
    with pytest.raises(rules.Violation, match="a port is the ingress of two pairs of port chain"):
        rules.check_port_sides(a_chain(FIRST, foreign))


def test_message_about_correlation_hides_the_chain_from_the_owner_of_a_group() -> None:
    group = replace(GROUP, port_pairs=(PAIR, replace(PAIR, id="x", correlation="nsh")))
    for project, expected in (("alice", "port chain pc has"), ("bob", "a port chain that uses it")):
        with pytest.raises(rules.Violation, match=expected):
            rules.check_correlation(replace(CHAIN, project_id=project), group)


@pytest.mark.parametrize(
    ("protocol", "number", "answer"),
    [(1, 8, 0), (1, 14, 13), (58, 128, 129), (1, 3, None), (1, 128, None), (58, 8, None)],
)
def test_replies_of_icmp(protocol: int, number: int, answer: int | None) -> None:
    ethertype = "IPv6" if protocol == ICMPV6 else "IPv4"
    one = replace(CLASSIFIER, protocol=protocol, ethertype=ethertype, source_ports=(number, number))
    symmetric = replace(CHAIN, flow_classifiers=(one,), symmetric=True)
    rules.check_port_chain(replace(symmetric, symmetric=False))
    if answer is None:
        rejects("flow_classifiers", rules.check_port_chain, symmetric)
        return
    rules.check_port_chain(symmetric)
    back = rules.reply_classifier(replace(one, destination_ports=(0, 0)))
    assert (back.source_ports, back.destination_ports) == ((answer, answer), (0, 0))
    assert rules.reply_classifier(replace(one, source_ports=None)).source_ports is None


@pytest.mark.parametrize(
    ("pair", "chain", "fits"),
    [
        (None, "mpls", True),
        (None, "nsh", True),
        ("mpls", "mpls", True),
        ("nsh", "mpls", False),
        ("mpls", "nsh", False),
    ],
)
def test_correlation_of_pairs_fits_the_chains(pair: str | None, chain: str, fits: bool) -> None:
    group = replace(GROUP, port_pairs=(replace(PAIR, correlation=pair),))
    subject = replace(CHAIN, correlation=chain, port_pair_groups=(group,))
    if fits:
        rules.check_port_chain(subject)
    else:
        rejects("port_pair_groups", rules.check_port_chain, subject)


# Capabilities

_ALL = NoopDriver.capabilities
_SNAPSHOT = ChainSnapshot(CHAIN, {}, {})


@pytest.mark.parametrize(
    ("attribute", "subject"),
    [
        ("ethertype", replace(CLASSIFIER, ethertype="IPv6")),
        ("l7_parameters", replace(CLASSIFIER, l7_parameters={"logical_source_network": "n"})),
        ("service_function_parameters", replace(PAIR, correlation="nsh")),
        ("port_pair_group_parameters", replace(GROUP, lb_fields=("ip_src",))),
        ("port_pair_group_parameters", replace(GROUP, egress_n_tuple={"source_port_range_min": 1})),
        (
            "port_pair_group_parameters",
            replace(GROUP, ingress_n_tuple={"source_port_range_min": 1}),
        ),
        ("function_kind", replace(PAIR, kind=FunctionKind.L2)),
        ("tap_enabled", replace(GROUP, tap_enabled=True)),
        ("health_check", replace(GROUP, health_check=HealthCheck.ICMP)),
        ("failure_mode", replace(GROUP, failure_mode=FailureMode.OPEN)),
        ("min_healthy", replace(GROUP, min_healthy=2)),
        ("on_failure", replace(GROUP, on_failure=OnFailure.KEEP)),
        ("admin_state_up", replace(PAIR, admin_state_up=False)),
        ("backup", replace(PAIR, backup=True)),
        ("port_chains", replace(_SNAPSHOT, predecessors=(CHAIN,))),
        ("port_chains", replace(_SNAPSHOT, successors=(CHAIN,))),
        (
            "ethertype",
            replace(
                _SNAPSHOT,
                chain=replace(CHAIN, flow_classifiers=(replace(CLASSIFIER, ethertype="IPv6"),)),
            ),
        ),
        (
            "tap_enabled",
            replace(
                _SNAPSHOT,
                chain=replace(CHAIN, port_pair_groups=(replace(GROUP, tap_enabled=True),)),
            ),
        ),
        (
            "function_kind",
            replace(
                _SNAPSHOT,
                chain=replace(
                    CHAIN,
                    port_pair_groups=(
                        replace(GROUP, port_pairs=(replace(PAIR, kind=FunctionKind.L2),)),
                    ),
                ),
            ),
        ),
        ("chain_parameters", replace(_SNAPSHOT, chain=replace(CHAIN, symmetric=True))),
        ("chain_parameters", replace(_SNAPSHOT, chain=replace(CHAIN, correlation="nsh"))),
    ],
)
def test_default_capabilities_reject(attribute: str, subject: capabilities.Subject) -> None:
    with pytest.raises(rules.Violation, match="minimal") as refusal:
        capabilities.check(subject, Capabilities(), "minimal")
    assert (refusal.value.attribute, refusal.value.kind) == (attribute, rules.Kind.UNSUPPORTED)
    capabilities.check(subject, _ALL, "complete")


@pytest.mark.parametrize(
    ("subject", "value"),
    [
        (replace(CLASSIFIER, l7_parameters={"b": "1", "a": "1"}), "a"),
        (replace(PAIR, correlation="nsh"), "correlation nsh"),
        (replace(PAIR, admin_state_up=False), "false"),
        (replace(PAIR, backup=True), "true"),
        (replace(GROUP, lb_fields=("ip_src", "ip_dst")), "lb_fields ip_src, ip_dst"),
        (replace(GROUP, egress_n_tuple={"source_port_range_min": 1}), "ppg_n_tuple_mapping"),
        (replace(GROUP, tap_enabled=True), "true"),
        (replace(GROUP, health_check=HealthCheck.ICMP), "health_check icmp"),
        (replace(GROUP, failure_mode=FailureMode.OPEN), "failure_mode open"),
        (replace(GROUP, min_healthy=2), "min_healthy 2"),
        (replace(GROUP, on_failure=OnFailure.KEEP), "on_failure keep"),
        (replace(_SNAPSHOT, chain=replace(CHAIN, correlation="nsh")), "correlation nsh"),
        (replace(_SNAPSHOT, chain=replace(CHAIN, symmetric=True)), "symmetric true"),
        (replace(_SNAPSHOT, successors=(CHAIN,)), "a service graph"),
    ],
)
def test_refusals_name_the_value_that_a_driver_lacks(
    subject: capabilities.Subject, value: str
) -> None:
    with pytest.raises(rules.Violation) as refusal:
        capabilities.check(subject, Capabilities(), "minimal")
    assert refusal.value.rule == f"{value} is not supported by the driver minimal"


def test_drivers_can_require_symmetric_chains() -> None:
    always = Capabilities(symmetric=True, asymmetric=False)
    with pytest.raises(rules.Violation, match="minimal") as refusal:
        capabilities.check(_SNAPSHOT, always, "minimal")
    assert refusal.value.attribute == "chain_parameters"
    assert refusal.value.rule.startswith("symmetric false")
    symmetric = replace(_SNAPSHOT, chain=replace(CHAIN, symmetric=True))
    capabilities.check(symmetric, always, "minimal")


@pytest.mark.parametrize("subject", [CLASSIFIER, PAIR, GROUP, _SNAPSHOT])
def test_default_capabilities_accept(subject: capabilities.Subject) -> None:
    capabilities.check(subject, Capabilities(), "minimal")


@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_a_port_cannot_be_on_the_same_side_of_two_hops(side: str) -> None:
    one = PortPair("1", "project", "a", "b")
    other = replace(PortPair("2", "project", "c", "d"), **{side: getattr(one, side)})
    groups = tuple(PortPairGroup(pair.id, "project", 1, (pair,)) for pair in (one, other))
    rejects("port_pair_groups", rules.check_port_chain, PortChain("3", "project", 1, groups))


def a_group(number: int, ingress: str, egress: str, **attributes: Any) -> PortPairGroup:
    """Return a group with one pair of alice's."""
    pair = PortPair(f"{ingress}>{egress}", "alice", ingress, egress)
    return PortPairGroup(f"g{number}", "alice", number, (pair,), **attributes)


def a_chain(*groups: PortPairGroup, an_id: str = "pc") -> PortChain:
    return PortChain(an_id, "alice", 1, groups)


FIRST, NEXT, OTHER = a_group(1, "p1", "p2"), a_group(2, "p2", "p3"), a_group(3, "a", "b")
TAP, OPEN = replace(OTHER, tap_enabled=True), replace(OTHER, failure_mode=FailureMode.OPEN)


@pytest.mark.parametrize(
    "groups",
    [
        (FIRST, NEXT),
        (OTHER, FIRST, NEXT),
        (FIRST, TAP, NEXT),
        (FIRST, OPEN, NEXT),
        (TAP, FIRST, NEXT),
        (FIRST, replace(NEXT, tap_enabled=True)),
        (replace(FIRST, port_pairs=(OTHER.port_pairs[0], FIRST.port_pairs[0])), NEXT),
    ],
)
def test_functions_in_a_row_cannot_share_a_port(groups: tuple[PortPairGroup, ...]) -> None:
    rejects("port_pair_groups", rules.check_port_chain, a_chain(*groups))
    with pytest.raises(rules.Violation, match=r"port p2, which is also the ingress .* port of its"):
        rules.check_ports_in_a_row(a_chain(*groups))


def test_functions_that_are_not_in_a_row_can_share_a_port() -> None:
    rules.check_port_chain(a_chain(FIRST, OTHER, NEXT))
    rules.check_port_chain(a_chain(NEXT, FIRST))
    rules.check_port_chain(a_chain(replace(FIRST, tap_enabled=True), NEXT))
    same_hop = replace(FIRST, port_pairs=(*FIRST.port_pairs, *NEXT.port_pairs))
    rules.check_port_chain(a_chain(same_hop, OTHER))


def test_functions_in_a_row_of_a_graph_cannot_share_a_port() -> None:
    for before, after in (
        ((OTHER, FIRST), (NEXT,)),
        ((FIRST, TAP), (NEXT,)),
        ((FIRST,), (TAP, NEXT)),
    ):
        source, successor = a_chain(*before), a_chain(*after, an_id="after")
        check = rules.check_ports_in_a_row
        rejects("port_chains", check, source, [a_chain(an_id="x"), successor], "port_chains")
        check(successor, [a_chain(*before[:-1])])
    foreign = replace(NEXT, port_pairs=(replace(NEXT.port_pairs[0], project_id="bob"),))
    with pytest.raises(rules.Violation, match="a port pair of another project"):
        rules.check_ports_in_a_row(a_chain(FIRST), [a_chain(foreign)])


def test_functions_cannot_get_packets_where_they_are_sent() -> None:
    """A switch does not send a packet back to the port it came from."""
    from_p1 = FlowClassifier("f", "alice", logical_source_port="p1")
    to_p2 = FlowClassifier("f", "alice", logical_source_port="x", logical_destination_port="p2")
    for groups in ((FIRST,), (TAP, FIRST), (OPEN, FIRST)):
        refused = replace(a_chain(*groups), flow_classifiers=(from_p1,))
        rejects("port_pair_groups", rules.check_port_chain, refused)
    rules.check_port_chain(replace(a_chain(OTHER, FIRST), flow_classifiers=(from_p1,)))
    replies = replace(a_chain(FIRST), flow_classifiers=(to_p2,))
    rules.check_port_chain(replies)
    rejects("port_pair_groups", rules.check_port_chain, replace(replies, symmetric=True))
    rules.check_port_chain(
        replace(a_chain(FIRST, OTHER), flow_classifiers=(to_p2,), symmetric=True)
    )
    last_may_fail = replace(a_chain(FIRST, OPEN), flow_classifiers=(to_p2,), symmetric=True)
    rejects("port_pair_groups", rules.check_port_chain, last_may_fail)


def test_dhcp_cannot_be_classified() -> None:
    def dhcp(ethertype: str, one: int, other: int, protocol: int | None = 17) -> FlowClassifier:
        ends = {"source_ports": (one, one), "destination_ports": (other, other)}
        return FlowClassifier("f", "alice", ethertype=ethertype, protocol=protocol, **ends)

    for ethertype, client, server in (("IPv4", 68, 67), ("IPv6", 546, 547)):
        for ports in ((client, server), (server, client)):
            rejects(
                "destination_port_range_min", rules.check_flow_classifier, dhcp(ethertype, *ports)
            )
        rules.check_flow_classifier(dhcp(ethertype, server, server))
        rules.check_flow_classifier(dhcp(ethertype, client, server, protocol=6))


def test_functions_are_no_sources_of_their_own_chain() -> None:
    """What a function sends of its own would look like what it returns."""

    def alone(port: str, symmetric: bool = False, **pair: Any) -> list[ChainSnapshot]:
        source = FlowClassifier("f", "alice", logical_source_port=port)
        if symmetric:
            source = replace(source, logical_source_port="x", logical_destination_port=port)
        group = replace(NEXT, port_pairs=(replace(NEXT.port_pairs[0], **pair),))
        chain = replace(
            a_chain(OTHER, group, OTHER), flow_classifiers=(source,), symmetric=symmetric
        )
        return [ChainSnapshot(chain, {}, {})]

    check = rules.check_no_source_is_function
    rejects("flow_classifiers", check, alone("p3"))
    check(alone("p2"))
    check(alone("p3", correlation="mpls"))
    rejects("flow_classifiers", check, alone("p2", symmetric=True))
    check(alone("p3", symmetric=True))
    (first,) = alone("b")
    follower = a_chain(FIRST, an_id="after")
    source = replace(first.chain.flow_classifiers[0], logical_source_port="p2")
    before = replace(a_chain(OTHER), flow_classifiers=(source,))
    linked = [
        ChainSnapshot(before, {}, {}, successors=(follower,)),
        ChainSnapshot(follower, {}, {}, predecessors=(before,)),
    ]
    rejects("port_chains", check, linked, "port_chains")
    check([ChainSnapshot(before, {}, {}), ChainSnapshot(follower, {}, {})])
