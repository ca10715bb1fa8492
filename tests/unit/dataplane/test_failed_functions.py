"""What hosts do on their own when functions fail: the same as the server does afterwards."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portchain.core.model import (
    ChainSnapshot,
    FailureMode,
    FlowClassifier,
    HealthCheck,
    OnFailure,
    Port,
    PortChain,
    PortPair,
    PortPairGroup,
)
from portchain.dataplane.failed_functions import leave_out, pairs_put_back
from portchain.dataplane.plan import ChainPlan
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, ident, mac

NAMES = ("a", "b", "c", "d")


def port(name: str, host: str) -> Port:
    number = sum(name.encode()) % 250
    return Port(
        ident(name),
        ident("net"),
        ident("project"),
        mac(name),
        (f"10.0.0.{number}",),
        host,
        plugged=True,
        name=name,
    )


LAST = PortPairGroup(
    *(ident("last"), ident("project"), 2),
    (PortPair(ident("d"), ident("project"), ident("d-i"), ident("d-o")),),
)


def snapshot(
    group: PortPairGroup, failed: Collection[str] = (), last: PortPairGroup = LAST
) -> ChainSnapshot:
    """A chain through a group and one more function."""
    classifier = FlowClassifier(ident("fc"), ident("project"), protocol=17)
    chain = PortChain(
        ident("pc"), ident("project"), 1, (group, last), (classifier,), symmetric=True, revision=1
    )
    ports = [
        port("src", "h1"),
        port("dst", "h3"),
        *(port(f"{n}-{side}", f"h{1 + NAMES.index(n) % 3}") for n in NAMES for side in ("i", "o")),
    ]
    return ChainSnapshot(
        chain,
        {one.id: one for one in ports},
        {classifier.id: (ident("src"),)},
        {classifier.id: (ident("dst"),)},
        failed={ident(name): "no answer" for name in failed},
    )


def pair(name: str, **attributes: Any) -> PortPair:
    return PortPair(
        ident(name), ident("project"), ident(f"{name}-i"), ident(f"{name}-o"), **attributes
    )


def group(*pairs: PortPair, **attributes: Any) -> PortPairGroup:
    checked = {"health_check": HealthCheck.ICMP, **attributes}
    return PortPairGroup(ident("pg"), ident("project"), 1, pairs, **checked)


def plan(
    made: PortPairGroup, failed: Collection[str] = (), last: PortPairGroup = LAST
) -> ChainPlan:
    return plan_chain(snapshot(made, failed, last), TUNNEL_IPS).plan


def without_reactions(made: ChainPlan) -> ChainPlan:
    """What a plan says of packets, whatever follows from the next failures."""
    paths = (
        replace(path, hops=tuple(replace(hop, reaction=None) for hop in path.hops))
        for path in made.paths
    )
    return replace(made, paths=tuple(paths))


PAIRS = st.tuples(
    *(
        st.builds(
            pair,
            st.just(name),
            weight=st.integers(0, 2),
            backup=st.booleans(),
            admin_state_up=st.sampled_from([True, True, False]),
        )
        for name in NAMES[:3]
    )
)
SOME = st.frozensets(st.sampled_from(NAMES))
LAST_GROUPS = st.builds(
    replace,
    st.just(LAST),
    health_check=st.sampled_from([HealthCheck.NONE, HealthCheck.ICMP]),
    failure_mode=st.sampled_from(FailureMode),
)


@given(
    PAIRS,
    SOME,
    SOME,
    st.integers(1, 3),
    st.sampled_from(FailureMode),
    LAST_GROUPS,
)
def test_hosts_select_as_the_server_does_afterwards(
    pairs: tuple[PortPair, ...],
    known: frozenset[str],
    failed: frozenset[str],
    min_healthy: int,
    failure_mode: FailureMode,
    last: PortPairGroup,
) -> None:
    """In each of two groups, whatever becomes of the other one."""
    made = group(*pairs, min_healthy=min_healthy, failure_mode=failure_mode)
    if last.health_check is HealthCheck.NONE:
        known, failed = known - {"d"}, failed - {"d"}  # nobody says so
    before = plan(made, known, last)
    after = leave_out(before, {ident(name) for name in failed})
    assert without_reactions(after) == without_reactions(plan(made, known | failed, last))


@pytest.mark.parametrize(
    "attributes",
    [{"on_failure": OnFailure.KEEP}, {"health_check": HealthCheck.NONE}],
    ids=["flows stay", "nobody checks"],
)
def test_hosts_wait_for_the_server(attributes: dict[str, Any]) -> None:
    before = plan(group(pair("a"), pair("b"), **attributes))
    assert leave_out(before, {ident("a")}) == before


def test_a_pair_that_the_server_puts_back_is_known() -> None:
    made = group(pair("a"), pair("b"))
    without, whole = plan(made, ["a"]), plan(made)
    assert pairs_put_back(without, whole) == {ident("a")}
    assert pairs_put_back(whole, without) == set()
    assert pairs_put_back(None, whole) == set()


def test_other_hops_stay_the_same_objects() -> None:
    before = plan(group(pair("a"), pair("b")))
    after = leave_out(before, {ident("a")})
    assert after.paths[0].hops[1] is before.paths[0].hops[1]
    assert leave_out(before, {ident("d")}) is before
    assert replace(after, paths=before.paths) == before
