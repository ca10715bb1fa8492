"""A randomised search for packets that enter a chain of another project.

Chains are accepted or refused by the rules. `tests.shared_functions` says where packets of the
accepted ones may be seen.
"""

from typing import Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from portchain.core.model import ChainSnapshot
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.ledger import FlowLedger
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
    is_accepted,
)
from tests.stateful import EXPLORE

addresses = st.fixed_dictionaries(
    {name: st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"]) for name in VMS}
)
mappings = st.dictionaries(
    st.sampled_from(FUNCTIONS),
    st.sampled_from(
        [
            {"source_ip_prefix": "10.0.0.2/32"},
            {"source_ip_prefix": FUNCTION_ADDRESSES["shared-out"] + "/32"},
            {"destination_port_range_min": 51, "destination_port_range_max": 51},
        ]
    ),
    max_size=2,
)
worlds = st.builds(World, addresses, st.sampled_from([PROVIDER, T1]), mappings)
prefixes = st.sampled_from([None, "10.0.0.0/30", "10.0.0.1/32", "10.0.0.2/32", "10.0.0.0/24"])


@st.composite
def chains_of(draw: Any, project: str) -> tuple[str, tuple[str, ...], bool, dict[str, Any]]:
    own = (f"{project}f1", f"{project}f2")
    lists = [("shared",), ("shared", own[1]), (own[0], "shared"), (own[0], "shared", own[1])]
    groups = draw(st.sampled_from(lists))
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
    return project, groups, draw(st.booleans()), classifier


@settings(deadline=None, derandomize=not EXPLORE, max_examples=EXPLORE or 40)
@given(worlds, chains_of(T1), chains_of(T2), st.booleans())
def test_no_packet_is_seen_at_another_projects_function(
    world: World, first: Any, second: Any, swap: bool
) -> None:
    accepted: list[ChainSnapshot] = []
    for project, groups, symmetric, classifier in (second, first) if swap else (first, second):
        chain = world.chain(project, groups, symmetric, **classifier)
        if _is_ambiguous(world, chain):
            continue
        if is_accepted(chain, accepted):
            accepted.append(chain)
    assume(accepted)
    event(f"chains: {len(accepted)}")
    ledger = FlowLedger()
    for chain in accepted:
        plan = plan_chain(chain, TUNNEL_IPS).plan
        ledger.set(
            plan.id, compile_chain(plan, switch("h1", *world.addresses, *FUNCTION_ADDRESSES)).flows
        )
    world.check_packets(accepted)


def _is_ambiguous(world: World, chain: ChainSnapshot) -> bool:
    """Tell whether a VM has the address of another one of its project, or sends to itself."""
    own = [a for name, a in world.addresses.items() if name.startswith(chain.chain.project_id)]
    (fc,) = chain.chain.flow_classifiers
    same_end = fc.logical_source_port is not None and (
        fc.logical_source_port == fc.logical_destination_port
    )
    return len(set(own)) < len(own) or same_end
