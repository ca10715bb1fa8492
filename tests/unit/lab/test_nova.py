"""Nova in the lab: its configuration, its guests' RAM disk, and what a host's programs see."""

import configparser
import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from portchain_lab.cloud import configs
from portchain_lab.cloud.nova import configuration, guest_image, programs
from portchain_lab.hosts import host_view, remote_shell
from portchain_lab.layout import Layout, Software

LAB = Layout("a", nova=True, software=Software("/opt/x/bin", ("port_chain",), ("port_chain",)))


def read(text: str) -> configparser.ConfigParser:
    """Read a configuration file, in which no section and no option may appear twice."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_servers_are_configured_with_their_accounts() -> None:
    for text, user in (
        (configuration.nova(LAB), "nova"),
        (configuration.glance(LAB), "glance"),
        (configuration.placement(LAB), "placement"),
    ):
        assert read(text)["keystone_authtoken"]["username"] == user


def test_only_servers_know_the_databases() -> None:
    assert "pymysql" in configuration.databases()
    hosts = configuration.nova(LAB) + configuration.compute(LAB, "h1", Path("/opt/nova"))
    assert "pymysql" not in hosts


def test_hosts_of_nova_differ() -> None:
    one, other = (
        configuration.compute(LAB, host, Path("/opt/nova")) for host in LAB.host_names[:2]
    )
    for section, option in (
        ("DEFAULT", "host"),
        ("DEFAULT", "my_ip"),
        ("DEFAULT", "state_path"),
        ("libvirt", "live_migration_inbound_addr"),
    ):
        assert read(one)[section][option] != read(other)[section][option]
    assert configuration.libvirtd(LAB, "h1") != configuration.libvirtd(LAB, "h2")
    # A guest that migrates keeps the paths of its disks.
    assert read(one)["DEFAULT"]["instances_path"] == read(other)["DEFAULT"]["instances_path"]
    places = [{place for _, place in configuration.mounts(LAB, host)} for host in ("h1", "h2")]
    folders = [{folder for folder, _ in configuration.mounts(LAB, host)} for host in ("h1", "h2")]
    assert places[0] == places[1]
    assert not folders[0] & folders[1]


@pytest.mark.parametrize("nova", [False, True])
def test_neutron_tells_nova_of_ports_and_answers_its_guests(nova: bool) -> None:
    lab = Layout("a", nova=nova, software=LAB.software)
    assert ("\n[nova]\n" in configs.neutron(lab)) == nova
    assert f"notify_nova_on_port_status_changes = {str(nova).lower()}\n" in configs.neutron(lab)
    assert ("extensions = port_chain,dhcp\n" in configs.agent(lab, "h1")) == nova


def test_versions_are_exact() -> None:
    assert all("==" in line for line in programs.requirements())


def test_a_program_sees_folders_of_its_own(tmp_path: Path) -> None:
    folder, place = tmp_path / "folder", tmp_path / "place"
    folder.mkdir()
    (folder / "file").write_text("inside")
    argv = ("sh", "-c", 'hostname; cat "$0"', str(place / "file"))
    command = host_view.command(sys.executable, "h9", [(folder, place)], argv)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "h9\ninside"
    assert list(place.iterdir()) == []


def test_a_ram_disk_has_what_the_guest_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in guest_image.MODULES:
        path = tmp_path / "lib/modules/6.1/kernel" / f"{module.partition(' ')[0]}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"module")
    monkeypatch.setattr(guest_image, "BUSYBOX", Path("/bin/true"))
    archive = gzip.decompress(guest_image.build(tmp_path))
    assert len(archive) % 4 == 0
    for name in ("init", "bin/busybox", "modules/virtio_net.ko", "modules/list", "TRAILER!!!"):
        assert b"\0" + name.encode() + b"\0" in archive or name.encode() + b"\0" in archive
    assert b"virtio_net.ko csum=0 gso=0\n" in archive


@pytest.mark.parametrize(
    ("words", "done"),
    [
        ("ssh -o BatchMode=yes 10.0.0.2 touch /disks/x", "touch /h2/x"),
        ("ssh -o BatchMode=yes 10.0.0.2 mkdir -p /disks/a/b", "mkdir -p /h2/a/b"),
        ("scp -C -r /disks/a/disk 10.0.0.2:/disks/a/disk", "cp -r /disks/a/disk /h2/a/disk"),
        ("scp -r 10.0.0.2:/disks/a /tmp/a", "cp -r /h2/a /tmp/a"),
    ],
)
def test_commands_on_other_hosts_act_on_their_folders(words: str, done: str) -> None:
    assert remote_shell.translate(words.split(), "/disks", {"10.0.0.2": "/h2"}) == done.split()
