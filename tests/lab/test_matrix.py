"""The matrix: one oracle for all transports and drivers."""

from collections.abc import Iterator

import pytest
from portchain_lab.lab import Lab

from tests.lab import matrix
from tests.lab.captures import Captures
from tests.lab.labs import Labs
from tests.lab.workflow import SUBNET, Workflow
from tests.pairwise import Case

CASES = matrix.cases()


class Site:
    """A network with two end points in the lab of one transport at a time."""

    def __init__(self, labs: Labs) -> None:
        self._labs = labs
        self._transport = ""
        self._workflow: Workflow | None = None

    def prepare(self, case: Case, captures: Captures) -> Workflow:
        """Provide everything that a case needs, except the chain."""
        transport = str(case["transport"])
        if self._transport != transport:
            self.clean_up()
        lab = self._labs.get(firewall=str(case["firewall"]), **matrix.layout_of(transport))
        if self._workflow is None:
            subnets = (SUBNET, "2001:db8:30::/64")
            of_lab = lab.layout.network_type
            network_type = matrix.TRANSPORTS[transport].get("network_type", of_lab)
            self._workflow = Workflow(lab, Captures(), subnets=subnets, network_type=network_type)
            self._workflow.boot(functions=())
            self._transport = transport
        self._workflow.captures = captures
        matrix.arrange(self._workflow, case)
        return self._workflow

    def clean_up(self) -> None:
        if self._workflow is not None:
            self._workflow.clean_up()
        self._transport, self._workflow = "", None


@pytest.fixture(scope="module")
def site(labs: Labs) -> Iterator[Site]:
    made = Site(labs)
    yield made
    made.clean_up()


@pytest.fixture
def workflow(site: Site, captures: Captures, case: Case) -> Iterator[Workflow]:
    workflow = site.prepare(case, captures)
    yield workflow
    matrix.delete_case(workflow)


@pytest.fixture
def lab(workflow: Workflow) -> Lab:
    """The case's lab."""
    return workflow.lab


@pytest.mark.parametrize("case", CASES, ids=matrix.name_of)
def test_packets_take_the_chain_and_no_other_path(case: Case, lab: Lab, workflow: Workflow) -> None:
    matrix.check(workflow, case)
