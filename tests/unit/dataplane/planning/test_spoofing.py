"""With which source addresses functions may return packets."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core import rules
from portchain.core.model import (
    AddressPair,
    ChainSnapshot,
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
    return replace(Port(name, "net", "alice", mac(name), addresses, "h1", plugged=True), **changes)


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
    assert spoofing.returned_sources(snapshot(GROUP, ports=[free])) == [("0.0.0.0/0", "::/0")]


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


def test_functions_use_the_addresses_of_their_ports_in_each_direction() -> None:
    plan = plan_chain(snapshot(GROUP, symmetric=True), TUNNEL_IPS).plan
    macs = [path.hops[0].targets[0].return_macs for path in plan.paths]
    assert macs == [(mac("out"),), (mac("in"),)]
    bridging = replace(GROUP, port_pairs=(replace(FUNCTION, kind=FunctionKind.L2),))
    plan = plan_chain(snapshot(bridging), TUNNEL_IPS).plan
    assert plan.paths[0].hops[0].returned_sources is not None
