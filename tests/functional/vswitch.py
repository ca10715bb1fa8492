"""A real ovs-vswitchd with its userspace datapath, for tests that send frames through its ports.

Ports have the type "dummy": ovs-appctl sends frames into a port, and frames that leave a port are
written to a pcap file. This needs no privileges and no interfaces of the machine.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ovs.unixctl.client import UnixctlClient
from scapy.packet import Packet
from scapy.utils import rdpcap

from portchain.dataplane.diff import Batch
from portchain.dataplane.flow import COOKIE, Bridge, Flow, FlowKey, NoFlood, SwitchEntry, parse_dump
from portchain.dataplane.host_switch import PhysicalBridge

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
DEADLINE = 20
COMMANDS_PER_ROUND = 10
FRAMES_PER_CALL = 50  # a dummy port queues at most a hundred frames and drops the others


class Vswitch:
    """One ovs-vswitchd and its database.

    :param folder: for its files. The path must be short: those of UNIX sockets are limited.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._control: UnixctlClient | None = None
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
        self.run("ovsdb-tool", "create", f"{self.folder}/conf.db", SCHEMA)
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
        self.run("ovs-vsctl", "--no-wait", "init")
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

    def add_bridge(self, name: str) -> None:
        """Add a bridge without any flows."""
        self.run(
            "ovs-vsctl", "add-br", name, "--", "set", "bridge", name,
            "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow14",
        )  # fmt: skip

    def add_port(self, bridge: str, name: str, ofport: int, *columns: str) -> None:
        """Add a port that the test can send frames into and receive frames from.

        :param columns: settings of the row in table Port; by default, the port is an access port of
            VLAN 1, like ports that Neutron's agent has wired.
        """
        pcap = self.folder / f"{name}.pcap"
        self.run(
            "ovs-vsctl", "add-port", bridge, name, *(columns or ["tag=1"]),
            "--", "set", "interface", name, "type=dummy",
            f"ofport_request={ofport}", f"options:tx_pcap={pcap}",
        )  # fmt: skip

    def add_patch(self, bridge: str, name: str, ofport: int, peer: str) -> None:
        """Add a patch port to another bridge, whose patch port is ``peer``."""
        self.run(
            "ovs-vsctl", "add-port", bridge, name, "--", "set", "interface", name,
            "type=patch", f"ofport_request={ofport}", f"options:peer={peer}",
        )  # fmt: skip

    def appctl(self, command: str, *arguments: str) -> str:
        """Give the running switch a command, and return its answer.

        No process is started, so that thousands of commands take seconds.

        :raises AssertionError: the command failed; the text has the switch's error.
        """
        if self._control is None:
            pid = (self.folder / "ovs-vswitchd.pid").read_text().strip()
            failed, self._control = UnixctlClient.create(f"{self.folder}/ovs-vswitchd.{pid}.ctl")
            assert not failed, os.strerror(failed)
        failed, refusal, answer = self._control.transact(command, list(arguments))
        assert not failed and refusal is None, f"{command}: {refusal or os.strerror(failed)}"
        return str(answer)

    def send(self, port: str, *frames: Packet | bytes) -> None:
        """Send frames into a port, in order. Returns when the switch has handled them."""
        for start in range(0, len(frames), FRAMES_PER_CALL):
            some = [bytes(frame).hex() for frame in frames[start : start + FRAMES_PER_CALL]]
            self.appctl("netdev-dummy/receive", port, *some)
            # In each round, the switch handles one frame of each port, then up to ten commands.
            for _ in range(COMMANDS_PER_ROUND * len(some)):
                self.appctl("version")

    def received(
        self, port: str, count: int, where: Callable[[Packet], bool] = lambda frame: True
    ) -> list[Packet]:
        """Return the frames that have left a port since it was added.

        :param count: wait for so many frames; 0 does not wait.
        :param where: selects the frames to return and to count; flooded frames may be among all.
        :raises AssertionError: fewer frames have left the port within ``DEADLINE`` seconds.
        """
        deadline = time.monotonic() + DEADLINE
        while True:
            frames = [f for f in rdpcap(str(self.folder / f"{port}.pcap")) if where(f)]
            if len(frames) >= count:
                return frames
            assert time.monotonic() < deadline, (
                f"{len(frames)} of {count} frames came out of {port}"
            )
            time.sleep(0.02)


class Host:
    """The two bridges of a compute host; implements ``portchain.host.switch.Switch``.

    Of Neutron's flows, there are those that the tests need: the firewall's tables, which pass all
    packets on, and the action NORMAL after them.
    """

    def __init__(self, vswitch: Vswitch, name: str) -> None:
        self.vswitch = vswitch
        self.name = name
        self._names = {Bridge.INT: f"{name}-int", Bridge.TUN: f"{name}-tun"}
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
        for flow in self.neutron_flows:
            self.ofctl(Bridge.INT, "add-flow", flow)

    def add_physical_bridge(self, name: str, vlan: int | None, local_vlan: int) -> PhysicalBridge:
        """Add the bridge to a physical network with one Neutron network, as Neutron's agent does.

        :param vlan: tag of the network outside of the host; None for untagged frames.
        :param local_vlan: tag of the network on br-int.
        """
        bridge = Bridge.physical(name)
        self._names[bridge] = f"{self.name}-{name}"
        self.vswitch.add_bridge(self._names[bridge])
        to_physical, to_int = f"{self.name}-int-{name}", f"{self.name}-phy-{name}"
        self.vswitch.add_patch(self._names[Bridge.INT], to_physical, 2, to_int)
        self.vswitch.add_patch(self._names[bridge], to_int, 1, to_physical)
        tag = "pop_vlan" if vlan is None else f"mod_vlan_vid:{vlan}"
        for flow in (
            "priority=0,actions=NORMAL",
            f"priority=4,in_port=1,dl_vlan={local_vlan},actions={tag},NORMAL",
            "priority=2,in_port=1,actions=drop",
        ):
            self.ofctl(bridge, "add-flow", flow)
        incoming = "vlan_tci=0x0000/0x1fff" if vlan is None else f"dl_vlan={vlan}"
        retag = "push_vlan:0x8100," if vlan is None else ""
        retag += f"set_field:{0x1000 | local_vlan}->vlan_vid"
        for flow in (
            f"priority=3,in_port=2,{incoming},actions={retag},goto_table:60",
            "priority=2,in_port=2,actions=drop",
        ):
            self.ofctl(Bridge.INT, "add-flow", flow)
        return PhysicalBridge(2, 1)

    def ofctl(
        self,
        bridge: Bridge,
        command: str,
        *args: str,
        stdin: str | None = None,
        version: str = "OpenFlow14",
    ) -> str:
        """Run ovs-ofctl on one of the bridges."""
        options = [arg for arg in args if arg.startswith("--")]
        operands = [arg for arg in args if not arg.startswith("--")]
        return self.vswitch.run(
            "ovs-ofctl",
            *options,
            f"-O{version}",
            command,
            self._names[bridge],
            *operands,
            stdin=stdin,
        )

    def dump_entries(self) -> list[SwitchEntry]:
        """See ``Switch``. Nobody else sets a port to no-flood here."""
        owned = f"cookie={COOKIE:#x}/-1"
        return [*self.no_flood(), *self._flows(owned)]

    def no_flood(self) -> list[NoFlood]:
        """Return the ports of the integration bridge that are excluded from flooding."""
        text = self.ofctl(Bridge.INT, "dump-ports-desc", version="OpenFlow10")
        ports = re.findall(r"^ (\d+)\(.*\n +config: +(.*)$", text, re.MULTILINE)
        return [NoFlood(int(number)) for number, config in ports if "NO_FLOOD" in config]

    def _flows(self, owned: str) -> list[Flow]:
        return [
            flow
            for bridge in self._names
            for flow in parse_dump(
                bridge, self.ofctl(bridge, "dump-flows", "--no-stats", "--no-names", owned)
            )
        ]

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
        lines = [
            f"add cookie={COOKIE:#x},{flow.match_text},actions={flow.actions}" for flow in batch.put
        ]
        lines += [f"delete_strict cookie={COOKIE:#x}/-1,{_match_text(key)}" for key in batch.remove]
        self.ofctl(batch.bridge, "add-flows", "--bundle", "-", stdin="\n".join(lines) + "\n")


def _match_text(key: FlowKey) -> str:
    return Flow(key, "").match_text


@contextlib.contextmanager
def running_vswitch() -> Iterator[Vswitch]:
    """Run a switch until the block ends. Its logs stay if the block fails."""
    folder = Path(tempfile.mkdtemp(prefix="vswitch-"))
    vswitch = Vswitch(folder)
    try:
        vswitch.start()
        yield vswitch
    except BaseException:
        print(f"logs and captures of the switch: {folder}")
        raise
    finally:
        vswitch.stop()
