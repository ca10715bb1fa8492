"""Why chains are DOWN, have a warning or skip a group."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core.availability import (
    assess,
    is_checkable,
    pair_weights,
    why_pair_unavailable,
)
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


def port(port_id: str, /, **changes: Any) -> Port:
    basic = Port(port_id, "net", OWNER, "02:00:00:00:00:01", host="h1", plugged=True)
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


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (None, ""),
        ({"a-in": None}, "its ingress port a-in no longer exists"),
        ({"a-in": port("a-in", host="")}, "its ingress port a-in is not bound to a host"),
        (
            {"a-out": port("a-out", name="right", host="")},
            "its egress port right is not bound to a host",
        ),
        (
            {"a-out": port("a-out", name="right", plugged=False)},
            "its egress port right is DOWN on host h1",
        ),
    ],
)
def test_why_a_pair_is_unavailable_names_its_port(
    changed: dict[str, Port | None] | None, reason: str
) -> None:
    ports = {name: one for name, one in (PORTS | (changed or {})).items() if one is not None}
    assert why_pair_unavailable(PAIRS["a"], ports) == reason
    assert is_checkable(PAIRS["a"], ports) is (not reason)


def test_a_function_with_ports_on_two_hosts_is_checked_by_drivers_that_support_that() -> None:
    apart = PORTS | {"a-out": port("a-out", host="h2")}
    assert is_checkable(PAIRS["a"], apart)
    assert not is_checkable(PAIRS["a"], apart, same_host=True)


def test_weight_and_health_check_make_a_pair_unavailable() -> None:
    without_weight = with_group(0, port_pairs=(replace(PAIRS["a"], weight=0),))
    assert assess(without_weight).unavailable == {"a": "its weight is 0"}
    failing = assess(without_weight, offline={"a"})
    assert failing.unavailable == {"a": "it fails its health check"}
    reported = assess(replace(SNAPSHOT, failed={"b": "no answer"}), offline={"a", "b"})
    assert reported.unavailable == {
        "a": "it fails its health check",
        "b": "it fails its health check: no answer",
    }


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


def test_a_group_that_fails_closed_is_never_skipped() -> None:
    found = assess(with_group(1, name="firewall", port_pairs=()), fails_open=True)
    assert (found.skipped, found.warning) == ((), "")
    assert found.down_reason == "Port pair group firewall has no available pair (it is empty)"


def test_an_unavailable_tap_is_a_warning() -> None:
    found = assess(with_group(1, tap_enabled=True, port_pairs=()))
    assert found.down_reason == ""
    assert found.warning == "Port pair group group-b gets no copies (it is empty)"
    opening = with_group(1, tap_enabled=True, port_pairs=(), failure_mode=FailureMode.OPEN)
    assert assess(opening, fails_open=True) == found


def test_a_down_reason_names_every_pair_and_why_it_is_unavailable() -> None:
    pairs = (replace(PAIRS["a"], name="left", weight=0), PAIRS["z"])
    ports = {**PORTS, "z-in": port("z-in", plugged=False)}
    found = assess(replace(with_group(0, port_pairs=pairs), ports=ports))
    assert found.down_reason == (
        "Port pair group group-a has no available pair "
        "(left: its weight is 0; z: its ingress port z-in is DOWN on host h1)"
    )


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
    open_, known = (
        FlowClassifier("any", OWNER),
        FlowClassifier("known", OWNER, source_prefix="10.0.0.101/32"),
    )
    named = replace(unknown, name="web")
    mixed = replace(
        virtual,
        chain=replace(CHAIN, flow_classifiers=(open_, known, named)),
        sources={"any": (), "known": ("gone",), "fc": ()},
    )
    found = assess(mixed).down_reason
    assert "10.0.0.100/32 of flow classifier web" in found
    assert found.count("flow classifier ") == 1, "only a prefix without a port needs an address"
    unclassified = replace(SNAPSHOT, chain=replace(CHAIN, flow_classifiers=()), sources={})
    assert assess(unclassified).down_reason == ""


def test_a_preceding_chain_without_available_function_is_a_down_reason() -> None:
    before = replace(CHAIN, id="before", port_pair_groups=(GROUPS["z"],))
    following = replace(SNAPSHOT, sources={"fc": ()}, predecessors=(before,))
    assert assess(following).down_reason == ""
    unplugged = {**PORTS, "z-in": port("z-in", plugged=False)}
    apart = replace(following, ports={**PORTS, "z-in": port("z-in", host="h2")})
    taps = replace(before, port_pair_groups=(replace(GROUPS["z"], tap_enabled=True),))
    for down, label in (
        (replace(following, ports=unplugged), "before"),
        (apart, "before"),
        (replace(following, predecessors=(taps,)), "before"),
        (replace(apart, predecessors=(replace(before, name="first"),)), "first"),
        (replace(apart, predecessors=(replace(before, project_id="bob"),)), "of another project"),
    ):
        assert assess(down, same_host=True).down_reason == (
            f"No function in the last group of the preceding port chain {label} is available"
        )
    assert assess(apart).down_reason == ""


def test_drivers_add_warnings_of_their_own() -> None:
    assert assess(SNAPSHOT).with_warnings("", "one", "two").warning == "one; two"
    assert assess(SNAPSHOT).with_warnings("one").with_warnings("two").warning == "one; two"


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
