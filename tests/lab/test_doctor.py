"""``portchain-doctor`` on the hosts of a real cloud: healthy, and broken in one place."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.waiting import wait_for

from tests.lab.captures import Captures
from tests.lab.workflow import DEADLINE, OUR_FLOWS, Workflow

SECONDS = "20"  # for an answer of a server or an agent, on a busy machine


@pytest.fixture
def chain(booted: Workflow, captures: Captures) -> Iterator[Any]:
    booted.captures = captures
    booted.pairs_and_groups()
    made = booted.chain(booted.classifier())
    booted.wait_status(made)
    yield made
    booted.delete_chains()
    booted.wait_no_flows()


@dataclass
class Diagnosis:
    """What the program has printed, and its exit status."""

    status: int
    findings: list[dict[str, Any]]
    unchecked: list[dict[str, Any]]
    plans_from: str

    def finding(self, compared: str) -> dict[str, Any]:
        (one,) = [one for one in self.findings if compared in one["compared"]]
        return one


def diagnose(lab: Lab, host: str, *arguments: str) -> Diagnosis:
    """Run the program on a host, as its operator does."""
    argv = (lab.layout.software.command("python"), "-W", "ignore", "-m", "portchain.doctor.cli")
    options = ("-f", "json", f"--timeout={SECONDS}", *arguments)
    done = subprocess.run(
        netns.command(lab.layout.namespace(host), (*argv, *options)),
        env={**os.environ, "OVS_RUNDIR": str(lab.layout.host_directory(host))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    assert shown["host"] == host
    return Diagnosis(done.returncode, shown["findings"], shown["unchecked"], shown["plans_from"])


def config_of(lab: Lab, host: str) -> str:
    """The option that names the agent's configuration: without an agent, nobody can be asked."""
    return f"--config-file={lab.layout.host_directory(host)}/agent.conf"


def flows_on(lab: Lab, host: str) -> list[str]:
    """Our flows of a host's br-int, without what they have counted."""
    lines = lab.ofctl(host, "dump-flows", "br-int", "--no-stats", OUR_FLOWS).splitlines()
    return sorted(line for line in lines if " actions=" in line)


def wait_until_healthy(lab: Lab, host: str) -> None:
    wait_for(lambda: diagnose(lab, host).status == 0, DEADLINE, f"{host} to be healthy")


def test_nothing_is_wrong_with_a_healthy_chain(booted: Workflow, chain: Any) -> None:
    lab = booted.lab
    booted.connect(source_port=23)
    for host in lab.hosts:
        before = flows_on(lab, host)
        found = diagnose(lab, host)
        assert (found.findings, found.unchecked, found.status) == ([], [], 0), host
        assert found.plans_from == "server"
        assert flows_on(lab, host) == before
    assert booted.status(chain) == ("ACTIVE", "")


def test_a_lost_flow_is_found_while_the_agent_is_dead(booted: Workflow, chain: Any) -> None:
    lab = booted.lab
    lab.stop("agent", "h1")
    try:
        lab.ofctl("h1", "del-flows", "br-int", f"{OUR_FLOWS},table=150")
        found = diagnose(lab, "h1", config_of(lab, "h1"))
        assert found.status == 1
        assert "no such process" in found.finding("the agent")["found"]
        lost = found.finding(f"flows of chain {chain['id']}")
        assert "are missing" in lost["found"]
        assert "in front of hop 1 get no function" in lost["meaning"]
        assert "start neutron-openvswitch-agent" in lost["action"]
        assert len(found.findings) == 2, found
        assert "health" not in str(lost)
        (unchecked,) = found.unchecked
        assert "which functions of this host have failed" in unchecked["check"]
    finally:
        lab.start("agent@h1")
    wait_until_healthy(lab, "h1")


def test_a_removed_tunnel_is_found(booted: Workflow, chain: Any) -> None:
    lab = booted.lab
    address = lab.layout.tunnel_ip("h2")
    (name,) = [
        one
        for one in lab.vsctl("h1", "list-ports", "br-tun").split()
        if address in lab.vsctl("h1", "get", "interface", one, "options")
    ]
    lab.vsctl("h1", "del-port", "br-tun", name, applied=True)
    try:
        found = diagnose(lab, "h1")
        assert found.status == 1
        gone = found.finding(f"tunnel to host h2 ({address})")
        assert gone["found"] == "this host has none"
        assert chain["id"] in gone["meaning"]
        assert "are dropped" in gone["meaning"]
        # Until the agent looks at the tunnels again, flows that send into this one are left over.
        others = [one for one in found.findings if one is not gone]
        assert all("flows" in one["compared"] for one in others), found
    finally:
        lab.restart("agent", "h1")
    wait_until_healthy(lab, "h1")


def test_without_the_server_the_agents_plans_are_compared(booted: Workflow, chain: Any) -> None:
    lab = booted.lab
    lab.stop("neutron-rpc-server")
    try:
        found = diagnose(lab, "h2", "--timeout=5")
        assert (found.status, found.findings, found.plans_from) == (2, [], "agent")
        assert "the server does not answer" in str(found.unchecked)
    finally:
        lab.start("neutron-rpc-server")
    wait_until_healthy(lab, "h2")
    assert booted.status(chain)[0] == "ACTIVE"
