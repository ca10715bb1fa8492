"""Which meter bounds what a function gives to the host."""

from dataclasses import replace

import pytest

from portchain.core.model import HealthCheck, HealthCheckParameters
from portchain.dataplane.answer_meters import meter_of, surplus, used_by
from portchain.dataplane.compile.probes import peer_flows, probe_flows
from portchain.dataplane.plan import Probe
from tests.plans import ident, mac, switch

LOCAL = switch("h1", "a-in", "a-out", "b-in", "b-out")
METERED = replace(LOCAL, largest_meter=1000)
OFPORTS = {port.ofport for port in LOCAL.ports.values()}


def probe(name: str) -> Probe:
    return Probe(
        pair_id=ident(name),
        host="h1",
        ingress_port=ident(f"{name}-in"),
        ingress_mac=mac(f"{name}-in"),
        egress_port=ident(f"{name}-out"),
        check=HealthCheck.ICMP,
        source="10.0.0.1",
        destination="10.0.0.20",
        parameters=HealthCheckParameters(),
    )


def test_no_two_ports_share_a_meter() -> None:
    assert {meter_of(ofport, METERED) for ofport in OFPORTS} == {1000 - one for one in OFPORTS}


@pytest.mark.parametrize("largest", [0, 5])
def test_no_meter_has_a_number_that_meters_cannot_have(largest: int) -> None:
    few = replace(LOCAL, largest_meter=largest)
    assert [meter_of(ofport, few) for ofport in (4, 5, 6)] == (
        [1, None, None] if largest else [None] * 3
    )


def test_each_function_has_its_own_meter_before_what_it_gives_to_the_host() -> None:
    for name in "ab":
        own = meter_of(LOCAL.ports[ident(f"{name}-out")].ofport, METERED)
        flows = list(probe_flows([probe(name)], METERED))
        assert {flow.actions.partition(",controller(")[0] for flow in flows} == {f"meter:{own}"}
        assert used_by(flows) == {own}


def test_flows_without_meters() -> None:
    assert used_by(probe_flows([probe("a")], LOCAL)) == set()
    assert used_by(peer_flows(METERED)) == set(), "hosts are trusted"


def test_only_meters_of_ports_that_are_gone_are_surplus() -> None:
    present = {1000 - ofport for ofport in OFPORTS}
    assert surplus(present | {7}, METERED) == {7}
    left = METERED.without_ports([ident("a-out")])
    assert surplus(present, left) == {1000 - LOCAL.ports[ident("a-out")].ofport}
