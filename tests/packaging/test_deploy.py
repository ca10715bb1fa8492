"""The files for deployment tools agree with what this package is and does."""

import configparser
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from oslo_config import cfg

from portchain import conf
from portchain.agent import options

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def entry_points() -> dict[str, dict[str, str]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]


def without_templates(text: str) -> str:
    """Replace Jinja's expressions, as Kolla Ansible does."""
    return re.sub(r"{%.*?%}\n?", "", re.sub(r"{{.*?}}", "192.0.2.1", text))


@pytest.mark.parametrize(
    ("file", "known"),
    [
        ("neutron-periodic-worker.conf", conf.SERVER_OPTS),
        ("openvswitch_agent.ini", options.AGENT_OPTS),
    ],
)
def test_kolla_sets_options_that_exist(tmp_path: Path, file: str, known: list[cfg.Opt]) -> None:
    text = without_templates((DEPLOY / "kolla" / "config" / "neutron" / file).read_text())
    written = configparser.ConfigParser()
    written.read_string(text)
    assert set(written["port_chain"]) <= {option.name for option in known}
    (tmp_path / file).write_text(text)
    read = cfg.ConfigOpts()
    read.register_opts(known, conf.GROUP)
    read([], default_config_files=[str(tmp_path / file)])
    assert read.port_chain.enable_prometheus_exporter


def test_kolla_builds_the_sdist_in_the_place_of_networking_sfc() -> None:
    build = configparser.ConfigParser()
    build.read(DEPLOY / "kolla" / "kolla-build.conf")
    section = build["neutron-base-plugin-networking-sfc"]
    version = (ROOT / "VERSION").read_text().strip()
    assert section["type"] == "local"
    assert section["location"].endswith(f"/neutron_portchain-{version}.tar.gz")


def test_yaml_is_valid_and_scrapes_both_programs() -> None:
    scrape = DEPLOY / "kolla" / "config" / "prometheus" / "prometheus.yml.d" / "portchain.yml"
    jobs = yaml.safe_load(without_templates(scrape.read_text()))["scrape_configs"]
    ours = yaml.safe_load((DEPLOY / "prometheus" / "scrape.yml").read_text())["scrape_configs"]
    assert [job["job_name"] for job in jobs] == [job["job_name"] for job in ours]
    globals_ = yaml.safe_load((DEPLOY / "kolla" / "globals.yml").read_text())
    assert globals_["enable_neutron_sfc"] is True


def test_openstack_ansible_configures_names_that_load_this_package() -> None:
    variables = yaml.safe_load((DEPLOY / "openstack-ansible" / "user_portchain.yml").read_text())
    for plugin in ("flow_classifier", "sfc"):
        assert plugin in variables["neutron_plugin_base"]
        assert plugin in entry_points()["neutron.service_plugins"]
    assert "sfc" in entry_points()["neutron.agent.l2.extensions"]
    (source,) = variables["neutron_optional_sfc_pip_packages"]
    assert source.startswith("neutron-portchain @ git+")
    for program in ("neutron_neutron_conf", "neutron_openvswitch_agent_ini"):
        known = {option.name for option in conf.SERVER_OPTS}
        assert set(variables[f"{program}_overrides"]["port_chain"]) <= known
