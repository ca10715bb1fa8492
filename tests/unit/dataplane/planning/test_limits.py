"""What the Open vSwitch driver refuses, each by the least that it cannot keep."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    FunctionKind,
    PortChain,
    PortPair,
    PortPairGroup,
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


def refused(attribute: str, chain: PortChain, **graph: Any) -> None:
    with pytest.raises(Violation) as refusal:
        limits.check_chain(ChainSnapshot(chain, {}, {}, **graph))
    assert (refusal.value.attribute, refusal.value.kind) == (attribute, Kind.UNSUPPORTED)


def accepted(chain: PortChain) -> None:
    limits.check_chain(ChainSnapshot(chain, {}, {}))


def test_a_header_for_a_function_that_bridges() -> None:
    with pytest.raises(Violation):
        limits.check_pair(replace(PAIR, kind=FunctionKind.L2, correlation="mpls"))
    limits.check_pair(replace(PAIR, kind=FunctionKind.L2))


def test_directions_that_meet_at_a_port_that_serves_both() -> None:
    anything = replace(TELNET, source_prefix=None, destination_ports=None)
    refused("chain_parameters", chain(PAIR, SINGLE, classifier=anything, symmetric=True))
    accepted(chain(PAIR, SINGLE, classifier=anything))
    accepted(chain(PAIR, PAIR, classifier=anything, symmetric=True))
    accepted(chain(PAIR, SINGLE, symmetric=True))
    aware = replace(SINGLE, correlation="mpls")
    accepted(chain(aware, classifier=anything, symmetric=True))


def test_named_ends_tell_directions_apart() -> None:
    named = replace(
        TELNET, source_prefix=None, destination_prefix=None, destination_ports=None,
        logical_source_port="a", logical_destination_port="b",
    )  # fmt: skip
    accepted(chain(SINGLE, classifier=named, symmetric=True))
    half = replace(named, logical_destination_port=None)
    refused("chain_parameters", chain(SINGLE, classifier=half, symmetric=True))


def test_more_hops_than_the_headers_count() -> None:
    accepted(chain(*[PAIR] * 63, correlation="nsh"))
    refused("port_pair_groups", chain(*[PAIR] * 64, correlation="nsh"))
    refused("port_pair_groups", chain(*[PAIR] * 255))


def test_nothing_but_taps_in_a_service_graph() -> None:
    observed = chain(PAIR)
    group = replace(observed.port_pair_groups[0], tap_enabled=True)
    taps = replace(observed, port_pair_groups=(group,))
    accepted(taps)
    refused("port_chains", taps, predecessors=(observed,))


def mapping(pairs: tuple[PortPair, ...] = (PAIR,), **egress: Any) -> PortPairGroup:
    return PortPairGroup("nat", "alice", 9, pairs, "NAT", egress_n_tuple=egress)


def with_group(group: PortPairGroup, *pairs: PortPair, **attributes: Any) -> PortChain:
    made = chain(*pairs, **attributes)
    return replace(made, port_pair_groups=(*made.port_pair_groups, group))


def test_mappings_that_packets_of_the_chain_cannot_follow() -> None:
    source = mapping(source_ip_prefix="10.0.0.99/32")
    ports = mapping(source_port_range_min=5000)
    accepted(with_group(source, PAIR))
    accepted(with_group(ports, PAIR))
    refused("port_pair_groups", with_group(mapping(source_ip_prefix="fd00::9/128"), PAIR))
    ping = replace(TELNET, protocol=1, destination_ports=None)
    refused("port_pair_groups", with_group(ports, PAIR, classifier=ping))
    accepted(with_group(source, PAIR, classifier=ping))
    refused("port_pair_groups", with_group(replace(source, tap_enabled=True), PAIR))


def test_replies_that_would_not_find_back() -> None:
    source = mapping(source_ip_prefix="10.0.0.99/32")
    accepted(with_group(source, PAIR, symmetric=True))
    several = replace(source, port_pairs=(PAIR, replace(PAIR, id="other")))
    accepted(with_group(several, PAIR))
    refused("chain_parameters", with_group(several, PAIR, symmetric=True))
    destination = mapping(destination_ip_prefix="10.0.0.99/32")
    accepted(with_group(destination, PAIR))
    refused("chain_parameters", with_group(destination, PAIR, symmetric=True))
    refused("chain_parameters", with_group(source, SINGLE, symmetric=True))
