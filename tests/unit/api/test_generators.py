"""The sample configuration and the sample policy that operators generate."""

import subprocess
import sys
from pathlib import Path

from neutron.conf.policies import trunk

from portchain import conf, policies
from portchain.agent.options import AGENT_OPTS
from portchain.api import definitions
from portchain.controller.options import CONTROLLER_OPTS

RESOURCES = tuple(definitions.resources())


def generate(command: str, *arguments: str) -> str:
    """Run one of oslo's generators from this environment; return its output."""
    path = Path(sys.executable).with_name(command)
    return subprocess.run([path, *arguments], check=True, capture_output=True, text=True).stdout


def test_sample_configuration_explains_every_option() -> None:
    sample = generate(
        "oslo-config-generator",
        "--namespace=neutron.portchain",
        "--namespace=neutron.portchain.agent",
        "--namespace=neutron.portchain.controller",
    )
    for option in (
        *conf.SERVER_OPTS,
        *AGENT_OPTS,
        *CONTROLLER_OPTS,
        *conf.QUOTA_OPTS,
    ):
        assert f"#{option.name} = " in sample
        assert option.help
    assert "[port_chain]" in sample
    assert "#drivers = ovs" in sample


def test_sample_policy_has_a_rule_for_every_request() -> None:
    sample = generate("oslopolicy-sample-generator", "--namespace=neutron-portchain")
    wanted = {
        f"{action}_{name}" for name in RESOURCES for action in ("create", "get", "update", "delete")
    }
    assert wanted <= {rule.name for rule in policies.list_rules()}
    assert all(f'"{name}": ' in sample for name in wanted)


def test_members_and_readers_may_do_what_they_may_do_with_resources_of_neutron() -> None:
    ours = {rule.name: rule.check_str for rule in policies.list_rules()}
    neutrons = {rule.name: rule.check_str for rule in trunk.list_rules()}
    for action in ("create", "get", "update", "delete"):
        assert ours[f"{action}_port_chain"] == neutrons[f"{action}_trunk"]
