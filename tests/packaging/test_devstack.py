"""The DevStack plugin in a real shell, with functions that print what they are called with.

They have the names and arguments of DevStack's.
"""

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "devstack"

STACK = """
set -o errexit
is_service_enabled() {
    local each
    for each in "$@"; do [[ ",$SERVICES," == *",$each,"* ]] && return 0; done
    return 1
}
say() { echo "$*"; }
for each in define_plugin enable_service disable_service pip_install iniset iniset_rpc_backend \\
        neutron_service_plugin_class_add echo_summary; do
    eval "$each() { say $each \\"\\$@\\"; }"
done
plugin_agent_add_l2_agent_extension() { L2_AGENT_EXTENSIONS+=",$1"; }
DEST=/opt/stack NEUTRON_CONF=/etc/neutron.conf Q_PLUGIN_CONF_FILE=etc/ml2_conf.ini
OVN_AGENT_CONF=/etc/ovn_agent.ini NEUTRON_BIN_DIR="$3" L2_AGENT_EXTENSIONS=qos
source "$1/settings"
for phase in pre-install install post-config extra; do source "$1/plugin.sh" stack "$phase"; done
source "$1/plugin.sh" unstack
source "$1/plugin.sh" clean
"""


def stack(folder: Path, services: str, agent: str) -> list[str]:
    """Run all phases, and return what the functions were called with."""
    manage = folder / "neutron-db-manage"
    manage.write_text('#!/bin/sh\necho neutron-db-manage "$@"\n')
    manage.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", STACK, "stack.sh", FOLDER, "-", folder],
        env={"PATH": "/usr/bin:/bin", "SERVICES": services, "Q_AGENT": agent},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["plugin.sh", "settings"])
def test_syntax(shell: str) -> None:
    subprocess.run(["bash", "-n", FOLDER / shell], check=True, timeout=30)


def test_a_server_with_open_vswitch(tmp_path: Path) -> None:
    said = stack(tmp_path, "q-svc,q-agt", "openvswitch")
    assert said[0] == "define_plugin neutron-portchain"
    assert "pip_install -e /opt/stack/neutron-portchain" in said
    assert "neutron_service_plugin_class_add port_chain" in said
    assert "iniset /etc/neutron.conf port_chain drivers ovs" in said
    assert "iniset /etc/ml2_conf.ini agent extensions qos,port_chain" in said
    assert (
        "neutron-db-manage --config-file /etc/neutron.conf --config-file /etc/ml2_conf.ini "
        "--subproject neutron-portchain upgrade heads"
    ) in said
    assert not [line for line in said if "ovn" in line]


def test_a_server_with_ovn(tmp_path: Path) -> None:
    said = stack(tmp_path, "neutron-api,ovn-controller,q-ovn-metadata-agent", "ovn")
    assert "disable_service q-ovn-metadata-agent neutron-ovn-metadata-agent" in said
    assert "enable_service q-ovn-agent" in said
    assert "iniset /etc/neutron.conf port_chain drivers ovn" in said
    assert "iniset /etc/ovn_agent.ini agent extensions metadata,port_chain" in said
    assert "iniset_rpc_backend neutron /etc/ovn_agent.ini" in said


def test_a_compute_host(tmp_path: Path) -> None:
    said = stack(tmp_path, "q-agt", "openvswitch")
    assert "iniset /etc/ml2_conf.ini agent extensions qos,port_chain" in said
    assert not [line for line in said if "neutron.conf" in line]
