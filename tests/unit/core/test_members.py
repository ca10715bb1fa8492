"""Which pairs of a group get packets, and what the group's operating status is."""

from dataclasses import replace
from typing import Any

import pytest

from portchain.core import operating_status
from portchain.core.availability import Members, members_of
from portchain.core.model import (
    FailureMode,
    HealthCheck,
    OnFailure,
    PairHealth,
    Port,
    PortPair,
    PortPairGroup,
)

NAMES = ("a", "b", "c")
PORTS = {
    name: Port(name, "net", "alice", "02:00:00:00:00:01", host="h1", plugged=True)
    for pair in NAMES
    for name in (f"{pair}-in", f"{pair}-out")
}
UNPLUGGED = PORTS | {"c-out": replace(PORTS["c-out"], plugged=False)}


def group(
    *, min_healthy: int = 1, on_failure: OnFailure = OnFailure.REBALANCE, **pairs: Any
) -> Any:
    """A group of the pairs a, b and c, each with its attributes."""
    made = [PortPair(n, "alice", f"{n}-in", f"{n}-out", **pairs.get(n, {})) for n in NAMES]
    return PortPairGroup(
        "group",
        "alice",
        1,
        tuple(made),
        health_check=HealthCheck.ICMP,
        min_healthy=min_healthy,
        on_failure=on_failure,
    )


def members(checked: PortPairGroup, *failed: str, **options: Any) -> Members:
    return members_of(checked, options.get("ports", PORTS), dict.fromkeys(failed, "no answer"))


BACKUP = {"c": {"backup": True}}
CASES: list[tuple[str, PortPairGroup, tuple[str, ...], dict[str, int], set[str]]] = [
    ("all work", group(), (), {"a": 1, "b": 1, "c": 1}, set()),
    ("one fails", group(), ("a",), {"b": 1, "c": 1}, {"a"}),
    (
        "one fails, flows stay",
        group(on_failure=OnFailure.KEEP),
        ("a",),
        {"a": 0, "b": 1, "c": 1},
        set(),
    ),
    ("all fail", group(), NAMES, {}, {*NAMES}),
    ("one is switched off", group(a={"admin_state_up": False}), (), {"b": 1, "c": 1}, {"a"}),
    (
        "one is switched off and fails",
        group(a={"admin_state_up": False}, on_failure=OnFailure.KEEP),
        ("a",),
        {"b": 1, "c": 1},
        {"a"},
    ),
    ("a backup stands by", group(**BACKUP), (), {"a": 1, "b": 1, "c": 0}, set()),
    ("a backup stands by for one", group(**BACKUP), ("a",), {"b": 1, "c": 0}, {"a"}),
    ("a backup takes over", group(**BACKUP), ("a", "b"), {"c": 1}, {"a", "b"}),
    (
        "a backup takes over from drained pairs",
        group(a={"weight": 0}, b={"weight": 0}, **BACKUP),
        (),
        {"a": 0, "b": 0, "c": 1},
        set(),
    ),
    (
        "backups alone",
        group(**{n: {"backup": True} for n in NAMES}),
        (),
        {"a": 1, "b": 1, "c": 1},
        set(),
    ),
    ("enough are healthy", group(min_healthy=2), ("a",), {"b": 1, "c": 1}, {"a"}),
    ("too few are healthy", group(min_healthy=3), ("a",), {}, {*NAMES}),
    ("a backup is healthy", group(min_healthy=2, **BACKUP), ("a",), {"b": 1, "c": 0}, {"a"}),
    (
        "a drained pair is healthy",
        group(min_healthy=3, a={"weight": 0}),
        (),
        {"a": 0, "b": 1, "c": 1},
        set(),
    ),
]


@pytest.mark.parametrize(
    ("checked", "failed", "weights", "returning"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_who_gets_packets(
    checked: PortPairGroup, failed: tuple[str, ...], weights: dict[str, int], returning: set[str]
) -> None:
    found = members(checked, *failed)
    assert (found.weights, found.returning) == (weights, returning)
    assert found.unavailable.keys() == {*NAMES} - {n for n, w in weights.items() if w}


def test_reasons_say_what_to_do() -> None:
    assert members(group(), "a").unavailable == {"a": "it fails its health check: no answer"}
    off = members(group(a={"admin_state_up": False})).unavailable
    assert off == {"a": "it is administratively down"}
    few = members(group(min_healthy=3), "a").unavailable["b"]
    assert few == "min_healthy is 3, and 2 of the group are healthy"


def test_what_is_not_plugged_in_returns_nothing_and_no_tap_does() -> None:
    assert members(group(), ports=UNPLUGGED).returning == set()
    tap = replace(group(), tap_enabled=True)
    assert members(tap, "a") == Members(
        {"b": 1, "c": 1}, {"a": "it fails its health check: no answer"}, frozenset(), spare=2
    )


def status(checked: PortPairGroup, *failed: str, up: tuple[str, ...] = (), **options: Any) -> Any:
    known = {name: PairHealth(name, True) for name in up}
    known |= {name: PairHealth(name, False, "no answer") for name in failed}
    return operating_status.of_group(checked, options.get("ports", PORTS), known)


OPEN = {"failure_mode": FailureMode.OPEN}
OFF = {name: {"admin_state_up": False} for name in NAMES}
DRAINED = {name: {"weight": 0} for name in NAMES}


def test_status_of_pairs() -> None:
    found = status(group(c={"weight": 0}), "a", up=("b",)).pairs
    assert [found[name].status for name in NAMES] == ["ERROR", "ONLINE", "DRAINING"]
    assert [found[name].code for name in NAMES] == ["HEALTH_CHECK_FAILED", "", "WEIGHT_ZERO"]
    found = status(group(a=OFF["a"]), ports=UNPLUGGED).pairs
    assert [found[name].status for name in NAMES] == ["OFFLINE", "NO_MONITOR", "OFFLINE"]
    assert [found[n].code for n in NAMES] == [
        "ADMIN_STATE_DOWN",
        "NOT_CHECKED_YET",
        "NOT_PLUGGED_IN",
    ]
    unchecked = replace(group(), health_check=HealthCheck.NONE)
    assert status(unchecked).pairs["a"] == operating_status.of_pair(unchecked.port_pairs[0], PORTS)
    assert status(unchecked).pairs["a"].reason == {"code": "", "text": ""}


@pytest.mark.parametrize(
    ("found", "wanted", "code"),
    [
        (status(group(), up=NAMES), "ONLINE", ""),
        (status(group()), "NO_MONITOR", ""),
        (status(group(), "a", up=("b", "c")), "DEGRADED", "PAIR_UNAVAILABLE"),
        (status(group(), up=("a", "b"), ports=UNPLUGGED), "DEGRADED", "PAIR_UNAVAILABLE"),
        (status(group(a=OFF["a"]), up=("b", "c")), "ONLINE", ""),
        (status(group(**BACKUP), up=NAMES), "ONLINE", ""),
        (status(group(), *NAMES), "ERROR", "NO_PAIR_AVAILABLE"),
        (status(group(min_healthy=3), "a", up=("b", "c")), "ERROR", "TOO_FEW_HEALTHY"),
        (status(group(**DRAINED), up=NAMES), "DRAINING", "NO_PAIR_AVAILABLE"),
        (status(group(**OFF)), "OFFLINE", "NO_PAIR_AVAILABLE"),
        (status(replace(group(), port_pairs=())), "OFFLINE", "NO_PAIR"),
    ],
)
def test_status_of_groups(found: Any, wanted: str, code: str) -> None:
    assert (found.own.status, found.own.code) == (wanted, code)


WORKS, FAILS = status(group(), up=NAMES), status(group(), *NAMES)
SKIPPED = status(replace(group(), **OPEN), *NAMES)
SILENT_TAP = status(replace(group(), tap_enabled=True), *NAMES)


@pytest.mark.parametrize(
    ("groups", "wanted"),
    [
        ((WORKS, WORKS), "ONLINE"),
        ((WORKS, status(group())), "ONLINE"),
        ((status(group()),), "NO_MONITOR"),
        ((WORKS, FAILS), "ERROR"),
        ((WORKS, SKIPPED), "DEGRADED"),
        ((WORKS, SILENT_TAP), "DEGRADED"),
        ((SKIPPED, FAILS), "ERROR"),
        ((status(group(**OFF)), WORKS), "OFFLINE"),
        ((status(group(**DRAINED), up=NAMES), WORKS), "DRAINING"),
        ((status(group(), "a", up=("b",)), WORKS), "DEGRADED"),
    ],
)
def test_status_of_chains(groups: Any, wanted: str) -> None:
    found = operating_status.of_chain("alice", groups)
    assert found.status == wanted
    assert found.text == "" or "port pair group group is" in found.text


def test_the_status_of_a_chain_names_no_group_of_another_project() -> None:
    text = operating_status.of_chain("bob", [FAILS]).text
    assert text == "a port pair group of another project is ERROR"
    assert operating_status.of_chain("bob", [WORKS], withdrawn=True).status == "ERROR"


@pytest.mark.parametrize(
    ("checked", "failed", "spare", "standing_by"),
    [
        (group(), (), 3, {}),
        (group(), ("a",), 2, {}),
        (group(min_healthy=2), (), 1, {}),
        (group(min_healthy=2), ("a",), 0, {}),
        (group(min_healthy=3), ("a",), 0, {}),
        (group(c={"backup": True, "weight": 5}), (), 3, {"c": 5}),
        (group(c={"backup": True, "weight": 5}), ("c",), 2, {}),
        (group(c={"backup": True, "weight": 5}), ("a", "b"), 1, {}),
    ],
)
def test_what_follows_if_more_fail(
    checked: PortPairGroup, failed: tuple[str, ...], spare: int, standing_by: dict[str, int]
) -> None:
    found = members(checked, *failed)
    assert (found.spare, found.standing_by) == (spare, standing_by)
