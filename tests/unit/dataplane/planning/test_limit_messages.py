"""What users are told about requests that the Open vSwitch driver rejects: why, and what to do."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.model import ChainSnapshot, FailureMode, Port, PortChain, PortRole
from portchain.core.rules import Kind, Violation
from portchain.dataplane.planning import limits
from tests.unit.dataplane.planning.test_limits import (
    BRIDGING,
    NAMED,
    PAIR,
    SINGLE,
    TELNET,
    chain,
    mapping,
    ports_on,
    through_router,
    with_group,
)


def told(snapshot: ChainSnapshot) -> str:
    with pytest.raises(Violation) as refusal:
        limits.check_chain(snapshot)
    assert refusal.value.kind is Kind.UNSUPPORTED
    return refusal.value.rule


def alone(chain: PortChain, **more: Any) -> ChainSnapshot:
    return ChainSnapshot(chain, {}, {}, **more)


def with_first_group(made: PortChain, **changes: Any) -> PortChain:
    first, *others = made.port_pair_groups
    return replace(made, port_pair_groups=(replace(first, **changes), *others))


PORTS = {"source_port_range_min": 5000}
SOURCE = {"source_ip_prefix": "10.0.0.99/32"}
ANY = replace(TELNET, source_prefix=None, destination_ports=None)
TAP = with_first_group(chain(PAIR), tap_enabled=True)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            chain(*[PAIR] * 64, correlation="nsh"),
            "Open vSwitch supports at most 63 groups in a chain with correlation nsh",
        ),
        (
            with_first_group(chain(PAIR, symmetric=True), lb_fields=("eth_src",)),
            "port pair group g0 balances by MAC addresses; in a symmetric chain, Open vSwitch "
            "cannot find the pair of a reply by them",
        ),
        (
            chain(SINGLE, classifier=ANY, symmetric=True),
            "port pair pp has one port for both directions of this symmetric chain, and Open "
            "vSwitch cannot tell the directions apart there: a packet that flow classifier f "
            "matches could be a reply to one that f matches",
        ),
        (
            with_group(replace(mapping(**SOURCE), tap_enabled=True), PAIR),
            "port pair group NAT (nat) has tap_enabled and a ppg_n_tuple_mapping; a tap returns "
            "no packets that the mapping could apply to",
        ),
        (
            with_group(replace(mapping(**PORTS), failure_mode=FailureMode.OPEN), PAIR),
            "port pair group NAT (nat) changes headers and has failure_mode open; what follows "
            "would not know the packets that skip it. Use failure_mode closed, or a group without "
            "ppg_n_tuple_mapping",
        ),
        (
            with_group(
                mapping(source_ip_prefix="fd00::9/128", destination_ip_prefix="10.0.0.1/32"), PAIR
            ),
            "the ppg_n_tuple_mapping of NAT (nat) has IPv4, IPv6 addresses, but flow classifier f "
            "has ethertype IPv4",
        ),
        (
            with_group(
                mapping(**PORTS),
                PAIR,
                classifier=replace(TELNET, protocol=1, destination_ports=None),
            ),
            "the ppg_n_tuple_mapping of NAT (nat) has ports, which requires flow classifiers with "
            "protocol tcp, udp or sctp; f has another one or none",
        ),
        (
            with_group(mapping((PAIR, replace(PAIR, id="other")), **SOURCE), PAIR, symmetric=True),
            "port pair group NAT (nat) changes headers and has several pairs; in a symmetric "
            "chain, Open vSwitch cannot tell which of them a reply must go to",
        ),
        (
            with_group(mapping(destination_ip_prefix="10.0.0.99/32"), PAIR, symmetric=True),
            "port pair group NAT (nat) changes destination addresses; in a symmetric chain, Open "
            "vSwitch cannot tell which ports the replies come from",
        ),
        (
            with_group(mapping(**SOURCE), SINGLE, symmetric=True),
            "port pair group NAT (nat) changes headers, and a pair of this symmetric chain has "
            "one port for both directions; Open vSwitch cannot tell the directions apart there",
        ),
    ],
)
def test_a_chain_is_refused_with_the_reason(made: PortChain, expected: str) -> None:
    assert told(alone(made)) == expected


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (
            alone(chain(PAIR, symmetric=True), predecessors=(chain(PAIR),)),
            "Open vSwitch does not support symmetric port chains in service graphs, and pc is "
            "symmetric",
        ),
        (
            alone(
                with_first_group(chain(PAIR), failure_mode=FailureMode.OPEN),
                predecessors=(chain(PAIR),),
            ),
            "Open vSwitch does not support groups that fail open in service graphs, and port pair "
            "group g0 of pc has failure_mode open; use failure_mode closed there",
        ),
        (
            alone(TAP, predecessors=(chain(PAIR),)),
            "Open vSwitch does not support port chains with tap groups only in service graphs, "
            "and pc has no other group",
        ),
        (
            alone(chain(BRIDGING), predecessors=(replace(chain(BRIDGING), id="before"),)),
            "all functions of port chain pc keep source MAC addresses, and so do the last "
            "functions of the preceding chain before; Open vSwitch needs a function that routes "
            "between them",
        ),
        (
            ChainSnapshot(
                chain(replace(PAIR, correlation="mpls"), classifier=NAMED, correlation="mpls"),
                ports_on({"vm": "1", "server": "1", "p1": "2", "p2": "2"}),
                {"f": ("vm",)},
                successors=(replace(chain(BRIDGING), id="next"),),
            ),
            "the last functions of port chain pc understand MPLS and are not on the network of "
            "its packets, and port chain next, which follows, has no function that routes; the "
            "packets would not find their destination behind it. Put a function of kind l3 without "
            "correlation into one of them, or the last functions of pc on the network of its "
            "sources",
        ),
    ],
)
def test_a_chain_of_a_service_graph_is_refused_with_the_reason(
    snapshot: ChainSnapshot, expected: str
) -> None:
    assert told(snapshot) == expected


@pytest.mark.parametrize(("end", "what"), [("sources", "packets"), ("destinations", "replies")])
def test_a_distributed_router_is_refused_with_the_reason(end: str, what: str) -> None:
    assert told(through_router(PortRole.DISTRIBUTED_ROUTER, **{end: {"f": ("r1",)}})) == (
        f"{what} of flow classifier f come from port r1 of a distributed router, and Open vSwitch "
        "cannot classify those. Use a router that is not distributed; or classify other ports "
        "and, in a symmetric chain, a destination_ip_prefix in the router's own subnet"
    )


def test_senders_that_a_shared_function_hides_are_refused_with_the_reason() -> None:
    router = through_router(PortRole.ROUTER, destinations={"f": ("r1",)}, shared=True)
    with pytest.raises(Violation) as refusal:
        limits.check_chain(router)
    assert refusal.value.attribute == "flow_classifiers"
    assert refusal.value.rule == (
        "flow classifier f takes what port r1 of a router sends, and functions that projects "
        "share return it. Name the addresses behind the router by source_ip_prefix or, for "
        "replies, destination_ip_prefix, without addresses of the functions; or use a group of "
        "your own"
    )
    function = Port("p2", "net", "alice", "fa:16:3e:00:00:02", ("10.0.0.30",))
    sender = replace(function, id="vm")
    shared = with_first_group(chain(PAIR, BRIDGING), shared=True)
    assert told(ChainSnapshot(shared, {"vm": sender, "p2": function}, {"f": ("vm",)})) == (
        "flow classifier f takes what port vm sends, which has an address of a function of port "
        "pair group g0. Projects share this group, so what it returns from there counts as what "
        "it sends of its own. Use another address, pairs with the correlation mpls or nsh in "
        "service_function_parameters, or a group that is not shared; or let this group be the "
        "last one"
    )


def test_a_bridging_function_between_networks_is_refused_with_the_reason() -> None:
    networks = {"vm": "1", "server": "1", "b1": "1", "b2": "2"}
    made = ChainSnapshot(chain(BRIDGING, classifier=NAMED), ports_on(networks), {"f": ("vm",)})
    assert told(made) == (
        "the ports of port pair b are on two networks, and packets of port chain pc can come from "
        "one of them; a function of kind l2 returns packets to the network that they come from, "
        "and does not connect it to another one. Put both ports on one network, or use a function "
        "of kind l3"
    )


def test_the_host_that_needs_most_flows_counts() -> None:
    """Whatever the number is, one flow less is refused; without a limit nothing is."""
    networks = {"vm": "1", "server": "1", "p1": "1", "p2": "1", "b1": "1", "b2": "1"}
    hosts = {"vm": "h1", "p1": "h2", "p2": "h2", "b1": "h2", "b2": "h2"}
    ports = {
        name: replace(port, host=hosts.get(name, "h1"), plugged=True)
        for name, port in ports_on(networks).items()
    }
    snapshot = ChainSnapshot(chain(PAIR, BRIDGING, classifier=NAMED), ports, {"f": ("vm",)})
    needs = limits.least_flows(limits.plan_chain(snapshot, {}).plan)
    assert len(needs) == 2
    most = max(needs.values())
    assert most > min(needs.values())
    limits.check_size(snapshot, most)
    limits.check_size(snapshot, 0)
    with pytest.raises(Violation) as refusal:
        limits.check_size(snapshot, most - 1)
    assert refusal.value.kind is Kind.UNSUPPORTED
    assert refusal.value.rule.startswith(f"the chain would need at least {most} flows on one host")
    nobody = ChainSnapshot(chain(PAIR), {}, {})
    assert not limits.least_flows(limits.plan_chain(nobody, {}).plan)
    limits.check_size(nobody, 1)
