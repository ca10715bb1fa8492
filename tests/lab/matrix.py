"""One matrix and one oracle for all drivers: the specification's workflow in many environments.

The dimensions are transport, firewall, address family, kinds of functions, placement and direction.
`make test-full` runs every pair of choices. `make test` runs
every transport between hosts, every choice of the other dimensions, and every pair of firewall,
address family and direction; ``test_kinds`` has the kinds of functions in both directions. `make
test-kernel-lab` runs the same, and every transport with both firewalls.
"""

from itertools import product
from typing import Any

from portchain_lab.layout import FIREWALLS
from portchain_lab.observe import packet_paths

from tests.full import FULL
from tests.lab import labs
from tests.lab.labs import DATAPATH
from tests.lab.workflow import ANSWERED, DIRECT, FUNCTIONS, Workflow
from tests.pairwise import Case, all_pairs

DEFAULT_TRANSPORT = "vxlan"
PAIRED = {"firewall", "version", "symmetric"}
"""Dimensions of which `make test`, too, runs every pair of choices."""
IN_KERNEL = DATAPATH == "kernel"
"""Whether each transport runs with each firewall: the kernel itself tracks connections."""
# How the layout of the transport's lab differs from the default.
TRANSPORTS: dict[str, dict[str, Any]] = {
    "vxlan": {},
    "gre": {"network_type": "gre"},
    "geneve": {"network_type": "geneve"},
    "vlan": {"network_type": "vlan"},
    "flat": {"network_type": "flat"},
    "l2pop": labs.L2_POPULATION,
    "ipv6": labs.IPV6,
    "ovn": labs.OVN,
    "ovn-vlan": {**labs.OVN, "network_type": "vlan"},
    "ovn-flat": {**labs.OVN, "network_type": "flat"},
}


def layout_of(transport: str) -> dict[str, Any]:
    """The layout of the transport's lab, as ``Labs.get`` takes it.

    Hosts of OVN carry networks of all types at once.
    """
    layout = TRANSPORTS[transport]
    return labs.OVN if layout.get("driver") == "ovn" else layout


ONE_PORT = "one port"
# Kinds of the functions of PG1 and of PG2.
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


def _possible(case: Case) -> bool:
    """Whether this run can include a case."""
    together = case["transport"] == DEFAULT_TRANSPORT and case["firewall"] == FIREWALLS[0]
    if not FULL and case["places"] == "one" and not together:
        return False  # a transport shows only between hosts
    any_firewall = FULL or IN_KERNEL
    return _supported(case) and (any_firewall or case["firewall"] == _only_firewall(case))


def _only_firewall(case: Case) -> str:
    """A transport's firewall in `make test`: with another one, every agent has to restart."""
    if _on_ovn(case):
        return FIREWALLS[0]
    return FIREWALLS[list(TRANSPORTS).index(str(case["transport"])) % len(FIREWALLS)]


def _supported(case: Case) -> bool:
    """Whether the transport's hosts can run a case.

    OVN has its own firewall, and its Open vSwitch ends with TCP in NSH (docs/ovn.md).
    """
    possible = case["firewall"] == FIREWALLS[0] and case["kinds"] != "nsh"
    return possible or not _on_ovn(case)


def _on_ovn(case: Case) -> bool:
    return TRANSPORTS[str(case["transport"])].get("driver") == "ovn"


def _needed(dimensions: frozenset[str]) -> bool:
    """Whether this run covers all pairs of two dimensions."""
    needed_in_kernel = IN_KERNEL and dimensions == {"transport", "firewall"}
    return FULL or needed_in_kernel or dimensions <= PAIRED


def cases() -> list[Case]:
    """The cases, sorted by transport and then by firewall."""
    order = list(product(TRANSPORTS, FIREWALLS))
    chosen = all_pairs(DIMENSIONS, _possible, _needed)
    return sorted(
        chosen,
        key=lambda case: order.index((str(case["transport"]), str(case["firewall"]))),
    )


def name_of(case: Case) -> str:
    """The case's part of the test's name."""
    return "-".join(map(str, case.values()))


def arrange(workflow: Workflow, case: Case) -> None:
    """Place the end points, and start functions of the case's kinds."""
    first, second = KINDS[str(case["kinds"])]
    workflow.kinds = {"sf1": first, "sf2": first, "sf3": second}
    workflow.one_port = tuple(FUNCTIONS) if case["kinds"] == ONE_PORT else ()
    workflow.hosts = PLACES[str(case["places"])]
    home = workflow.hosts.get("dst", "h3")
    if workflow.vms["dst"].host != home:
        workflow.vms["dst"] = workflow.lab.vms.migrate(workflow.vms["dst"], home, wait=False)
    workflow.start_functions()


def delete_case(workflow: Workflow) -> None:
    """Delete the chains and the functions of a case; the end points stay."""
    workflow.delete_chains()
    for name in FUNCTIONS:
        workflow.lab.vms.delete(workflow.vms.pop(name))


def check(workflow: Workflow, case: Case) -> None:
    """Assert that packets take the chain and no other path, and that deletion leaves nothing."""
    version = int(str(case["version"]))
    promiscuous = "l2" in workflow.kinds.values()
    workflow.pairs_and_groups()
    headers = sorted({"mpls", "nsh"} & set(workflow.kinds.values()))
    chain = workflow.chain(
        workflow.classifier(
            version=version, source_port_range_min=None, source_port_range_max=None
        ),
        chain_parameters={
            "correlation": headers[0] if headers else "mpls",
            "symmetric": case["symmetric"],
        },
    )
    workflow.wait_status(chain)
    for port in (100, 101):
        workflow.warm_up(port=port, version=version)
    answered = workflow.answered if case["symmetric"] else ANSWERED
    how = {"version": version, "answered": answered, "promiscuous": promiscuous}
    connections = workflow.connect(count=10, **how)
    assert {connection.path for connection in connections} <= workflow.chained
    if case["symmetric"]:
        for connection in connections:
            assert connection.path is not None
            assert set(connection.replies) == {tuple(reversed(connection.path))}
    how["answered"] = ANSWERED
    assert {connection.path for connection in workflow.connect(port=101, count=3, **how)} == DIRECT
    if not headers:
        seen = [one for each in workflow.captures.all for one in each.frames]
        assert packet_paths.unexpected_frames(seen) == [], "no chain header reaches a VM"
    workflow.delete("port_chain", chain)
    workflow.wait_no_flows()
