"""Processes stop and start again while a chain steers traffic.

The tests count datagrams of a steady stream: those that are lost, and those that bypass a function.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from threading import Thread
from typing import Any

import keystoneauth1.exceptions
import openstack.exceptions
import pytest
from portchain_lab.errors import DeadlineError
from portchain_lab.lab import Lab
from portchain_lab.observe import packet_paths, traffic
from portchain_lab.programs import CONTROLLER_PROGRAMS
from portchain_lab.restarts import has_cleaned_up, restart_switch
from portchain_lab.waiting import wait_for

from tests.full import in_full
from tests.lab.captures import Captures
from tests.lab.labs import DATAPATH
from tests.lab.workflow import (
    CHAINED,
    DEADLINE,
    SUBNET,
    VIA_PP1,
    VIA_PP2,
    Workflow,
    without_counters,
)

PORT, RATE = 7000, 100
OUTAGE = int(os.environ.get("PORTCHAIN_OUTAGE", "1"))  # seconds without a server
# h1 has the source and PP1, h2 has PP2, h3 has PP3 and the destination.
AGENTS = in_full(
    list(product(["agent@h1", "agent@h2", "agent@h3"], ["restart", "kill"])),
    [("agent@h1", "kill"), ("agent@h2", "restart")],
)
DATABASES = in_full(["h1", "h2", "h3"], ["h2"])
SWITCHES = in_full(
    [("h1", "dst"), ("h1", "near"), ("h2", "dst"), ("h3", "dst")], [("h1", "near"), ("h3", "dst")]
)
POWER = in_full(["h1", "h2", "h3"], ["h1"])
SERVERS = in_full(
    sorted(set(CONTROLLER_PROGRAMS) - {"epmd"}),
    ["mariadb", "neutron-api", "neutron-rpc-server", "rabbitmq"],
)


@pytest.fixture(scope="module")
def booted(lab: Lab) -> Iterator[Workflow]:
    workflow = Workflow(lab, Captures())
    workflow.boot()
    workflow.make_ports("near")
    workflow.start("near", "h1", "near")
    lab.vms.wait_active(workflow.vms.values())
    workflow.pairs_and_groups()
    datagrams = workflow.classifier(
        "datagrams", protocol="udp", source_port_range_min=None, source_port_range_max=None,
        destination_port_range_min=PORT, destination_port_range_max=PORT,
        destination_ip_prefix=SUBNET,
    )  # fmt: skip
    workflow.pc1 = workflow.chain(workflow.classifier(), datagrams)
    workflow.wait_status(workflow.pc1)
    yield workflow
    workflow.clean_up()
    workflow.wait_no_flows()


class Traffic:
    """A stream through the chain, with captures at every port.

    :param to: the VM it ends at: ``dst``, or ``near`` on the host of its source.
    """

    def __init__(self, workflow: Workflow, to: str = "dst") -> None:
        vms = workflow.vms
        self._to = to
        self._capture = workflow.captures(*vms.values())
        self._stream = traffic.UdpStream(vms["src"], vms[to], PORT, rate=RATE)

    def __enter__(self) -> "Traffic":
        self._capture.start()
        self._stream.start()
        try:
            self.wait_for_more()
        except DeadlineError:
            # Otherwise its sockets would stay bound during the next test.
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.result = self._stream.stop()
        traces = packet_paths.traces(packet_paths.observations(self._capture.stop()))
        self.paths = Counter(
            trace.ports for trace in traces if trace.five_tuple.destination_port == PORT
        )
        lost, gap = len(self.result.lost), self.result.longest_gap
        bypassing = dict(self.around)
        print(f"lost {lost} of {self.result.sent}, longest gap {gap:.2f} s, around {bypassing}")

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until ``count`` more datagrams have arrived."""
        enough = len(self._stream.result.received) + count
        wait_for(
            lambda: len(self._stream.result.received) >= enough,
            2 * DEADLINE,
            f"{count} more datagrams",
        )

    def newest(self) -> int:
        """The number of the last datagram that has arrived."""
        return self._stream.result.received[-1][0]

    @property
    def around(self) -> Counter[tuple[str, ...]]:
        """The paths to the destination that bypass the chain."""
        right, to = {(*path[:-1], self._to) for path in CHAINED}, self._to
        return Counter({p: n for p, n in self.paths.items() if p[-1] == to and p not in right})


@pytest.mark.parametrize(("agent", "how"), AGENTS)
def test_an_agent_restarts_and_no_packet_is_lost(workflow: Workflow, agent: str, how: str) -> None:
    lab, flows = workflow.lab, workflow.flows()
    with Traffic(workflow) as stream:
        if how == "kill":
            lab.kill(agent)
            stream.wait_for_more()
            lab.start(agent)
        else:
            lab.restart(agent)
        log = lab.layout.logs / f"{agent}.log"
        wait_for(lambda: has_cleaned_up(log), DEADLINE, "the agent to have cleaned up")
        stream.wait_for_more()
    assert stream.result.lost == []
    assert set(stream.paths) <= CHAINED
    assert workflow.flows() == flows or without_counters(workflow.flows()) == without_counters(
        flows
    )


@pytest.mark.parametrize("host", DATABASES)
def test_a_switch_database_restarts_and_nothing_bypasses_the_chain(
    workflow: Workflow, host: str
) -> None:
    flows = without_counters(workflow.flows())
    with Traffic(workflow) as stream:
        # The userspace datapath stops while the database is stopped.
        workflow.lab.kill("ovsdb-server", host)
        workflow.lab.start(f"ovsdb-server@{host}")
        stream.wait_for_more()
    assert not stream.around
    _assert_a_change_is_realised(workflow)
    wait_for(
        lambda: without_counters(workflow.flows()) == flows, DEADLINE, "only the flows from before"
    )


@pytest.mark.parametrize("program", SERVERS)
def test_a_restart_of_the_server_does_not_disturb_the_chain(
    workflow: Workflow, program: str
) -> None:
    flows = without_counters(workflow.flows())
    with Traffic(workflow) as stream:
        workflow.lab.kill(program)
        stream.wait_for_more(RATE * OUTAGE)
        workflow.lab.start(program)
        stream.wait_for_more()
    assert stream.result.lost == []
    assert set(stream.paths) <= CHAINED
    _assert_a_change_is_realised(workflow)
    # The agents are notified of the deletion after the API has answered.
    wait_for(
        lambda: without_counters(workflow.flows()) == flows, DEADLINE, "only the flows from before"
    )


def _assert_a_change_is_realised(workflow: Workflow) -> None:
    """Create and delete a chain: API, database, broker, RPC server and agents work again."""
    other = from_any_source_port(workflow, "another", 300)
    chain = workflow.chain(other, name="another")
    workflow.wait_status(chain)
    assert workflow.paths(port=300) <= CHAINED
    workflow.delete("port_chain", chain)
    workflow.delete("flow_classifier", other)


def from_any_source_port(workflow: Workflow, name: str, port: int) -> Any:
    return workflow.classifier(
        name,
        destination_port_range_min=port,
        destination_port_range_max=port,
        source_port_range_min=None,
        source_port_range_max=None,
    )


@pytest.mark.parametrize(("host", "to"), SWITCHES)
def test_a_switch_restarts_and_the_chain_comes_back(workflow: Workflow, host: str, to: str) -> None:
    flows = without_counters(workflow.flows())[host]
    with Traffic(workflow, to) as stream:
        restart_switch(workflow.lab, host)
        wait_for(
            lambda: without_counters(workflow.flows())[host] == flows,
            DEADLINE,
            "the flows to be back",
        )
        stream.wait_for_more()
    assert not stream.around
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23, count=5) <= CHAINED


if DATAPATH == "kernel":

    def test_the_kernel_forwards_known_flows_while_no_switch_runs(workflow: Workflow) -> None:
        lab = workflow.lab
        with Traffic(workflow) as stream:
            for host in lab.hosts:
                lab.kill("ovs-vswitchd", host)
            stream.wait_for_more(3 * RATE)
            newest = stream.newest()
            for host in lab.hosts:
                restart_switch(lab, host)
            stream.wait_for_more()
        assert not [number for number in stream.result.lost if number <= newest]
        assert not stream.around


def test_a_worker_dies_between_commit_and_message(workflow: Workflow) -> None:
    lab = workflow.lab
    lab.kill("rabbitmq")
    other = from_any_source_port(workflow, "stored", 301)
    groups = [group["id"] for group in workflow.groups.values()]
    body = {"name": "stored", "port_pair_groups": groups, "flow_classifiers": [other["id"]]}
    arguments = (workflow, "/sfc/port_chains", {"port_chain": body})
    request = Thread(target=_post_to_a_dying_server, args=arguments)
    request.start()
    try:
        # No message can be sent: no agent knows what is stored now.
        wait_for(lambda: _named(workflow, "stored"), DEADLINE, "the chain to be stored")
        lab.kill("neutron-api")
    finally:
        lab.start("rabbitmq")
        if not {name: alive for name, _, alive in lab.status()}["neutron-api"]:
            lab.start("neutron-api")
    request.join()
    (chain,) = _named(workflow, "stored")
    workflow.made.append(("port_chain", chain["id"]))
    workflow.wait_status(chain)
    assert workflow.paths(port=301) <= CHAINED
    workflow.delete("port_chain", chain)
    workflow.delete("flow_classifier", other)


def _post_to_a_dying_server(workflow: Workflow, path: str, body: dict[str, object]) -> None:
    """Post; the connection breaks when the server dies, which is ignored."""
    with suppress(openstack.exceptions.SDKException, keystoneauth1.exceptions.ClientException):
        workflow.lab.sdk("demo").network.post(path, json=body)


def _named(workflow: Workflow, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = workflow.cloud.get(f"/sfc/port_chains?name={name}").json()[
        "port_chains"
    ]
    return found


def test_the_rpc_server_dies_between_the_two_phases_of_a_change(workflow: Workflow) -> None:
    lab, groups = workflow.lab, [group["id"] for group in workflow.groups.values()]
    shorter = {("src", *ports, "dst") for ports in (VIA_PP1, VIA_PP2)}
    with Traffic(workflow) as stream:
        lab.kill("neutron-rpc-server")
        # The API notifies the agents, but nobody can notify them that all hosts are prepared.
        workflow.update("port_chain", workflow.pc1, port_pair_groups=groups[:1])
        wait_for(lambda: workflow.paths(source_port=23) <= shorter, DEADLINE, "the hosts to switch")
        stream.wait_for_more()
        lab.start("neutron-rpc-server")
        workflow.wait_status(workflow.pc1)
        workflow.update("port_chain", workflow.pc1, port_pair_groups=groups)
        workflow.wait_status(workflow.pc1)
        stream.wait_for_more()
    assert not {path for path in stream.around if path not in shorter}


def test_a_function_moves_to_another_host(workflow: Workflow) -> None:
    lab, vms = workflow.lab, workflow.vms
    for host in ("h1", "h2"):
        with Traffic(workflow) as stream:
            vms["sf2"] = lab.vms.migrate(vms["sf2"], host)
            workflow.wait_status(workflow.pc1)
            stream.wait_for_more()
        assert not stream.around
        assert workflow.paths(source_port=23, count=3) <= CHAINED


def test_a_port_of_a_function_is_unplugged(workflow: Workflow) -> None:
    lab, vms = workflow.lab, workflow.vms
    with Traffic(workflow) as stream:
        vms["sf2"] = lab.vms.detach_port(vms["sf2"], "p4")
        stream.wait_for_more()
        vms["sf2"] = lab.vms.attach_port(vms["sf2"], workflow.ports["p4"].id)
        workflow.wait_status(workflow.pc1)
        stream.wait_for_more()
    assert not stream.around
    assert workflow.paths(source_port=23, count=3) <= CHAINED


@pytest.mark.parametrize("host", POWER)
def test_a_host_loses_power_and_nothing_bypasses_the_chain(workflow: Workflow, host: str) -> None:
    lab = workflow.lab
    with Traffic(workflow) as stream:
        lab.power_off(host)
        lab.power_on(host)
        stream.wait_for_more()
        lab.vms.wait_active(workflow.vms.values())
        wait_for(lambda: bool(workflow.flows()[host]), DEADLINE, "flows of ours again")
        stream.wait_for_more()
    assert not stream.around
    workflow.warm_up(source_port=23)
    assert workflow.paths(source_port=23, count=5) <= CHAINED
