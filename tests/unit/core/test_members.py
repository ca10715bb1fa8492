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
    (
        "all fail, flows stay",
        group(on_failure=OnFailure.KEEP),
        NAMES,
        {"a": 0, "b": 0, "c": 0},
        set(),
    ),
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
    ("a backup fails", group(**BACKUP), ("c",), {"a": 1, "b": 1}, {"c"}),
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
    ("two must be healthy and one is", group(min_healthy=2), ("a", "b"), {}, {*NAMES}),
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
    backup = {"c": {"backup": True, "weight": 0}}
    assert members(group(**backup)).unavailable == {"c": "its weight is 0"}
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


APART = PORTS | {f"{name}-out": replace(PORTS[f"{name}-out"], host="h2") for name in NAMES}


@pytest.mark.parametrize(
    ("pair", "status", "code", "text"),
    [
        ("fails", "ERROR", "HEALTH_CHECK_FAILED", "it fails its health check: no answer"),
        ("works", "ONLINE", "", ""),
        (
            "new",
            "NO_MONITOR",
            "NOT_CHECKED_YET",
            "its host has not said yet whether it passes its health check",
        ),
        ("drained", "DRAINING", "WEIGHT_ZERO", "its weight is 0"),
        ("off", "OFFLINE", "ADMIN_STATE_DOWN", "it is administratively down"),
        ("unplugged", "OFFLINE", "NOT_PLUGGED_IN", "its egress port c-out is DOWN on host h1"),
        (
            "apart",
            "OFFLINE",
            "NOT_PLUGGED_IN",
            "its ports are on different hosts (h1, h2)",
        ),
        ("backup", "ONLINE", "STANDS_BY", "it is a backup, and others are available"),
        ("new backup", "NO_MONITOR", "STANDS_BY", "it is a backup, and others are available"),
        ("failed backup", "ERROR", "HEALTH_CHECK_FAILED", "it fails its health check: no answer"),
    ],
)
def test_status_of_a_pair(pair: str, status: str, code: str, text: str) -> None:
    """Whatever the other two do, which work."""
    attributes = {
        "drained": {"weight": 0},
        "off": {"admin_state_up": False},
        "backup": {"backup": True},
    }.get(pair.removeprefix("new ").removeprefix("failed "), {})
    health = {"new": (), "new backup": (), "fails": (PairHealth("c", False, "no answer"),)}
    health["failed backup"] = health["fails"]
    known = {"a": PairHealth("a", True), "b": PairHealth("b", True)}
    known |= {one.pair_id: one for one in health.get(pair, (PairHealth("c", True),))}
    ports = {"unplugged": UNPLUGGED, "apart": PORTS | {"c-out": APART["c-out"]}}.get(pair, PORTS)
    found = operating_status.of_group(group(c=attributes), ports, known).pairs["c"]
    assert (found.status, found.reason) == (status, {"code": code, "text": text})


def test_status_of_a_pair_in_no_group() -> None:
    unchecked = replace(group(), health_check=HealthCheck.NONE)
    alone = operating_status.of_pair(unchecked.port_pairs[0], PORTS)
    assert (
        status(unchecked).pairs["a"]
        == alone
        == operating_status.Operating(operating_status.OperatingStatus.NO_MONITOR)
    )
    apart = operating_status.of_pair(unchecked.port_pairs[0], APART)
    assert (apart.status, apart.code) == ("OFFLINE", "NOT_PLUGGED_IN")


DROPS, SKIPS = "it drops new flows", "packets skip it"


@pytest.mark.parametrize(
    ("find", "wanted", "code", "text"),
    [
        (lambda: status(group(), up=NAMES), "ONLINE", "", ""),
        (lambda: status(group()), "NO_MONITOR", "", ""),
        (lambda: status(group(), up=("a",)), "ONLINE", "", ""),
        (
            lambda: status(group(), "a", up=("b", "c")),
            "DEGRADED",
            "PAIR_UNAVAILABLE",
            "1 of 3 pairs are not available",
        ),
        (
            lambda: status(group(), up=("a", "b"), ports=UNPLUGGED),
            "DEGRADED",
            "PAIR_UNAVAILABLE",
            "1 of 3 pairs are not available",
        ),
        (lambda: status(group(a=OFF["a"]), up=("b", "c")), "ONLINE", "", ""),
        (lambda: status(group(**BACKUP), up=NAMES), "ONLINE", "", ""),
        (lambda: status(group(a={"weight": 0}), up=NAMES), "ONLINE", "", ""),
        (
            lambda: status(group(), *NAMES),
            "ERROR",
            "NO_PAIR_AVAILABLE",
            f"no pair is available; {DROPS}",
        ),
        (
            lambda: status(replace(group(), **OPEN), *NAMES),
            "ERROR",
            "NO_PAIR_AVAILABLE",
            f"no pair is available; {SKIPS}",
        ),
        (
            lambda: status(group(min_healthy=3), "a", up=("b", "c")),
            "ERROR",
            "TOO_FEW_HEALTHY",
            f"fewer pairs are healthy than min_healthy, 3; {DROPS}",
        ),
        (
            lambda: status(group(**DRAINED), up=NAMES),
            "DRAINING",
            "NO_PAIR_AVAILABLE",
            f"no pair is available; {DROPS}",
        ),
        (
            lambda: status(group(**OFF)),
            "OFFLINE",
            "NO_PAIR_AVAILABLE",
            f"no pair is available; {DROPS}",
        ),
        (
            lambda: status(group(), ports=APART),
            "OFFLINE",
            "NO_PAIR_AVAILABLE",
            f"no pair is available; {DROPS}",
        ),
        (lambda: status(replace(group(), port_pairs=())), "OFFLINE", "NO_PAIR", "it has no pair"),
    ],
)
def test_status_of_groups(find: Any, wanted: str, code: str, text: str) -> None:
    found = find().own
    assert (found.status, found.code, found.text) == (wanted, code, text)


def works() -> Any:
    return status(group(), up=NAMES)


def fails(**changes: Any) -> Any:
    return status(replace(group(), **changes), *NAMES)


GROUP = "port pair group group is "


@pytest.mark.parametrize(
    ("find", "wanted", "text"),
    [
        (lambda: (works(), works()), "ONLINE", ""),
        (lambda: (works(), status(group())), "ONLINE", ""),
        (lambda: (status(group()),), "NO_MONITOR", ""),
        (lambda: (works(), fails()), "ERROR", f"{GROUP}ERROR"),
        (lambda: (works(), fails(**OPEN)), "DEGRADED", f"{GROUP}ERROR"),
        (lambda: (works(), fails(tap_enabled=True)), "DEGRADED", f"{GROUP}ERROR"),
        (lambda: (fails(**OPEN), fails()), "ERROR", f"{GROUP}ERROR; {GROUP}ERROR"),
        (lambda: (status(group(**OFF)), works()), "OFFLINE", f"{GROUP}OFFLINE"),
        (lambda: (status(group(**DRAINED), up=NAMES), works()), "DRAINING", f"{GROUP}DRAINING"),
        (lambda: (status(group(), "a", up=("b",)), works()), "DEGRADED", f"{GROUP}DEGRADED"),
        (
            lambda: (status(group(**DRAINED), up=NAMES), status(group(**OFF))),
            "OFFLINE",
            f"{GROUP}DRAINING; {GROUP}OFFLINE",
        ),
    ],
)
def test_status_of_chains(find: Any, wanted: str, text: str) -> None:
    found = operating_status.of_chain("alice", find())
    assert (found.status, found.text) == (wanted, text)
    assert found.code == ("GROUP_UNAVAILABLE" if text else "")


def test_the_status_of_a_chain_names_no_group_of_another_project() -> None:
    text = operating_status.of_chain("bob", [fails()]).text
    assert text == "a port pair group of another project is ERROR"
    withdrawn = operating_status.of_chain("bob", [works()], withdrawn=True)
    assert withdrawn.status == "ERROR"
    assert withdrawn.reason == {
        "code": "GROUP_WITHDRAWN",
        "text": "another project has withdrawn a port pair group that it shared",
    }


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
