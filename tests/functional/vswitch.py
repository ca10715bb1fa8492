"""A real ovs-vswitchd with its userspace datapath, whose ports a test feeds and listens to.

Ports are of the type "dummy": frames go in by ovs-appctl and come out into a pcap file each. No privileges, no interfaces of
the machine.
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
COMMANDS_A_TURN = 10
AT_ONCE = 50  # frames in one call; a dummy port drops what waits behind the hundredth


class Vswitch:
    """One ovs-vswitchd and its database.

    :param folder: where it keeps its files; short, because paths of UNIX sockets are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._control: UnixctlClient | None = None
        self._env = {
            **os.environ,
            **{f"OVS_{kind}DIR": str(folder) for kind in ("RUN", "LOG", "DB")},
        }

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a tool of Open vSwitch against this instance.

        :raises AssertionError: it failed; with what it said.
        """
        done = subprocess.run(
            argv, env=self._env, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)}\n{stdin or ''}\n{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Start database and switch; returns when both answer."""
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
        """Start the switch over its database; returns when it answers."""
        self._control = None
        argv = ("ovs-vswitchd", f"unix:{self.folder}/db.sock", "--enable-dummy")
        self.run(*argv, *self._daemon("ovs-vswitchd"))

    def stop_switch(self) -> None:
        """Let the switch end; returns when it has, so that it can be started again."""
        pid_file = self.folder / "ovs-vswitchd.pid"
        self.appctl("exit")
        deadline = time.monotonic() + DEADLINE
        while pid_file.exists():
            assert time.monotonic() < deadline, "ovs-vswitchd goes on although it was told to exit"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop both, by pid."""
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
        """Add a bridge that forwards nothing by itself."""
        self.run(
            "ovs-vsctl", "add-br", name, "--", "set", "bridge", name,
            "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow10,OpenFlow13,OpenFlow14",
        )  # fmt: skip

    def add_port(self, bridge: str, name: str, ofport: int, *columns: str) -> None:
        """Add a port whose frames can be sent and received by the test; like Neutron's, an access port of a VLAN.

        :param columns: settings of the port in the place of that.
        """
        pcap = self.folder / f"{name}.pcap"
        self.run(
            "ovs-vsctl", "add-port", bridge, name, *(columns or ["tag=1"]), "--", "set", "interface", name,
            "type=dummy", f"ofport_request={ofport}", f"options:tx_pcap={pcap}",
        )  # fmt: skip

    def add_patch(self, bridge: str, name: str, ofport: int, peer: str) -> None:
        """Add one end of a link between two bridges."""
        self.run(
            "ovs-vsctl", "add-port", bridge, name, "--", "set", "interface", name,
            "type=patch", f"ofport_request={ofport}", f"options:peer={peer}",
        )  # fmt: skip

    def appctl(self, command: str, *arguments: str) -> str:
        """Give the running switch a command; without a process for each, thousands take seconds.

        :raises AssertionError: it failed; with what the switch said.
        """
        if self._control is None:
            pid = (self.folder / "ovs-vswitchd.pid").read_text().strip()
            failed, self._control = UnixctlClient.create(f"{self.folder}/ovs-vswitchd.{pid}.ctl")
            assert not failed, os.strerror(failed)
        failed, refusal, answer = self._control.transact(command, list(arguments))
        assert not failed and refusal is None, f"{command}: {refusal or os.strerror(failed)}"
        return str(answer)

    def send(self, port: str, *frames: Packet | bytes) -> None:
        """Feed frames into a port, in order; returns when the switch has handled them."""
        for start in range(0, len(frames), AT_ONCE):
            some = [bytes(frame).hex() for frame in frames[start : start + AT_ONCE]]
            self.appctl("netdev-dummy/receive", port, *some)
            # Each turn, the switch takes one frame from each port, and then up to ten commands of ours.
            for _ in range(COMMANDS_A_TURN * len(some)):
                self.appctl("version")

    def received(
        self, port: str, count: int, where: Callable[[Packet], bool] = lambda frame: True
    ) -> list[Packet]:
        """The frames that have come out of a port since it was added.

        :param count: wait until there are so many; 0 returns at once what is there.
        :param where: which frames are asked for and counted; others, such as flooded ones, may be among them.
        :raises AssertionError: fewer came in time.
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
    """The two bridges of a compute host inside a ``Vswitch``; implements ``portchain.host.switch.Switch``.

    Neutron's part is what the tests need of it: everything is switched normally after the firewall's tables.
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
        for rule in self.neutron_flows:
            self.ofctl(Bridge.INT, "add-flow", rule)

    def add_physical_bridge(self, name: str, vlan: int | None, local_vlan: int) -> PhysicalBridge:
        """Add the bridge to a physical network that carries one Neutron network, wired as Neutron's agent wires it.

        :param vlan: of the network on the wire, None for untagged frames.
        """
        bridge = Bridge.physical(name)
        self._names[bridge] = f"{self.name}-{name}"
        self.vswitch.add_bridge(self._names[bridge])
        to_physical, to_int = f"{self.name}-int-{name}", f"{self.name}-phy-{name}"
        self.vswitch.add_patch(self._names[Bridge.INT], to_physical, 2, to_int)
        self.vswitch.add_patch(self._names[bridge], to_int, 1, to_physical)
        tag = "pop_vlan" if vlan is None else f"mod_vlan_vid:{vlan}"
        for rule in (
            "priority=0,actions=NORMAL",
            f"priority=4,in_port=1,dl_vlan={local_vlan},actions={tag},NORMAL",
            "priority=2,in_port=1,actions=drop",
        ):
            self.ofctl(bridge, "add-flow", rule)
        here = "vlan_tci=0x0000/0x1fff" if vlan is None else f"dl_vlan={vlan}"
        retag = "push_vlan:0x8100," if vlan is None else ""
        for rule in (
            f"priority=3,in_port=2,{here},actions={retag}set_field:{0x1000 | local_vlan}->vlan_vid,goto_table:60",
            "priority=2,in_port=2,actions=drop",
        ):
            self.ofctl(Bridge.INT, "add-flow", rule)
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
        """What is ours on both bridges; nobody else sets a port to no-flood here."""
        owned = f"cookie={COOKIE:#x}/-1"
        return [*self.no_flood(), *self._rules(owned)]

    def no_flood(self) -> list[NoFlood]:
        """The ports of the integration bridge that are not flooded to."""
        text = self.ofctl(Bridge.INT, "dump-ports-desc", version="OpenFlow10")
        ports = re.findall(r"^ (\d+)\(.*\n +config: +(.*)$", text, re.MULTILINE)
        return [NoFlood(int(number)) for number, config in ports if "NO_FLOOD" in config]

    def _rules(self, owned: str) -> list[Flow]:
        return [
            rule
            for bridge in self._names
            for rule in parse_dump(
                bridge, self.ofctl(bridge, "dump-flows", "--no-stats", "--no-names", owned)
            )
        ]

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """Limits are OVSDB's, and the agent's to set."""

    def flow_counts(self) -> Mapping[Bridge, int]:
        """How many rules there are, whoever's they are."""
        return {
            b: len(parse_dump(b, self.ofctl(b, "dump-flows", "--no-stats"))) for b in self._names
        }

    def apply(self, batch: Batch) -> None:
        """Carry out a batch."""
        for ports, setting in (
            (batch.suppress_flooding, "no-flood"),
            (batch.restore_flooding, "flood"),
        ):
            for port in ports:
                self.ofctl(Bridge.INT, "mod-port", str(port.ofport), setting, version="OpenFlow10")
        lines = [
            f"add cookie={COOKIE:#x},{rule.match_text},actions={rule.actions}" for rule in batch.put
        ]
        lines += [f"delete_strict cookie={COOKIE:#x}/-1,{_match_text(key)}" for key in batch.remove]
        self.ofctl(batch.bridge, "add-flows", "--bundle", "-", stdin="\n".join(lines) + "\n")


def _match_text(key: FlowKey) -> str:
    return Flow(key, "").match_text


@contextlib.contextmanager
def running_vswitch() -> Iterator[Vswitch]:
    """A switch that is gone when the block ends; its logs stay if the block failed."""
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
