"""Neutron's real programs where networking-sfc is installed too: each says so, and does not work.

networking-sfc is a folder here that declares the entry points of the real one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.full import in_full

SAID = "networking-sfc 23.0.0 is installed beside neutron-portchain"
ENTRY_POINTS = """\
[neutron.service_plugins]
sfc = networking_sfc:Plugin
flow_classifier = networking_sfc:Plugin
[neutron.agent.l2.extensions]
sfc = networking_sfc:Extension
[neutron.db.alembic_migrations]
networking-sfc = networking_sfc:migrations
"""
MODULE = """
from neutron_lib.agent import l2_extension
from neutron_lib.services import base

class Plugin(base.ServicePluginBase):
    def get_plugin_type(self): return "sfc"
    def get_plugin_description(self): return ""

class Extension(l2_extension.L2AgentExtension):
    def initialize(self, connection, driver_type): ...
    def handle_port(self, context, data): ...
    def delete_port(self, context, data): ...
"""
LOAD_AGENT_EXTENSIONS = """
import sys
from neutron.agent import agent_extensions_manager
from oslo_config import cfg
from oslo_log import log
log.register_options(cfg.CONF)
cfg.CONF(["--config-file", sys.argv[1]])
log.setup(cfg.CONF, "neutron")
extensions = agent_extensions_manager.AgentExtensionsManager(
    cfg.CONF, "neutron.agent.l2.extensions"
)
print([type(extension.obj).__name__ for extension in extensions])
"""


class Environment:
    """Runs Neutron's programs with more packages than those of this environment."""

    def __init__(self, folder: Path) -> None:
        self._path = os.pathsep.join([str(folder), *sys.path[1:]])
        self._folder = folder
        self.config = folder / "neutron.conf"

    def configure(self, service_plugins: str = "port_chain", extensions: str = "sfc") -> None:
        self.config.write_text(
            f"[DEFAULT]\nservice_plugins = {service_plugins}\ncore_plugin = ml2\n"
            f"transport_url = fake:/\nstate_path = {self._folder}\n"
            "[ml2]\ntype_drivers = local\ntenant_network_types = local\nmechanism_drivers =\n"
            f"[agent]\nextensions = {extensions}\n"
            f"[database]\nconnection = sqlite:///{self._folder}/database\n"
        )

    def run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.python(
            "-c",
            "import sys; from importlib.metadata import entry_points;"
            f"sys.argv[0] = {program!r};"
            f"one, = entry_points(group='console_scripts', name={program!r});"
            "sys.exit(one.load()())",
            f"--config-file={self.config}",
            *arguments,
        )

    def python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            env={**os.environ, "PYTHONPATH": self._path},
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )


# Each start of Python with Neutron takes some seconds.


@pytest.fixture
def both(tmp_path: Path) -> Environment:
    """An environment with both packages."""
    (tmp_path / "networking_sfc.py").write_text(MODULE)
    metadata = tmp_path / "networking_sfc-23.0.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: networking-sfc\nVersion: 23.0.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return Environment(tmp_path)


@pytest.mark.parametrize(
    "names", in_full(["flow_classifier,sfc", "port_chain"], ["flow_classifier,sfc"])
)
def test_the_server_does_not_start(both: Environment, names: str) -> None:
    both.configure(service_plugins=names)
    done = both.run("neutron-rpc-server")
    assert done.returncode != 0
    assert SAID in done.stdout


def test_with_the_other_plugin_by_its_class_the_policies_say_why(both: Environment) -> None:
    both.configure(service_plugins="networking_sfc.Plugin")
    done = both.python(
        "-c",
        "import sys; from neutron.common import config; from neutron import policy;"
        "config.register_common_config_options(); config.init(['--config-file', sys.argv[1]]);"
        "config.setup_logging(); policy.init()",
        str(both.config),
    )
    assert SAID in done.stdout


def test_migrations_of_neither_run_under_a_name_that_both_have(both: Environment) -> None:
    both.configure()
    done = both.run("neutron-db-manage", "--subproject", "neutron-portchain", "upgrade", "head")
    assert done.returncode != 0
    assert SAID in done.stdout


def test_the_upgrade_check_fails(both: Environment) -> None:
    done = both.python(
        "-c",
        "from portchain import upgrade_checks; result = upgrade_checks.check_packages(None);"
        "print(result.code.name, result.details)",
    )
    assert "FAILURE" in done.stdout
    assert SAID in done.stdout


@pytest.mark.parametrize(
    ("configured", "loaded"),
    in_full(
        [
            ("sfc,port_chain", ["_NoExtension", "PortChainAgentExtension"]),
            ("sfc", ["PortChainAgentExtension"]),
        ],
        [("sfc,port_chain", ["_NoExtension", "PortChainAgentExtension"])],
    ),
)
def test_the_agent_loads_the_extension_once(
    tmp_path: Path, configured: str, loaded: list[str]
) -> None:
    ours = Environment(tmp_path)
    ours.configure(extensions=configured)
    done = ours.python("-c", LOAD_AGENT_EXTENSIONS, str(ours.config))
    assert done.stdout.splitlines()[-1] == str(loaded), done.stdout
    assert ("names of one extension" in done.stdout) == (len(loaded) > 1)


def test_the_agent_does_not_load_ours_beside_the_other(both: Environment) -> None:
    both.configure()
    done = both.python("-c", LOAD_AGENT_EXTENSIONS, str(both.config))
    assert SAID in done.stdout
    assert done.stdout.splitlines()[-1] == "['Extension']"
