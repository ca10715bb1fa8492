"""What a host knows that makes sense of a trace."""

from dataclasses import replace

import pytest

from portchain.dataplane.pipeline import (
    ODD_GENERATION,
    POSITION_ARRIVED,
    path_label,
    path_position,
)
from portchain.dataplane.plan import Hop
from portchain.dataplane.tracing.host_view import HostView, Position
from tests.plans import TUNNEL_IPS, chain, ident, switch, target

A, B, FAILED = (target(name, "h1") for name in ("a", "b", "failed"))
ONE = chain([A], Hop(2, (B,), returning=(FAILED,)), name="one", path_id=1)
TWO = replace(chain([B], name="two", path_id=2), generation=3)
BOTH = replace(TWO, paths=(*TWO.paths, replace(TWO.paths[0], reverse=True)))
VIEW = HostView(switch("h1", "vm", "a-in", "a-out"), {}, [ONE, BOTH])


@pytest.mark.parametrize("arrived", [0, POSITION_ARRIVED])
@pytest.mark.parametrize(
    ("plan", "reverse", "hop"), [(ONE, False, 1), (BOTH, False, 0), (BOTH, True, 1)]
)
def test_a_position_names_chain_direction_and_hop(plan, reverse, hop, arrived) -> None:  # type: ignore[no-untyped-def]
    label = path_label(plan.path_id, reverse)
    found = VIEW.position(path_position(label, hop, plan.generation) | arrived)
    path = plan.paths[reverse]
    assert found == Position(plan.path_id, plan.id, reverse, hop, path)
    assert found.group == (path.hops[hop] if hop < len(path.hops) else None)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_position_of_another_plan_of_a_chain_names_the_chain(reverse: bool) -> None:
    """Such as that of another list of groups, or of replies that no plan here has."""
    label = path_label(1 | ODD_GENERATION, reverse)
    assert VIEW.position(path_position(label, 2)) == Position(1, ONE.id, reverse, 2)
    odd = replace(VIEW, plans=[replace(ONE, path_id=1 | ODD_GENERATION)])
    assert odd.position(path_position(path_label(1, reverse), 2)) == Position(1, ONE.id, reverse, 2)
    unknown = VIEW.position(path_position(path_label(7, reverse), 1))
    assert unknown == Position(7, "", reverse, 1)
    assert unknown.group is None


def test_pairs_are_found_by_their_number_and_by_their_ports() -> None:
    for pair in (A, B, FAILED):
        assert VIEW.pair(int(pair.pair_id[:8], 16)) == pair.pair_id
        assert VIEW.pair_at(pair.ingress_port) == VIEW.pair_at(pair.egress_port) == pair.pair_id
    assert VIEW.pair(0x1) == VIEW.pair_at(ident("vm")) == ""
    zeros = replace(A, pair_id="0000001f-0000-4000-8000-000000000000")
    assert replace(VIEW, plans=[chain([zeros])]).pair(0x1F) == zeros.pair_id


def test_ports_and_tunnels_are_found_by_their_openflow_port() -> None:
    assert [VIEW.port_at(number) for number in (12, 99)] == [ident("a-in"), ""]
    assert [VIEW.peer_at(number) for number in (102, 99)] == [TUNNEL_IPS["h2"], ""]
