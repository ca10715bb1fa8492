"""The matrix on Open vSwitch agents, with a lab for each transport. ``test_ovn`` has the part of it that is OVN's."""

from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab
from portchain_lab.layout import Layout

from tests.lab import matrix
from tests.lab.conftest import NAME, Captures
from tests.lab.workflow import SUBNET, Workflow
from tests.pairwise import Case

CASES = matrix.cases(matrix.TRANSPORTS.keys() - {matrix.OVN})


class Site:
    """The lab of one transport, with a network and two end points; one of another transport takes its place when wanted."""

    def __init__(self) -> None:
        self._transport = ""
        self._flow: Workflow | None = None

    def prepare(self, case: Case, captures: Captures) -> Workflow:
        """Bring about all that a case needs but the chain."""
        if self._transport != case["transport"]:
            self.end()
            self._begin(str(case["transport"]), str(case["firewall"]))
        flow = self._flow
        assert flow is not None
        if flow.lab.layout.firewall != case["firewall"]:
            flow.lab.set_firewall(str(case["firewall"]))
        flow.captures = captures
        matrix.arrange(flow, case)
        return flow

    def _begin(self, transport: str, firewall: str) -> None:
        lab = Lab(Layout(f"{NAME[:8]}mx", firewall=firewall, **matrix.TRANSPORTS[transport]))
        lab.up(lambda step: print(f"lab: {step}", flush=True))
        self._transport = transport
        self._flow = Workflow(lab, Captures(), subnets=(SUBNET, "2001:db8:30::/64"))
        self._flow.boot(functions=())

    def end(self) -> None:
        if self._flow is not None:
            self._flow.lab.down()
        self._transport, self._flow = "", None


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.end()


@pytest.fixture
def flow(site: Site, captures: Captures, case: Case) -> Iterator[Workflow]:
    flow = site.prepare(case, captures)
    yield flow
    matrix.put_away(flow)


@pytest.fixture
def lab(flow: Workflow) -> Lab:
    """The case's lab, in the place of the session's."""
    return flow.lab


@pytest.mark.parametrize("case", CASES, ids=matrix.name_of)
def test_packets_visit_the_chain_and_nothing_else(case: Case, lab: Lab, flow: Workflow) -> None:
    matrix.check(flow, case)
