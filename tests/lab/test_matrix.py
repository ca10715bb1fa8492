"""The specification's workflow in every way that matters: all pairs of transport, firewall, address family, kinds of functions,
placement and direction. A lab for each transport.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from portchain.lab import journey
from portchain.lab.lab import Lab
from portchain.lab.layout import FIREWALLS, Layout
from tests.lab.conftest import NAME, Captures
from tests.lab.workflow import ANSWERED, DIRECT, FUNCTIONS, SUBNET, Workflow
from tests.pairwise import Case, all_pairs

TRANSPORTS: dict[str, dict[str, Any]] = {
    "vxlan": {},
    "gre": {"network": "gre"},
    "geneve": {"network": "geneve"},
    "vlan": {"network": "vlan"},
    "flat": {"network": "flat"},
    "l2pop": {"l2_population": True},
    "ipv6": {"ipv6_underlay": True},
}
ONE_PORT = "one port"
# Of the functions of PG1 and of PG2.
KINDS = {
    ONE_PORT: ("l3", "l3"),
    "l3": ("l3", "l3"),
    "l2": ("l2", "l2"),
    "mpls": ("mpls", "mpls"),
    "nsh": ("nsh", "nsh"),
    "l3-l2": ("l3", "l2"),
}
PLACES = {
    "one": dict.fromkeys(("src", *FUNCTIONS, "dst"), "h1"),
    "apart": {"src": "h1", "sf1": "h2", "sf2": "h2", "sf3": "h3", "dst": "h1"},
    "mixed": {},
}
DIMENSIONS = {
    "transport": tuple(TRANSPORTS),
    "firewall": FIREWALLS,
    "version": (4, 6),
    "kinds": tuple(KINDS),
    "places": tuple(PLACES),
    "symmetric": (False, True),
}


def _cases() -> list[Case]:
    """Those of one lab together, and in it those with one firewall."""
    order = list(product(TRANSPORTS, FIREWALLS))
    return sorted(
        all_pairs(DIMENSIONS), key=lambda one: order.index((one["transport"], one["firewall"]))
    )


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
        first, second = KINDS[str(case["kinds"])]
        flow.kinds = {"sf1": first, "sf2": first, "sf3": second}
        flow.one_port = tuple(FUNCTIONS) if case["kinds"] == ONE_PORT else ()
        flow.hosts = PLACES[str(case["places"])]
        home = flow.hosts.get("dst", "h3")
        if flow.machines["dst"].host != home:
            flow.machines["dst"] = flow.lab.vms.move(flow.machines["dst"], home, wait=False)
        flow.start_functions()
        return flow

    def _begin(self, transport: str, firewall: str) -> None:
        lab = Lab(Layout(f"{NAME[:8]}mx", firewall=firewall, **TRANSPORTS[transport]))
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
    flow.delete_chains()
    for name in FUNCTIONS:
        flow.lab.vms.delete(flow.machines.pop(name))


@pytest.fixture
def lab(flow: Workflow) -> Lab:
    """The case's lab, in the place of the session's."""
    return flow.lab


@pytest.mark.parametrize("case", _cases(), ids=lambda case: "-".join(map(str, case.values())))
def test_packets_visit_the_chain_and_nothing_else(case: Case, lab: Lab, flow: Workflow) -> None:
    version = int(str(case["version"]))
    overheard = "l2" in flow.kinds.values()
    flow.pairs_and_groups()
    headers = sorted({"mpls", "nsh"} & set(flow.kinds.values()))
    chain = flow.chain(
        flow.classifier(version=version, source_port_range_min=None, source_port_range_max=None),
        chain_parameters={
            "correlation": headers[0] if headers else "mpls",
            "symmetric": case["symmetric"],
        },
    )
    flow.wait_status(chain)
    for port in (100, 101):
        flow.warm_up(port=port, version=version)
    answered = flow.answered if case["symmetric"] else ANSWERED
    how = {"version": version, "answered": answered, "overheard": overheard}
    connections = flow.connect(count=10, **how)
    assert {connection.path for connection in connections} <= flow.chained
    if case["symmetric"]:
        for connection in connections:
            assert connection.path is not None
            assert set(connection.replies) == {tuple(reversed(connection.path))}
    how["answered"] = ANSWERED
    assert {connection.path for connection in flow.connect(port=101, count=3, **how)} == DIRECT
    if not headers:
        seen = [one for each in flow.captures.all for one in each.seen]
        assert journey.foreign(seen) == [], "no chain header gets to a machine"
    flow.delete("port_chain", chain)
    flow.wait_no_rules()
