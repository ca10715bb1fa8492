"""Which chains get a warning that the floating address of a source does not hold behind them."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.model import ChainSnapshot, FunctionKind, PortRole
from portchain.dataplane.planning.floating import why_not_translated
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import ident
from tests.unit.dataplane.planning.test_planner import snapshot

OUTSIDE = "203.0.113.0/24"


def changed(
    kind: FunctionKind = FunctionKind.L3, ports: dict[str, Any] | None = None, **classifier: Any
) -> ChainSnapshot:
    """The chain of the specification; ``src`` on h1, the last function on h3."""
    source = {"floating": True, "subnets": ("10.0.0.0/24",)}
    made = snapshot(**{"src": source, **(ports or {})})
    fc = replace(made.chain.flow_classifiers[0], **{"destination_prefix": OUTSIDE, **classifier})
    groups = tuple(
        replace(group, port_pairs=tuple(replace(pair, kind=kind) for pair in group.port_pairs))
        for group in made.chain.port_pair_groups
    )
    return replace(made, chain=replace(made.chain, flow_classifiers=(fc,), port_pair_groups=groups))


def reason(made: ChainSnapshot) -> str:
    return why_not_translated(made, plan_chain(made, {}).plan.paths[0])


@pytest.mark.parametrize("prefix", [OUTSIDE, None, "10.0.0.0/16"])
def test_function_that_routes_on_another_host(prefix: str | None) -> None:
    assert reason(changed(destination_prefix=prefix)) == (
        f"port src ({ident('src')}) has a floating address of a distributed router, and the last "
        "functions that route are not on its host: to external networks its packets leave with "
        "the router's own address, and replies to connections to the floating address are lost. "
        "Use functions on that host or of kind l2, or a router that is not distributed"
    )


def test_packets_that_meet_the_router_on_the_host_of_their_source() -> None:
    assert reason(changed(kind=FunctionKind.L2)) == ""
    two = changed(kind=FunctionKind.L2)
    assert reason(replace(two, sources={ident("fc1"): (ident("src"), ident("dst"))})) == ""
    on_host = {"pp3_in": {"host": "h1"}, "pp3_out": {"host": "h1"}}
    assert reason(changed(ports=on_host)) == ""


def test_port_without_floating_address() -> None:
    assert reason(changed(ports={"src": {"subnets": ("10.0.0.0/24",)}})) == ""


def test_packets_that_no_router_translates() -> None:
    for prefix in ("10.0.0.20/32", "10.0.0.0/24"):
        assert reason(changed(destination_prefix=prefix)) == ""
    subnets = {"src": {"floating": True, "subnets": ("2001:db8::/64", "10.0.0.0/24")}}
    assert reason(changed(ports=subnets, destination_prefix="10.0.0.20/32")) == ""
    assert reason(changed(ethertype="IPv6", source_prefix=None, destination_prefix=None)) == ""
    named = {"logical_destination_port": ident("dst"), "destination_prefix": None}
    assert reason(changed(**named)) == ""
    router = {"dst": {"role": PortRole.DISTRIBUTED_ROUTER}}
    assert reason(changed(ports=router, **named))
