"""What flows need of the datapath: the table has everything that flows of any plan use."""

import pytest

from portchain.dataplane import pipeline
from portchain.dataplane.compile import compile_chain
from portchain.dataplane.datapath import (
    COPIES,
    FEATURES,
    MPLS,
    NEEDS,
    NSH,
    PACKET_LENGTH,
    RECIRCULATION,
    SEGMENTATION,
    Feature,
    constructs,
    shortfall,
)
from portchain.dataplane.flow import Flow
from portchain.dataplane.host_switch import Firewall
from portchain.dataplane.plan import ChainPlan
from tests.golden.test_features import ON_PROVIDER, PLANS, PROVIDER, local
from tests.golden.test_tables import examples
from tests.plans import chain

SENDING = {MPLS, SEGMENTATION}
BOTH_WAYS = {*SENDING, RECIRCULATION}


def flows(plan: ChainPlan, **changes: object) -> set[Flow]:
    return set(compile_chain(plan, local(**changes)).flows)


def all_flows() -> set[Flow]:
    found = set(examples())
    for plan in (*PLANS.values(), *(chain(*hops) for hops in ON_PROVIDER.values())):
        for firewall in Firewall:
            found |= flows(plan, firewall=firewall)
            found |= flows(plan, firewall=firewall, has_rate_limits=True)
            found |= flows(plan, firewall=firewall, **PROVIDER)
    return found


def declared() -> set[str]:
    fields = {name for table in pipeline.TABLES.values() for name in table.matches | table.writes}
    return {name for name in fields if not name.startswith(("reg", "pkt_reg", "xxreg"))}


def test_the_table_has_everything_that_flows_use() -> None:
    used = {name for flow in all_flows() for name in constructs(flow)}
    assert used | declared() == set(NEEDS)


def test_every_feature_is_needed_by_something() -> None:
    assert {feature for needs in NEEDS.values() for feature in needs} == FEATURES


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("bridging", BOTH_WAYS),
        ("weights-and-fields", {*SENDING, PACKET_LENGTH}),
        ("nsh-aware-second", {*SENDING, NSH}),
        ("taps", {*SENDING, COPIES}),
        ("only-taps", {COPIES, PACKET_LENGTH}),  # the others are on one host
        ("shared-unchanged", {PACKET_LENGTH}),
        ("mpls-aware", {*BOTH_WAYS, PACKET_LENGTH}),
        ("off-network-alone", BOTH_WAYS),
        ("checked-at-the-end", set()),
    ],
)
def test_a_chain_needs_what_its_flows_use(name: str, needed: set[Feature]) -> None:
    plan = PLANS[name]
    said = shortfall(flows(plan, firewall=Firewall.ELSEWHERE), FEATURES)
    assert {feature for feature in FEATURES if feature.effect in said} == needed
