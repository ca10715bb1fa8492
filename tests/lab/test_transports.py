"""The specification's workflow over each way between hosts: a lab each."""

from collections.abc import Iterator
from typing import Any

import pytest

from portchain.lab import journey
from portchain.lab.lab import Lab
from portchain.lab.layout import Layout
from tests.lab.conftest import FIREWALL, NAME, Captures
from tests.lab.workflow import CHAINED, DIRECT, Workflow

TRANSPORTS: dict[str, dict[str, Any]] = {
    "gre": {"network": "gre"},
    "geneve": {"network": "geneve"},
    "vlan": {"network": "vlan"},
    "flat": {"network": "flat"},
    "l2pop": {"l2_population": True},
    "ipv6": {"ipv6_underlay": True},
}


@pytest.fixture(params=TRANSPORTS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab of its own in the place of the session's; it stays only while its test runs."""
    made = Lab(Layout(f"{NAME[:8]}tr", firewall=FIREWALL, **TRANSPORTS[request.param]))
    made.up(lambda step: print(f"lab: {step}", flush=True))
    yield made
    made.down()


def test_the_workflow(lab: Lab, captures: Captures) -> None:
    flow = Workflow(lab, captures)
    flow.boot()
    flow.pairs_and_groups()
    any_source_port = {"source_port_range_min": None, "source_port_range_max": None}
    chain = flow.chain(flow.classifier(**any_source_port))
    flow.wait_status(chain)
    flow.warm_up()
    assert flow.paths(count=40) == CHAINED
    assert flow.paths(port=101) == DIRECT
    assert not journey.foreign(one for each in captures.all for one in each.seen)
    flow.delete("port_chain", chain)
    flow.wait_no_rules()
    assert flow.paths() == DIRECT
