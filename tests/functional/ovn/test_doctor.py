"""``portchain-doctor`` on hosts of OVN: healthy, and broken in one place.

The message bus is in memory: what the server and the agent say of plans is given.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portchain.dataplane.flow import COOKIE
from portchain.dataplane.gates import gate_name
from portchain.dataplane.interposing import BR_CHAIN, network_patch, tunnel_name
from portchain.dataplane.plan import ChainPlan
from portchain.rpc import contract
from tests.functional.ovn.cloud import Cloud, running_cloud
from tests.plans import ident

# The program, with what agent and server would say.
PROGRAM = """
import json, sys
from portchain.doctor import cli
from portchain.doctor.readers import bus
from portchain.doctor.snapshot import AgentFacts, PlanFacts
from portchain.rpc import contract
from portchain.rpc.state_codec import AgentState

plans = contract.decode_update(json.load(sys.stdin)).chains
revisions = {plan.id: plan.revision for plan in plans}
state = AgentState(contract.MINOR_VERSION, True, 1, revisions=revisions, plans=plans)

class Bus:
    def ask(self, host, processes):
        return AgentFacts(processes, state), PlanFacts(plans)

bus.why_unreachable = lambda _: ""
bus.connect = lambda: None
bus.Bus = lambda _: Bus()
cli.main()
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with running_cloud() as one:
        one.add("a", "h1", ("a", "10.0.0.10"))
        one.add("d", "h2", ("d", "10.0.0.13"))
        one.add_function("f", "h1", 20)
        one.add_function("g", "h2", 30)
        one.settle()
        one.realise(one.plan("a", "d", "f", "g"))
        yield one


def diagnose(cloud: Cloud, host: str, *plans: ChainPlan) -> tuple[int, dict[str, Any]]:
    """Return the exit status of the program on a host, and what it has printed."""
    folder = cloud.lab.layout.host_directory(host)
    config = folder / "doctor.conf"
    config.write_text(f"[ovs]\novsdb_connection = unix:{folder}/db.sock\n")
    argv = [sys.executable, "-W", "ignore", "-c", PROGRAM, f"--config-file={config}"]
    done = subprocess.run(
        [*argv, "--agent=ovn", "--settle=1", "-f", "json"],
        env={**os.environ, "OVS_RUNDIR": str(folder)},
        input=json.dumps(contract.encode_update(contract.PlanUpdate(chains=plans))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_nothing_is_wrong_with_healthy_hosts(cloud: Cloud) -> None:
    plan = cloud.plan("a", "d", "f", "g")
    for host in cloud.lab.hosts:
        before = cloud.own_rows(host), len(cloud.own_flows(host))
        status, shown = diagnose(cloud, host, plan)
        assert (shown["findings"], shown["unchecked"], status) == ([], [], 0)
        assert (shown["host"], shown["kind"]) == (host, "ovn")
        assert (cloud.own_rows(host), len(cloud.own_flows(host))) == before


def lose_flows(cloud: Cloud) -> None:
    cloud.lab.ofctl("h1", "del-flows", BR_CHAIN, f"cookie={COOKIE:#x}/-1,table=150")


def lose_tunnel(cloud: Cloud) -> None:
    tunnel = tunnel_name(cloud.lab.layout.tunnel_ip("h2"))
    cloud.lab.vsctl("h1", "del-port", BR_CHAIN, tunnel, applied=True)


def lose_wire(cloud: Cloud) -> None:
    patch = network_patch(ident("f-in"))
    cloud.lab.vsctl("h1", "del-port", BR_CHAIN, patch, applied=True)


def lose_gate(cloud: Cloud) -> None:
    cloud.lab.vsctl(
        "h1", "remove", "interface", gate_name(ident("a")), "external_ids", "ovn-installed"
    )


BROKEN: dict[str, tuple[Callable[[Cloud], None], str, str]] = {
    "flows": (lose_flows, f"flows of chain {ident('chain')}", "in table 150 (HOP) of br-chain"),
    "tunnel": (lose_tunnel, "tunnel to host h2", "this host has none"),
    "wire": (lose_wire, f"port {ident('f-in')}", "not connected to its network"),
    "gate": (lose_gate, f"gate of port {ident('a')}", "has not bound it"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(cloud: Cloud, name: str) -> None:
    plan = cloud.plan("a", "d", "f", "g")
    damage, compared, found = BROKEN[name]
    damage(cloud)
    try:
        status, shown = diagnose(cloud, "h1", plan)
        assert status == 1
        (one,) = [one for one in shown["findings"] if compared in one["compared"]]
        assert found in one["found"]
    finally:
        agent = cloud.agents["h1"]
        agent.handle_events()
        agent.reconciler.reconcile()
        cloud.lab.vsctl(
            *("h1", "set", "interface", gate_name(ident("a"))), "external_ids:ovn-installed=true"
        )
        agent.wait_ready()
    assert diagnose(cloud, "h1", plan)[0] == 0
