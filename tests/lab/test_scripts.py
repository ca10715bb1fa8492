"""The scripts in ``examples`` make chains that packets take, and delete all that they made."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from portchain_lab.cloud import clients, configs, environments
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab

from tests.lab.workflow import CHAINED, DIRECT, Workflow

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = ("port_chain", "port_pair_group", "port_pair", "flow_classifier")
ANSIBLE = ("ansible-core==2.19.14",)
"""The newest release for the oldest Python that is supported."""


def run(lab: Lab, argv: list[str], **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in the controller's namespace as the user ``demo``."""
    return subprocess.run(
        netns.command(lab.layout.controller_namespace, argv),
        env=clients.environment(lab.layout, "demo") | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def left(lab: Lab) -> dict[str, int]:
    """Return how many resources of each kind there are."""
    network = lab.sdk("demo").network
    return {kind: len(network.get(f"/sfc/{kind}s").json()[f"{kind}s"]) for kind in KINDS}


NOTHING = dict.fromkeys(KINDS, 0)
ONE_CHAIN = {"port_chain": 1, "port_pair_group": 2, "port_pair": 3, "flow_classifier": 1}


def test_openstacksdk(lab: Lab, workflow: Workflow) -> None:
    def script(*arguments: str) -> "subprocess.CompletedProcess[str]":
        path = str(EXAMPLES / "openstacksdk" / "chain.py")
        return run(lab, [lab.layout.software.command("python"), path, *arguments])

    match = ["--source", "src", "--protocol", "tcp", "--ports", "100:100"]
    done = script("create", "PC1", *match, "--hop", "p1,p2", "p3,p4", "--hop", "no-such-port")
    assert done.returncode == 1
    assert "no-such-port" in done.stderr
    assert left(lab) == NOTHING

    done = script("create", "PC1", *match, "--hop", "p1,p2", "p3,p4", "--hop", "p5,p6")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "chain PC1: ACTIVE\nhops: 2, functions: 3\n"
    assert left(lab) == ONE_CHAIN
    assert workflow.paths(port=100) <= CHAINED
    assert workflow.paths(port=101) == DIRECT

    done = script("delete", "PC1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "chain PC1: not there\nhops: 0, functions: 0\n"
    assert left(lab) == NOTHING
    assert workflow.paths(port=100) == DIRECT


@pytest.mark.only_in_full  # installs Ansible
def test_ansible(lab: Lab, workflow: Workflow, tmp_path: Path) -> None:
    home = environments.install("ansible", ANSIBLE, lambda step: print(f"lab: {step}", flush=True))
    variables: dict[str, Any] = {
        "chain": "PC1",
        "classifier": {
            "source": "src",
            "attributes": {
                "protocol": "tcp",
                "destination_port_range_min": 100,
                "destination_port_range_max": 100,
            },
        },
        "hops": [
            {
                "name": "PG1",
                "pairs": [
                    {"name": "PP1", "ingress": "p1", "egress": "p2"},
                    {"name": "PP2", "ingress": "p3", "egress": "p4"},
                ],
            },
            {"name": "PG2", "pairs": [{"name": "PP3", "ingress": "p5", "egress": "p6"}]},
        ],
    }
    (tmp_path / "chain.json").write_text(json.dumps(variables))

    def play(*arguments: str) -> str:
        done = run(
            lab,
            [
                *(str(home / "bin" / "ansible-playbook"), "-i", "localhost,"),
                str(EXAMPLES / "ansible" / "chain.yml"),
                *("-e", f"@{tmp_path}/chain.json", *arguments),
            ],
            **configs.login_variables("demo"),
            ANSIBLE_HOME=str(tmp_path),
            LC_ALL="C.UTF-8",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "changed=7 " in play()
    assert left(lab) == ONE_CHAIN
    assert workflow.paths(port=100) <= CHAINED
    assert "changed=0 " in play()
    assert left(lab) == ONE_CHAIN
    play("-e", "state=absent")
    assert left(lab) == NOTHING
    assert workflow.paths(port=100) == DIRECT
