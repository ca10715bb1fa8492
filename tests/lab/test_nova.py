"""Service functions that are virtual machines of a real Nova."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from portchain_lab.lab import Lab
from portchain_lab.waiting import patient, wait_for

from tests.lab.captures import Captures
from tests.lab.labs import DEFAULT, Labs
from tests.lab.load import Load
from tests.lab.workflow import CHAINED, DIRECT, VIA_PP1, Workflow

SECONDS = patient(180)
FORWARDS = "guest: forwards between eth0 eth1"
"""What a guest with two ports writes on its console, once it has their addresses."""
MACHINES = {"vm1": ("p1", "p2"), "vm2": ("p3", "p4"), "vm3": ("p5", "p6")}
ENDS = {"src": "h1", "dst": "h3"}
"""The hosts of the end points. They run in namespaces, of which Nova does not know."""
WITH = ("--image", "function", "--flavor", "function")
PORT, RATE = 5000, 100.0
BIGGER = "bigger-function"
VIA_VM1 = ("src", *VIA_PP1, "dst")


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    return labs.get(**DEFAULT, nova=True)


def set_up(lab: Lab, captures: Captures, *machines: str) -> Workflow:
    """Make network and ports, and start the end points."""
    made = Workflow(lab, captures)
    made.set_up_network()
    made.make_ports(*ENDS, *(port for machine in machines for port in MACHINES[machine]))
    for name, host in ENDS.items():
        made.start(name, host, name)
    return made


def tear_down(workflow: Workflow) -> None:
    workflow.delete_chains()
    delete_machines(workflow.lab)
    workflow.clean_up()


@pytest.fixture
def workflow(lab: Lab, captures: Captures) -> Iterator[Workflow]:
    """The specification's network and ports."""
    made = set_up(lab, captures, *MACHINES)
    yield made
    tear_down(made)


@pytest.fixture(scope="module")
def chained(lab: Lab) -> Iterator[Workflow]:
    """All packets from ``src`` to ``dst`` go through the machine ``vm1``."""
    made = set_up(lab, Captures(), "vm1")
    ports = [word for port in MACHINES["vm1"] for word in ("--port", port)]
    lab.openstack("server", "create", *WITH, *ports, "vm1")
    observe(made, "vm1")
    ingress, egress = (made.ports[port].id for port in MACHINES["vm1"])
    pair = made.create("port_pair", name="PP1", ingress=ingress, egress=egress)
    group = made.create("port_pair_group", name="PG1", port_pairs=[pair["id"]])
    made.groups = {"PG1": group}
    everything = made.classifier(
        protocol=None,
        source_port_range_min=None,
        source_port_range_max=None,
        destination_port_range_min=None,
        destination_port_range_max=None,
    )
    made.pc1 = made.chain(everything, groups=["PG1"])
    made.wait_status(made.pc1)
    yield made
    tear_down(made)


def delete_machines(lab: Lab) -> None:
    compute = lab.sdk("demo").compute
    servers = list(compute.servers())
    for server in servers:
        compute.delete_server(server)
    for server in servers:
        compute.wait_for_delete(server, wait=int(SECONDS))


def boot(workflow: Workflow, name: str, *ports: str) -> None:
    """Boot a machine as the specification does."""
    nics = [word for port in ports for word in ("--nic", f"port-id={workflow.ports[port].id}")]
    workflow.lab.run_client("nova", "boot", *WITH, *nics, name)


def machine(lab: Lab, name: str = "vm1") -> Any:
    """A machine as Nova shows it to an administrator."""
    compute = lab.sdk("admin").compute
    return compute.find_server(name, all_projects=True, ignore_missing=False)


def wait_active(lab: Lab, name: str = "vm1", host: str = "", status: str = "ACTIVE") -> None:
    """Wait until Nova has done what it was asked to do with a machine.

    :param host: where it is then; empty is anywhere.
    """

    def active() -> bool:
        found = machine(lab, name)
        assert found.status != "ERROR", found.fault
        done = found.status == status and found.task_state is None
        return done and host in ("", found.compute_host)

    wait_for(active, SECONDS, f"{name} {status} {host}", interval=1)


def wait_forwards(lab: Lab, name: str, text: str = FORWARDS) -> None:
    """Wait until a machine's console, which begins anew with each boot, has a text."""
    compute = lab.sdk("demo").compute
    server = compute.find_server(name, ignore_missing=False)

    def forwards() -> bool:
        return text in compute.get_server_console_output(server)["output"]

    wait_for(forwards, SECONDS, f"{name} forwards", interval=1)


def observe(workflow: Workflow, name: str) -> None:
    """Wait until a machine forwards; captures see its ports from now on."""
    wait_active(workflow.lab, name)
    wait_forwards(workflow.lab, name)
    workflow.vms[name] = workflow.lab.vms.of_nova(machine(workflow.lab, name))
    workflow.lab.vms.wait_active([workflow.vms[name]])


def assert_chain_of_three(workflow: Workflow) -> None:
    """Make the specification's chain, and look at packets; then delete its machines."""
    for name in MACHINES:
        observe(workflow, name)
    workflow.pairs_and_groups()
    chain = workflow.chain(workflow.classifier())
    workflow.wait_status(chain)
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23) <= CHAINED
    assert workflow.paths(port=99) == DIRECT
    delete_machines(workflow.lab)
    workflow.wait_status(chain, "DOWN")
    assert workflow.is_dropped(source_port=23)


def test_boot_with_two_ports(workflow: Workflow) -> None:
    for name, ports in MACHINES.items():
        boot(workflow, name, *ports)
    assert_chain_of_three(workflow)


def test_boot_with_one_port_and_attach_the_other(workflow: Workflow) -> None:
    lab = workflow.lab
    for name, (first, _) in MACHINES.items():
        boot(workflow, name, first)
    for name, (_, second) in MACHINES.items():
        # Attached to a guest that boots, an interface may be lost.
        wait_forwards(lab, name, "guest: forwards between eth0")
        port = workflow.ports[second].id
        lab.run_client("nova", "interface-attach", "--port-id", port, name)
    assert_chain_of_three(workflow)


@contextmanager
def under_load(workflow: Workflow, captures: Captures) -> Iterator[None]:
    """Send datagrams through the machine while something happens to it in the context.

    None may go around it, and at the end they go through it again.
    """
    with Load(workflow, captures, PORT, rate=RATE) as load:
        yield
        workflow.wait_status(workflow.pc1)
        load.wait_for_more()
    print(f"sent {load.sent}, lost {load.lost}, longest gap {load.gap:.1f} s")
    assert not load.misrouted({VIA_VM1})
    assert load.last() == {VIA_VM1}
    assert workflow.status(workflow.pc1)[0] == "ACTIVE"


def test_hard_reboot(chained: Workflow, captures: Captures) -> None:
    lab = chained.lab
    with under_load(chained, captures):
        lab.run_client("nova", "reboot", "--hard", "vm1")
        wait_active(lab)
        wait_forwards(lab, "vm1")


def test_rebuild(chained: Workflow, captures: Captures) -> None:
    lab = chained.lab
    with under_load(chained, captures):
        lab.openstack("server", "rebuild", "--image", "function", "vm1")
        wait_active(lab)
        wait_forwards(lab, "vm1")


@contextmanager
def seen_everywhere(workflow: Workflow, name: str = "vm1") -> Iterator[None]:
    """Inside the context, captures see a machine's ports on whatever host it is."""
    vm = workflow.vms.pop(name)
    places = {f"{name}@{host}": host for host in workflow.lab.hosts}
    for place, host in places.items():
        namespace = workflow.lab.layout.namespace(host)
        workflow.vms[place] = replace(vm, host=host, namespace=namespace)
    try:
        yield
    finally:
        for place in places:
            workflow.vms.pop(place)
        workflow.vms[name] = workflow.lab.vms.of_nova(machine(workflow.lab, name))


def live_migrate(workflow: Workflow, host: str) -> None:
    """Migrate the machine ``vm1`` while it runs, and wait until Neutron's agent has wired it.

    The agent of Neutron 29.0.0 leaves the ports DOWN: while the binding of the former host is
    there, it takes that for the destination of a migration, and nobody tells it when the binding
    is gone. Any update of the port does.
    """
    lab = workflow.lab
    network = lab.sdk("admin").network
    lab.sdk("admin").compute.live_migrate_server(machine(lab), host, block_migration="auto")
    wait_active(lab, host=host)
    for name in MACHINES["vm1"]:
        port = workflow.ports[name].id
        gone = partial(has_one_binding, network, port)
        wait_for(gone, SECONDS, f"{name} has left its former host", interval=1)
        network.update_port(port, description=f"on {host}")
    vm = workflow.lab.vms.of_nova(machine(lab))
    lab.vms.wait_active([vm])


def has_one_binding(network: Any, port: str) -> bool:
    return len(network.get(f"/ports/{port}/bindings").json()["bindings"]) == 1


def test_live_migration(chained: Workflow, captures: Captures) -> None:
    lab = chained.lab
    there = next(host for host in lab.hosts if host != machine(lab).compute_host)
    with seen_everywhere(chained), under_load(chained, captures):
        live_migrate(chained, there)


def test_resize(chained: Workflow, captures: Captures) -> None:
    lab = chained.lab
    compute = lab.sdk("admin").compute
    if not compute.find_flavor(BIGGER):
        compute.create_flavor(name=BIGGER, ram=128, vcpus=1, disk=1)
    with seen_everywhere(chained), under_load(chained, captures):
        lab.openstack("server", "resize", "--flavor", BIGGER, "vm1")
        wait_active(lab, status="VERIFY_RESIZE")
        lab.openstack("server", "resize", "confirm", "vm1")
        wait_active(lab)
        wait_forwards(lab, "vm1")


def test_evacuation(chained: Workflow, captures: Captures) -> None:
    lab = chained.lab
    compute = lab.sdk("admin").compute
    (host,) = set(lab.hosts) - set(ENDS.values())

    def state(wanted: str) -> bool:
        (service,) = compute.services(host=host, binary="nova-compute")
        return str(service.state) == wanted

    if machine(lab).compute_host != host:
        live_migrate(chained, host)
    del chained.vms["vm1"]  # a capture would keep the namespace of its host
    lab.power_off(host)
    try:
        assert chained.is_dropped()
        wait_for(lambda: state("down"), SECONDS, f"Nova misses {host}", interval=1)
        compute.evacuate_server(machine(lab))
        wait_for(lambda: machine(lab).compute_host != host, SECONDS, "vm1 elsewhere", interval=1)
        # Since version 2.95 of its API, Nova leaves an evacuated machine switched off.
        wait_active(lab, status="SHUTOFF")
        lab.openstack("server", "start", "vm1")
        observe(chained, "vm1")
    finally:
        lab.power_on(host)
    wait_for(lambda: state("up"), SECONDS, f"Nova sees {host}", interval=1)
    chained.wait_status(chained.pc1)
    with under_load(chained, captures):
        pass
