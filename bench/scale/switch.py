"""A switch in memory, in a process of its own, that takes and prints flows as ovs-ofctl does.

So the processor time and memory of this process are those of the agent.
"""

import multiprocessing
from collections.abc import Collection, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection

from portchain.core.counters import Count
from portchain.dataplane.counting import Learned
from portchain.dataplane.datapath import Feature
from portchain.dataplane.diff import Batch
from portchain.dataplane.dump import Dump
from portchain.dataplane.flow import COOKIE, Bridge, Flow, FlowKey
from portchain.dataplane.host_switch import HostNeeds, LocalSwitch
from portchain.host.health.channel import PacketChannel

_BRIDGES = (Bridge.INT, Bridge.TUN)


class SwitchInMemory:
    """Implements ``portchain.host.switch.Switch``. Stop it when it is not needed any more.

    :ivar local: what ``read_ports`` returns.
    :ivar changed: number of flows that were added or removed.
    :ivar dumped: number of times that all flows of a bridge were read.
    """

    def __init__(self, local: LocalSwitch) -> None:
        self.lacks: frozenset[Feature] = frozenset()
        self.local = local
        self.changed = self.dumped = self.read = 0
        # Forked before the agent has plans: the process shares none of its memory.
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def close(self) -> None:
        """End the switch's process."""
        self._process.terminate()
        self._process.join()

    def provide(self, needs: HostNeeds) -> None:
        """See ``Switch``."""

    def read_ports(self) -> LocalSwitch:
        """See ``Switch``."""
        self.read += 1
        return self.local

    def dump_entries(self) -> Dump:
        """See ``Switch``."""
        return Dump({bridge: self._dump(bridge) for bridge in _BRIDGES})

    def _dump(self, bridge: Bridge) -> str:
        self.dumped += 1
        self._pipe.send_bytes(f"dump {bridge}".encode())
        return self._pipe.recv_bytes().decode()

    def open_channel(self, *, to_tunnels: bool = False) -> PacketChannel:
        """Return a channel to nothing: no plan here has health checks."""
        return PacketChannel(lambda: "")

    def read_counts(self, keys: Collection[FlowKey]) -> Mapping[FlowKey, Count]:
        """See ``Switch``. No packets."""
        return {}

    def count_learned(self, labels: Collection[int]) -> Mapping[Learned, int]:
        """See ``Switch``. No packets."""
        return {}

    def limit_tables(self, limits: Mapping[int, int]) -> None:
        """See ``Switch``."""

    def apply(self, batch: Batch) -> None:
        """See ``Switch``."""
        self.changed += len(batch.put) + len(batch.remove)
        lines = [f"delete {Flow(key, '').match_text}" for key in batch.remove]
        lines += [f"add {flow.match_text},actions={flow.actions}" for flow in batch.put]
        if lines:
            self._pipe.send_bytes("\n".join((f"apply {batch.bridge}", *lines)).encode())
            self._pipe.recv_bytes()


def _serve(pipe: Connection) -> None:
    """Answer until the other end is closed."""
    flows: dict[str, dict[str, str]] = {str(bridge): {} for bridge in _BRIDGES}
    while True:
        try:
            command, *lines = pipe.recv_bytes().decode().split("\n")
        except EOFError:
            return
        what, _, bridge = command.partition(" ")
        if what == "dump":
            pipe.send_bytes("\n".join(_printed(flows[bridge].items())).encode())
            continue
        for line in lines:
            verb, _, text = line.partition(" ")
            match, _, actions = text.partition(",actions=")
            if verb == "delete":
                flows[bridge].pop(match, None)
            else:
                flows[bridge][match] = actions
        pipe.send_bytes(b"")


def _printed(flows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for match, actions in flows:
        table, priority, *words = match.split(",")
        head = ", ".join((f"cookie={COOKIE:#x}", table, ",".join((priority, *words))))
        yield f" {head} actions={actions}"
