"""A randomised search for packets that enter a chain of another project.

Chains are accepted or refused by the rules. `tests.shared_functions` says where packets of the
accepted ones may be seen.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
import pytest
from hypothesis import Phase, assume, event, given, settings
from hypothesis import strategies as st

from portchain.core.model import ChainSnapshot
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.ledger import FlowLedger
from portchain.dataplane.planning import attribution
from portchain.dataplane.planning.planner import plan_chain
from tests.plans import TUNNEL_IPS, ident, switch
from tests.shared_functions import (
    FUNCTION_ADDRESSES,
    FUNCTIONS,
    PROVIDER,
    T1,
    T2,
    VMS,
    World,
    are_accepted,
)
from tests.stateful import EXPLORE

SHARED_ADDRESS = FUNCTION_ADDRESSES["shared-out"]
addresses = st.fixed_dictionaries(
    {name: st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", SHARED_ADDRESS]) for name in VMS}
)
mappings = st.dictionaries(
    st.sampled_from(FUNCTIONS),
    st.sampled_from(
        [
            {"source_ip_prefix": "10.0.0.2/32"},
            {"source_ip_prefix": f"{SHARED_ADDRESS}/32"},
            {"destination_port_range_min": 51, "destination_port_range_max": 51},
        ]
    ),
    max_size=2,
)
some_functions = st.frozensets(st.sampled_from(FUNCTIONS), max_size=2)
worlds = st.builds(
    World, addresses, st.sampled_from([PROVIDER, T1]), mappings, some_functions, some_functions
).map(lambda world: replace(world, single=world.single - world.bridging))
prefixes = st.sampled_from([None, "10.0.0.0/30", "10.0.0.1/32", "10.0.0.2/32", "10.0.0.0/24"])


@dataclass(frozen=True)
class Wish:
    """The chain that a project asks for, or a service graph of two.

    :param before: the function of a preceding chain; empty if there is none.
    """

    project: str
    groups: tuple[str, ...]
    symmetric: bool
    classifier: dict[str, Any]
    before: str = ""

    def chains(self, world: World) -> list[ChainSnapshot]:
        if self.before:
            return world.linked(self.project, self.before, self.groups, **self.classifier)
        return [world.chain(self.project, self.groups, self.symmetric, **self.classifier)]


@st.composite
def wishes(draw: Any, project: str) -> Wish:
    own = (f"{project}f1", f"{project}f2")
    lists = [("shared",), ("shared", own[1]), (own[0], "shared"), (own[0], "shared", own[1])]
    linked = draw(st.integers(0, 2)) == 0
    groups = draw(st.sampled_from(lists[:2] if linked else lists))
    vm = st.sampled_from([ident(f"{project}vm1"), ident(f"{project}vm2")])
    # A logical port or a prefix: it is the planner's business how both combine.
    end = st.tuples(st.none(), vm) | st.tuples(prefixes, st.none())
    ports = st.sampled_from([None, (50, 50), (50, 51), (0, 65535)])
    source_prefix, source_port = draw(end)
    destination_prefix, destination_port = draw(end)
    classifier = {
        "source_prefix": source_prefix,
        "destination_prefix": destination_prefix,
        "logical_source_port": source_port,
        "logical_destination_port": destination_port,
        "destination_ports": draw(ports),
    }
    symmetric = not linked and draw(st.booleans())
    return Wish(project, groups, symmetric, classifier, own[0] if linked else "")


def accepted_chains(world: World, wanted: Iterable[Wish]) -> list[ChainSnapshot]:
    """Return the chains of those wishes that the rules accept, one after the other."""
    accepted: list[ChainSnapshot] = []
    for wish in wanted:
        chains = wish.chains(world)
        if not _is_ambiguous(world, chains[-1]) and are_accepted(chains, accepted):
            accepted += chains
    return accepted


@settings(deadline=None, derandomize=not EXPLORE, max_examples=EXPLORE or 60)
@given(worlds, wishes(T1), wishes(T2), st.booleans())
def test_no_packet_is_seen_at_another_projects_function(
    world: World, first: Wish, second: Wish, swap: bool
) -> None:
    accepted = accepted_chains(world, (second, first) if swap else (first, second))
    assume(accepted)
    shared = {chain.chain.project_id for chain in accepted}
    event(f"projects: {len(shared)}, graphs: {sum(bool(c.successors) for c in accepted)}")
    ledger = FlowLedger()
    for chain in accepted:
        plan = plan_chain(chain, TUNNEL_IPS).plan
        ledger.set(
            plan.id, compile_chain(plan, switch("h1", *world.addresses, *FUNCTION_ADDRESSES)).flows
        )
    world.check_packets(accepted)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_search_finds_a_leak_without_the_comparison(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle knows requests only. If it sees nothing here, the search above shows nothing."""
    monkeypatch.setattr(attribution, "check_isolated", lambda own, others=(): None)

    @hypothesis.seed(seed)
    @settings(deadline=None, database=None, max_examples=2000, phases=[Phase.generate])
    @given(worlds, wishes(T1), wishes(T2))
    def search(world: World, first: Wish, second: Wish) -> None:
        accepted = accepted_chains(world, (first, second))
        assume(len({chain.chain.project_id for chain in accepted}) == 2)
        world.check_packets(accepted)

    with pytest.raises(AssertionError):
        search()


def _is_ambiguous(world: World, chain: ChainSnapshot) -> bool:
    """Tell whether a VM has the address of another one of its project, or sends to itself."""
    own = [a for name, a in world.addresses.items() if name.startswith(chain.chain.project_id)]
    (fc,) = chain.chain.flow_classifiers
    same_end = fc.logical_source_port is not None and (
        fc.logical_source_port == fc.logical_destination_port
    )
    return len(set(own)) < len(own) or same_end
