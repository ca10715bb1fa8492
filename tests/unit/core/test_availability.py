"""Why chains are DOWN, have a warning or skip a group."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.availability import assess, pair_weights, why_pair_unavailable
from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)

OWNER = "alice"
PAIRS = {name: PortPair(name, OWNER, f"{name}-in", f"{name}-out") for name in ("a", "b", "z")}
GROUPS = {
    name: PortPairGroup(f"group-{name}", OWNER, number, (pair,))
    for number, (name, pair) in enumerate(PAIRS.items())
}
CHAIN = PortChain("chain", OWNER, 1, (GROUPS["a"], GROUPS["b"]), (FlowClassifier("fc", OWNER),))


def port(name: str, **changes: Any) -> Port:
    basic = Port(name, "net", OWNER, "02:00:00:00:00:01", host="h1", plugged=True)
    return replace(basic, **changes)


PORTS = {
    name: port(name) for name in ("src", *(f"{p}-{side}" for p in PAIRS for side in ("in", "out")))
}
SNAPSHOT = ChainSnapshot(CHAIN, PORTS, {"fc": ("src",)})


def with_port(name: str, **changes: Any) -> ChainSnapshot:
    return replace(SNAPSHOT, ports={**PORTS, name: port(name, **changes)})


def with_group(number: int, **changes: Any) -> ChainSnapshot:
    groups = list(CHAIN.port_pair_groups)
    groups[number] = replace(groups[number], **changes)
    return replace(SNAPSHOT, chain=replace(CHAIN, port_pair_groups=tuple(groups)))


def test_a_chain_whose_ports_are_plugged_in_is_available() -> None:
    found = assess(SNAPSHOT, same_host=True, fails_open=True)
    assert (found.unavailable, found.skipped) == ({}, ())
    assert (found.down_reason, found.warning) == ("", "")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": ""}, "its egress port a-out is not bound to a host"),
        ({"plugged": False}, "its egress port a-out is DOWN on host h1"),
        ({"host": "h2"}, "its ports are on different hosts (h1, h2)"),
    ],
)
def test_a_group_without_available_pair_is_a_down_reason(
    changes: dict[str, Any], reason: str
) -> None:
    found = assess(with_port("a-out", **changes), same_host=True)
    assert found.unavailable == {"a": reason}
    assert found.down_reason == f"Port pair group group-a has no available pair (a: {reason})"


def test_ports_on_different_hosts_are_no_reason_for_every_driver() -> None:
    assert assess(with_port("a-out", host="h2")).down_reason == ""


def test_a_port_that_no_longer_exists() -> None:
    ports = {name: one for name, one in PORTS.items() if name != "a-in"}
    assert why_pair_unavailable(PAIRS["a"], ports) == "its ingress port a-in no longer exists"


def test_weight_and_health_check_make_a_pair_unavailable() -> None:
    without_weight = with_group(0, port_pairs=(replace(PAIRS["a"], weight=0),))
    assert assess(without_weight).unavailable == {"a": "its weight is 0"}
    failing = assess(without_weight, offline={"a"})
    assert failing.unavailable == {"a": "it fails its health check"}


def test_a_group_that_fails_open_is_skipped_with_a_warning() -> None:
    snapshot = with_group(1, failure_mode=FailureMode.OPEN, port_pairs=())
    found = assess(snapshot, fails_open=True)
    assert [group.id for group in found.skipped] == ["group-b"]
    assert found.down_reasons == ()
    assert found.warning == (
        "Port pair group group-b is skipped, because it has no available pair (it is empty)"
    )
    unsupported = assess(snapshot)
    assert unsupported.skipped == ()
    assert "group-b has no available pair" in unsupported.down_reason


def test_an_unavailable_tap_is_a_warning() -> None:
    found = assess(with_group(1, tap_enabled=True, port_pairs=()))
    assert found.down_reason == ""
    assert found.warning == "Port pair group group-b gets no copies (it is empty)"


def test_pairs_of_another_projects_group_are_not_shown() -> None:
    found = assess(with_group(0, project_id="bob", port_pairs=()))
    assert found.down_reason == "Port pair group group-a has no available pair"


def test_no_bound_source_is_a_down_reason() -> None:
    reason = "No source port of the flow classifiers is bound to a host"
    assert assess(with_port("src", host="")).down_reason == reason
    assert assess(replace(SNAPSHOT, sources={"fc": ("gone",)})).down_reason == reason
    unknown = replace(CHAIN.flow_classifiers[0], source_prefix="10.0.0.100/32")
    virtual = replace(
        SNAPSHOT, chain=replace(CHAIN, flow_classifiers=(unknown,)), sources={"fc": ()}
    )
    found = assess(virtual).down_reason
    assert found.startswith(f"{reason}; no port on the networks of the functions may send from ")
    assert "10.0.0.100/32 of flow classifier fc: add the address to allowed_address_pairs" in found
    unclassified = replace(SNAPSHOT, chain=replace(CHAIN, flow_classifiers=()), sources={})
    assert assess(unclassified).down_reason == ""


def test_a_preceding_chain_without_available_function_is_a_down_reason() -> None:
    before = replace(CHAIN, id="before", port_pair_groups=(GROUPS["z"],))
    following = replace(SNAPSHOT, sources={"fc": ()}, predecessors=(before,))
    assert assess(following).down_reason == ""
    ports = {**PORTS, "z-in": port("z-in", plugged=False)}
    assert assess(replace(following, ports=ports)).down_reason == (
        "No function in the last group of the preceding port chain before is available"
    )


def test_drivers_add_warnings_of_their_own() -> None:
    assert assess(SNAPSHOT).with_warnings("", "one", "two").warning == "one; two"


def test_a_group_selects_from_pairs_that_can_forward() -> None:
    pairs = (replace(PAIRS["b"], weight=3), PAIRS["a"], replace(PAIRS["z"], weight=0))
    group = replace(GROUPS["a"], port_pairs=pairs)
    assert pair_weights(group, PORTS) == (("a", 1), ("b", 3), ("z", 0))
    away = {**PORTS, "b-out": port("b-out", host="h2")}
    assert pair_weights(group, away) == (("a", 1), ("b", 3), ("z", 0))
    assert pair_weights(group, away, same_host=True) == (("a", 1), ("z", 0))
    unbound = {**PORTS, "a-in": port("a-in", host="")}
    assert pair_weights(group, unbound) == (("b", 3), ("z", 0))
    assert pair_weights(group, {}) == ()
