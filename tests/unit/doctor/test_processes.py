"""Which processes are the host's agent, and with which configuration."""

from pathlib import Path

import pytest

from portchain.doctor.readers.processes import AgentProcess, find_agents
from portchain.doctor.snapshot import HostKind

OVS = "neutron-openvswitch-agent"
HERE, ELSEWHERE = "net:[1]", "net:[2]"


class Proc:
    """A folder like /proc, whose own process is in the network ``HERE``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.add("self", "")

    def add(self, pid: str, cmdline: str, network: str = HERE) -> None:
        namespaces = self.folder / pid / "ns"
        namespaces.mkdir(parents=True)
        (namespaces / "net").symlink_to(network)
        (self.folder / pid / "cmdline").write_text(cmdline)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


@pytest.mark.parametrize(
    "cmdline",
    [
        "/usr/bin/python3\0/usr/bin/{}\0--config-file\0/etc/a.conf\0--config-file=/etc/b.conf\0",
        # A process that has set its title.
        "{} (/usr/bin/python3 /usr/bin/{} --config-file /etc/a.conf --config-file=/etc/b.conf)",
        # oslo.service has set it.
        "{}: master process [/usr/bin/{} --config-file /etc/a.conf --config-file=/etc/b.conf]  ",
    ],
)
def test_an_agent_and_its_configuration_are_found(proc: Proc, cmdline: str) -> None:
    proc.add("812", cmdline.replace("{}", OVS))
    (found,) = find_agents(proc.folder)
    options = ("--config-file=/etc/a.conf", "--config-file=/etc/b.conf")
    assert found == AgentProcess(812, OVS, options)
    assert found.kind is HostKind.OVS


@pytest.mark.parametrize("name", ["neutron-ovn-agent", "portchain-ovn-agent"])
def test_agents_of_ovn_are_found(proc: Proc, name: str) -> None:
    proc.add("5", f"/opt/venv/bin/python\0/opt/venv/bin/{name}\0--config-dir\0/etc/neutron\0")
    (found,) = find_agents(proc.folder)
    assert found == AgentProcess(5, name, ("--config-dir=/etc/neutron",))
    assert found.kind is HostKind.OVN


def test_agents_of_other_networks_are_those_of_other_hosts(proc: Proc) -> None:
    proc.add("7", f"/usr/bin/{OVS}\0", ELSEWHERE)
    assert find_agents(proc.folder) == []


def test_of_a_process_and_its_children_the_first_counts(proc: Proc) -> None:
    for pid in ("90", "100", "9"):
        proc.add(pid, f"/usr/bin/python3\0/usr/bin/{OVS}\0")
    assert [one.pid for one in find_agents(proc.folder)] == [9]


def test_what_only_mentions_an_agent_is_none(proc: Proc) -> None:
    proc.add("4", f"tail\0-n\0100\0-f\0/var/log/{OVS}.log\0")
    proc.add("5", f"vim\0-R\0-c\0set nu\0/usr/bin/{OVS}\0")
    proc.add("6", "")
    (proc.folder / "version").write_text("Linux")
    (proc.folder / "8").mkdir()  # it has ended meanwhile
    assert find_agents(proc.folder) == []
