"""A real ovs-vswitchd with its userspace datapath, for tests that send frames through its ports.

Ports have the type "dummy": ovs-appctl sends frames into a port, and frames that leave a port are
written to a pcap file. This needs no privileges and no interfaces of the machine.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from portchain.core.counters import Count
from portchain.dataplane.counting import (
    Learned,
    learned_selections,
    parse_counts,
    parse_learned,
    selections,
)
from portchain.dataplane.diff import Batch, diff
from portchain.dataplane.flow import COOKIE, Bridge, Flow, FlowKey, NoFlood, SwitchEntry, parse_dump
from portchain.dataplane.host_switch import PhysicalBridge
from portchain.host.bridge import OPENFLOW, ofctl_argv

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
DATAPATH = os.environ.get("PORTCHAIN_DATAPATH", "userspace")
EVIDENCE = Path("evidence")
FAILED: list[str] = []
"""What failed in this process so far; ``conftest`` notes the tests."""
# A virtual machine without KVM is ten times slower, and may get little of the machine it is on.
DEADLINE = 20 if DATAPATH == "userspace" else 600
COMMANDS_PER_ROUND = 10
FRAMES_PER_CALL = 50  # a dummy port queues at most a hundred frames and drops the others
PCAP_HEADER, _RECORD = 24, struct.Struct("<IIII")


class Capture:
    """Reads the frames of a pcap file that the switch is writing.

    Only new frames are read: a test may look at a port hundreds of times.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = PCAP_HEADER

    def new_frames(self) -> list[bytes]:
        """Return the frames since the last call, without one that is not complete yet."""
        if self._path.stat().st_size <= self._read:
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        found, offset = [], 0
        while offset + _RECORD.size <= len(data):
            end = offset + _RECORD.size + _RECORD.unpack_from(data, offset)[2]
            if end > len(data):
                break
            found.append(data[offset + _RECORD.size : end])
            offset = end
        self._read += offset
        return found


class Control:
    """The control socket of a running switch, for commands as ``ovs-appctl`` sends them.

    Open vSwitch's own client in Python takes half a millisecond for each command. Several threads
    may give commands, such as a test and the function that answers it.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(path)
        self._answers = ""
        self._turn = threading.Lock()

    def close(self) -> None:
        self._socket.close()

    def transact(self, command: str, arguments: Sequence[str] = (), times: int = 1) -> str:
        """Give the same command several times; return the answer to the last one.

        :raises AssertionError: a command failed; the text has the switch's error.
        """
        request = json.dumps({"method": command, "params": list(arguments), "id": 0})
        with self._turn:
            self._socket.sendall(request.encode() * times)
            for answer in [self._receive() for _ in range(times)]:
                assert answer["error"] is None, f"{command}: {answer['error']}"
        return str(answer["result"])

    def _receive(self) -> dict[str, object]:
        while True:
            try:
                answer, end = json.JSONDecoder().raw_decode(self._answers)
            except ValueError:
                data = self._socket.recv(1 << 16)
                assert data, "the switch closed its control socket"
                self._answers += data.decode()
            else:
                self._answers = self._answers[end:].lstrip()
                return answer  # type: ignore[no-any-return]


@functools.cache
def _new_database() -> bytes:
    """Return the file of a database that ``ovs-vsctl init`` has initialised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "conf.db")
        row = {"op": "insert", "table": "Open_vSwitch", "row": {}}
        for argv in (
            ("ovsdb-tool", "create", path, SCHEMA),
            ("ovsdb-tool", "transact", path, json.dumps(["Open_vSwitch", row])),
        ):
            subprocess.run(argv, check=True, capture_output=True)
        return path.read_bytes()


class Vswitch:
    """One ovs-vswitchd and its database.

    :param folder: for its files. The path must be short: those of UNIX sockets are limited.
    """

    datapath_type = "dummy"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._control: Control | None = None
        self._collected: list[str] | None = None
        self._captures: dict[str, Capture] = {}
        self._received: dict[str, list[Packet]] = {}
        self._port_names: dict[tuple[str, int], str] = {}
        self._env = {
            **os.environ,
            **{f"OVS_{kind}DIR": str(folder) for kind in ("RUN", "LOG", "DB")},
        }

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a tool of Open vSwitch against this instance and return what it printed.

        :raises AssertionError: it failed; the text has its errors.
        """
        done = subprocess.run(
            argv, env=self._env, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}\n{stdin or ''}\n{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Start database and switch. Returns when both answer."""
        database = f"unix:{self.folder}/db.sock"
        (self.folder / "conf.db").write_bytes(_new_database())
        self.run(
            "ovsdb-server",
            f"{self.folder}/conf.db",
            f"--remote=p{database}",
            *(
                f"--{name.replace('_', '-')}=db:Open_vSwitch,SSL,{name}"
                for name in ("private_key", "certificate", "ca_cert")
            ),
            *self._daemon("ovsdb-server"),
        )
        self.start_switch()

    def start_switch(self) -> None:
        """Start the switch for the running database. Returns when it answers."""
        self._control = None
        argv = ("ovs-vswitchd", f"unix:{self.folder}/db.sock", "--enable-dummy")
        self.run(*argv, *self._daemon("ovs-vswitchd"))

    def stop_switch(self) -> None:
        """Stop the switch and wait for its end, so that it can be started again."""
        pid_file = self.folder / "ovs-vswitchd.pid"
        self.appctl("exit")
        deadline = time.monotonic() + DEADLINE
        while pid_file.exists():
            assert time.monotonic() < deadline, (
                "ovs-vswitchd is still running after the command to exit"
            )
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill switch and database, by pid."""
        if self._control is not None:
            self._control.close()
        for name in ("ovs-vswitchd", "ovsdb-server"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((self.folder / f"{name}.pid").read_text()), signal.SIGKILL)

    def _daemon(self, name: str) -> list[str]:
        return [
            "--detach",
            f"--pidfile={self.folder}/{name}.pid",
            f"--log-file={self.folder}/{name}.log",
            "--no-chdir",
        ]

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Configure the bridges and ports that the block adds in one transaction, at its end.

        The switch takes about as long for twenty ports as for one.
        """
        assert self._collected is None
        self._collected = []
        try:
            yield
            if self._collected:
                self.run("ovs-vsctl", *self._collected)
        finally:
            self._collected = None

    def _configure(self, *command: str) -> None:
        """Run a command of ovs-vsctl, at the end of an ``at_once`` block if there is one."""
        if self._collected is None:
            self.run("ovs-vsctl", *command)
        else:
            self._collected += ["--", *command]

    def add_bridge(self, name: str) -> None:
        """Add a bridge without any flows."""
        self._configure(
            "add-br", name, "--", "set", "bridge", name,
            f"datapath_type={self.datapath_type}", "fail_mode=secure",
            "protocols=OpenFlow10,OpenFlow13,OpenFlow14",
        )  # fmt: skip

    def add_port(self, bridge: str, name: str, ofport: int, *columns: str) -> None:
        """Add a port that the test can send frames into and receive frames from.

        :param columns: settings of the row in table Port; by default, the port is an access port of
            VLAN 1, like ports that Neutron's agent has wired.
        """
        self._port_names[bridge, ofport] = name
        self._configure(
            "add-port", bridge, name, *(columns or ["tag=1"]),
            "--", "set", "interface", name, f"ofport_request={ofport}",
            *self._create_interface(name),
        )  # fmt: skip

    def _create_interface(self, name: str) -> list[str]:
        """Create what a port needs; return settings of its row in table Interface."""
        return ["type=dummy", f"options:tx_pcap={self.folder / name}.pcap"]

    def forget_addresses(self, bridge: str, ofports: Iterable[int]) -> None:
        """Forget what a bridge has learned at ports: their column "protected" changes twice."""
        names = [self._port_names[bridge, ofport] for ofport in ofports]
        for value in ("true", "false"):
            commands = (("--", "set", "port", name, f"protected={value}") for name in names)
            self.run("ovs-vsctl", *(word for command in commands for word in command))

    def add_patch(self, bridge: str, name: str, ofport: int, peer: str) -> None:
        """Add a patch port to another bridge, whose patch port is ``peer``."""
        self._configure(
            "add-port", bridge, name, "--", "set", "interface", name,
            "type=patch", f"ofport_request={ofport}", f"options:peer={peer}",
        )  # fmt: skip

    def add_link(self, bridge: str, name: str, ofport: int, peer: str) -> None:
        """Add one end of the connection between two hosts, whose other end is ``peer``."""
        self.add_patch(bridge, name, ofport, peer)

    def add_tunnels(self, kind: str, addresses: Mapping[str, str]) -> None:
        """Add a tunnel between two hosts, on port 2 of their bridges for tunnels.

        :param kind: ``vxlan``, ``geneve`` or ``gre``.
        :param addresses: host -> address of its end.
        """
        self._prepare_underlay(addresses)
        ends = list(addresses)
        with self.at_once():
            for host, peer in (ends, reversed(ends)):
                self._configure(
                    "add-port", f"{host}-tun", f"{host}-tunnel",
                    "--", "set", "interface", f"{host}-tunnel", f"type={kind}", "ofport_request=2",
                    f"options:remote_ip={quoted(addresses[peer])}", "options:key=flow",
                    *self._local_end(addresses[host]),
                )  # fmt: skip

    def _prepare_underlay(self, addresses: Mapping[str, str]) -> None:
        """Connect addresses of hosts: each has a bridge, whose own port has the address."""
        (one, at_one), (other, at_other) = addresses.items()
        with self.at_once():
            for host, peer in ((one, other), (other, one)):
                self.add_bridge(f"{host}-under")
                self._configure("set-fail-mode", f"{host}-under", "standalone")
                self.add_patch(f"{host}-under", f"{host}-wire", 1, f"{peer}-wire")
        for host, local, remote in ((one, at_one, at_other), (other, at_other, at_one)):
            family, network, all_bits = (
                ("ip6addr", 64, 128) if ":" in local else ("ip4addr", 24, 32)
            )
            peer = other if host == one else one
            hardware = self.run("ovs-vsctl", "get", "interface", f"{peer}-under", "mac_in_use")
            self.appctl(f"netdev-dummy/{family}", f"{host}-under", f"{local}/{network}")
            self.appctl("ovs/route/add", f"{remote}/{all_bits}", f"{host}-under")
            self.appctl("tnl/neigh/set", f"{host}-under", remote, hardware.strip().strip('"'))

    def _local_end(self, address: str) -> list[str]:
        """Return the options that say which address is a tunnel's own: its route says so."""
        return []

    def appctl(self, command: str, *arguments: str) -> str:
        """Give the running switch a command, and return its answer. No process is started.

        :raises AssertionError: the command failed; the text has the switch's error.
        """
        return self._connected().transact(command, arguments)

    def slow_flows(self) -> list[str]:
        """Return the datapath's flows whose packets all go through ovs-vswitchd."""
        return [flow for flow in self.datapath_flows() if "slow_path" in flow]

    def datapath_flows(self) -> list[str]:
        """Return all flows of the datapath."""
        datapath = f"{self.datapath_type}@ovs-{self.datapath_type}"
        return self.appctl("dpctl/dump-flows", "--names", datapath).splitlines()

    def _connected(self) -> Control:
        if self._control is None:
            pid = (self.folder / "ovs-vswitchd.pid").read_text().strip()
            self._control = Control(f"{self.folder}/ovs-vswitchd.{pid}.ctl")
        return self._control

    def send(self, port: str, *frames: Packet | bytes) -> None:
        """Send frames into a port, in order. Returns when the switch has handled them."""
        for start in range(0, len(frames), FRAMES_PER_CALL):
            some = [bytes(frame).hex() for frame in frames[start : start + FRAMES_PER_CALL]]
            self.appctl("netdev-dummy/receive", port, *some)
            # In each round, the switch handles one frame of each port, then up to ten commands.
            self._connected().transact("version", times=COMMANDS_PER_ROUND * len(some))

    def send_large(self, port: str, frame: Packet, segment: int) -> None:
        """Send a TCP packet that the datapath has to divide, if it can get one.

        :param segment: bytes of data in each packet.
        """
        data, number = bytes(frame[TCP].payload), frame[TCP].seq
        pieces = []
        for start in range(0, len(data), segment):
            piece = frame.copy()
            piece[TCP].remove_payload()
            piece[TCP].seq = number + start
            del piece[TCP].chksum, piece.payload.len, piece.payload.chksum
            pieces.append(piece / data[start : start + segment])
        self.send(port, *pieces)

    def new_frames(self, port: str) -> list[bytes]:
        """Return the frames that have left a port since the last call."""
        if port not in self._captures:
            self._captures[port] = Capture(self.folder / f"{port}.pcap")
        return self._captures[port].new_frames()

    def received(
        self, port: str, count: int, where: Callable[[Packet], bool] = lambda frame: True
    ) -> list[Packet]:
        """Return the frames that have left a port since it was added.

        :param count: wait for so many frames; 0 does not wait.
        :param where: selects the frames to return and to count; flooded frames may be among all.
        :raises AssertionError: fewer frames have left the port within ``DEADLINE`` seconds.
        """
        deadline = time.monotonic() + DEADLINE
        seen = self._received.setdefault(port, [])
        while True:
            seen += map(Ether, self.new_frames(port))
            frames = [frame for frame in seen if where(frame)]
            if len(frames) >= count:
                return frames
            assert time.monotonic() < deadline, (
                f"{len(frames)} of {count} frames came out of {port}"
            )
            time.sleep(0.02)


class VswitchBridge:
    """A bridge of a switch; implements ``portchain.host.bridge.BridgeConnection``.

    :param database: the switch's, for what reads it.
    :param target: the bridge's address for OpenFlow; if it is empty, its name.
    """

    def __init__(self, vswitch: Vswitch, name: str, database: Any = None, target: str = "") -> None:
        self.name, self.target, self.database = name, target or name, database
        self._vswitch = vswitch

    def ofctl(
        self, command: str, *args: str, stdin: str | None = None, version: str = OPENFLOW
    ) -> str:
        try:
            return self._vswitch.run(*ofctl_argv(self.target, command, args, version), stdin=stdin)
        except AssertionError as exc:
            raise RuntimeError(str(exc)) from exc

    def appctl(self, command: str, *args: str) -> str:
        return self._vswitch.appctl(command, *args)


class Host:
    """The two bridges of a compute host; implements ``portchain.host.switch.Switch``.

    Of Neutron's flows, there are those that the tests need: the firewall's tables, which pass all
    packets on, and the action NORMAL after them.
    """

    def __init__(self, vswitch: Vswitch, name: str) -> None:
        self.vswitch = vswitch
        self.name = name
        self._names = {Bridge.INT: f"{name}-int", Bridge.TUN: f"{name}-tun"}
        with vswitch.at_once():
            for bridge in self._names.values():
                vswitch.add_bridge(bridge)
            vswitch.add_patch(self._names[Bridge.INT], f"{name}-to-tun", 1, f"{name}-to-int")
            vswitch.add_patch(self._names[Bridge.TUN], f"{name}-to-int", 1, f"{name}-to-tun")
        self.neutron_flows = [
            "table=0,priority=0,actions=goto_table:60",
            "table=60,priority=1,actions=goto_table:73",
            "table=73,priority=1,actions=goto_table:94",
            "table=94,priority=1,actions=NORMAL",
        ]
        self.add_flows(Bridge.INT, self.neutron_flows)

    def add_physical_bridge(self, name: str, vlan: int | None, local_vlan: int) -> PhysicalBridge:
        """Add the bridge to a physical network with one Neutron network, as Neutron's agent does.

        :param vlan: tag of the network outside of the host; None for untagged frames.
        :param local_vlan: tag of the network on br-int.
        """
        bridge = Bridge.physical(name)
        self._names[bridge] = f"{self.name}-{name}"
        to_physical, to_int = f"{self.name}-int-{name}", f"{self.name}-phy-{name}"
        with self.vswitch.at_once():
            self.vswitch.add_bridge(self._names[bridge])
            self.vswitch.add_patch(self._names[Bridge.INT], to_physical, 2, to_int)
            self.vswitch.add_patch(self._names[bridge], to_int, 1, to_physical)
        tag = "pop_vlan" if vlan is None else f"mod_vlan_vid:{vlan}"
        flows = (
            "priority=0,actions=NORMAL",
            f"priority=4,in_port=1,dl_vlan={local_vlan},actions={tag},NORMAL",
            "priority=2,in_port=1,actions=drop",
        )
        self.add_flows(bridge, flows)
        incoming = "vlan_tci=0x0000/0x1fff" if vlan is None else f"dl_vlan={vlan}"
        retag = "push_vlan:0x8100," if vlan is None else ""
        retag += f"set_field:{0x1000 | local_vlan}->vlan_vid"
        flows = (
            f"priority=3,in_port=2,{incoming},actions={retag},goto_table:60",
            "priority=2,in_port=2,actions=drop",
        )
        self.add_flows(Bridge.INT, flows)
        return PhysicalBridge(2, 1)

    def ofctl(
        self,
        bridge: Bridge,
        command: str,
        *args: str,
        stdin: str | None = None,
        version: str = OPENFLOW,
    ) -> str:
        """Run ovs-ofctl on one of the bridges."""
        return self.vswitch.run(
            *ofctl_argv(self._names[bridge], command, args, version), stdin=stdin
        )

    def add_flows(self, bridge: Bridge, flows: Iterable[str]) -> None:
        """Add flows to one of the bridges."""
        self.ofctl(bridge, "add-flows", "-", stdin="".join(f"{flow}\n" for flow in flows))

    def dump_entries(self) -> list[SwitchEntry]:
        """See ``Switch``. Nobody else sets a port to no-flood here."""
        owned = f"cookie={COOKIE:#x}/-1"
        return [*self.no_flood(), *self._flows(owned)]

    def put(self, wanted: Collection[SwitchEntry]) -> None:
        """Give the switch exactly these of our entries."""
        for batch in diff(wanted, self.dump_entries()):
            self.apply(batch)

    def no_flood(self) -> list[NoFlood]:
        """Return the ports of the integration bridge that are excluded from flooding."""
        text = self.ofctl(Bridge.INT, "dump-ports-desc", version="OpenFlow10")
        ports = re.findall(r"^ (\d+)\(.*\n +config: +(.*)$", text, re.MULTILINE)
        return [NoFlood(int(number)) for number, config in ports if "NO_FLOOD" in config]

    def _flows(self, owned: str) -> list[Flow]:
        return [
            flow
            for bridge in self._names
            for flow in parse_dump(bridge, self.ofctl(bridge, "dump-flows", "--no-stats", owned))
        ]

    def read_counts(self, keys: Collection[FlowKey]) -> Mapping[FlowKey, Count]:
        """See ``Switch``."""
        found: dict[FlowKey, Count] = {}
        for bridge, matches in selections(keys).items():
            for match in matches:
                text = self.ofctl(bridge, "dump-flows", f"cookie={COOKIE:#x}/-1,{match}")
                found |= parse_counts(bridge, text, keys)
        return found

    def count_learned(self, labels: Collection[int]) -> Mapping[Learned, int]:
        """See ``Switch``."""
        found: Tally[Learned] = Tally()
        for match in learned_selections(labels):
            found.update(parse_learned(self.ofctl(Bridge.INT, "dump-flows", "--no-stats", match)))
        return found

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """Do nothing: tests/functional/controller covers the limits, which are set in OVSDB."""

    def flow_counts(self) -> Mapping[Bridge, int]:
        """Return the number of flows on each bridge, whoever owns them."""
        return {
            b: len(parse_dump(b, self.ofctl(b, "dump-flows", "--no-stats"))) for b in self._names
        }

    def apply(self, batch: Batch) -> None:
        """See ``Switch``."""
        for ports, setting in (
            (batch.suppress_flooding, "no-flood"),
            (batch.restore_flooding, "flood"),
        ):
            for port in ports:
                self.ofctl(Bridge.INT, "mod-port", str(port.ofport), setting, version="OpenFlow10")
        if batch.forget_addresses:
            ofports = [port.ofport for port in batch.forget_addresses]
            self.vswitch.forget_addresses(self._names[Bridge.INT], ofports)
        lines = [f"delete_strict cookie={COOKIE:#x}/-1,{_match_text(key)}" for key in batch.remove]
        lines += [
            f"add cookie={COOKIE:#x},{flow.match_text},actions={flow.actions}" for flow in batch.put
        ]
        self.ofctl(batch.bridge, "add-flows", "--bundle", "-", stdin="\n".join(lines) + "\n")


def quoted(address: str) -> str:
    """Return an address as ovs-vsctl needs it: a colon would end the value."""
    return f'"{address}"'


def _match_text(key: FlowKey) -> str:
    return Flow(key, "").match_text


def _vswitch_class() -> type[Vswitch]:
    if DATAPATH == "userspace":
        return Vswitch
    from tests.functional import kernel_vswitch  # noqa: PLC0415  # imports us

    kernel = {"kernel": kernel_vswitch.KernelVswitch, "offload": kernel_vswitch.OffloadingVswitch}
    return kernel[DATAPATH]


@contextlib.contextmanager
def running_vswitch() -> Iterator[Vswitch]:
    """Run a switch until the block ends; keep its logs and captures if a test failed meanwhile.

    ``PORTCHAIN_DATAPATH=kernel`` selects the kernel's datapath, and ``offload`` offloads what it
    can to tc.
    """
    failed_before = len(FAILED)
    with tempfile.TemporaryDirectory(prefix="vswitch-") as name:
        vswitch = _vswitch_class()(Path(name))
        try:
            vswitch.start()
            yield vswitch
        except BaseException:
            FAILED.append("the switch, or what a fixture did with it")
            raise
        finally:
            vswitch.stop()
            if len(FAILED) > failed_before:
                keep_evidence(vswitch.folder)


def keep_evidence(folder: Path) -> None:
    """Copy what a switch left to ``evidence``, and print the place."""
    place = EVIDENCE / folder.name
    shutil.copytree(folder, place, ignore=_sockets)
    print(f"logs and captures of the switch: {place.resolve()}")


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]
