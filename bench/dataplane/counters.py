"""What the switches of a lab count."""

import os
import re
import subprocess
import tempfile
import time
from typing import IO, Self

from portchain_lab.hosts import switch
from portchain_lab.lab import Lab

BRIDGES = frozenset({"br-int", "br-tun", "br-chain"})
SETTLE = 0.3
"""Seconds in which a switch completes what the last packets caused."""


def misses(shown: str) -> int:
    """Packets for which a datapath had no entry, from the output of ``dpctl/show``."""
    return sum(int(number) for number in re.findall(r"missed:(\d+)", shown))


def entries(shown: str) -> int:
    """Entries of a datapath, from the output of ``dpctl/show``."""
    return sum(int(number) for number in re.findall(r"flows: (\d+)", shown))


def show_datapaths(lab: Lab) -> str:
    """The output of ``dpctl/show`` of all hosts."""
    return "\n".join(lab.appctl(host, "dpctl/show") for host in lab.hosts)


def forget_entries(lab: Lab) -> None:
    """Remove all datapath entries, so that those of other cases are not counted."""
    for host in lab.hosts:
        lab.appctl(host, "revalidator/purge")


def bridges(lab: Lab, host: str) -> list[str]:
    """Bridges of a host that can have flows of chains."""
    return sorted(BRIDGES & set(lab.vsctl(host, "list-br").split()))


def count_flows(lab: Lab) -> int:
    """OpenFlow flows in the bridges of all hosts."""
    total = 0
    for host in lab.hosts:
        for bridge in bridges(lab, host):
            shown = lab.ofctl(host, "dump-aggregate", bridge)
            total += sum(int(number) for number in re.findall(r"flow_count=(\d+)", shown))
    return total


class FlowChanges:
    """Counts flows that are added or changed in all bridges within its context.

    Flows that expire are not counted: each was added once.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._watches: list[tuple[subprocess.Popen[str], IO[str]]] = []
        self.count = 0
        """How many, after the context."""

    def __enter__(self) -> Self:
        for host in self._lab.hosts:
            directory = str(self._lab.layout.host_directory(host))
            for bridge in bridges(self._lab, host):
                argv = ["ovs-ofctl", "-O", switch.OPENFLOW_VERSIONS, "monitor"]
                argv += [f"unix:{directory}/{bridge}.mgmt", "watch:!initial"]
                # A file, because a full pipe would make the switch pause its reports.
                out = tempfile.TemporaryFile("w+")
                # ovs-ofctl creates a control socket in its run directory.
                environment = {**os.environ, "OVS_RUNDIR": directory}
                watch = subprocess.Popen(
                    argv, stdout=out, stderr=subprocess.STDOUT, text=True, env=environment
                )
                self._watches.append((watch, out))
        time.sleep(SETTLE)
        return self

    def __exit__(self, *_: object) -> None:
        before = -1
        while (reported := self._reported()) != before:
            before = reported
            time.sleep(SETTLE)
        for watch, out in self._watches:
            watch.terminate()
            watch.wait()
            out.seek(0)
            self.count += count_changes(out.read())
            out.close()

    def _reported(self) -> int:
        """Bytes of all reports so far."""
        return sum(os.fstat(out.fileno()).st_size for _, out in self._watches)


def count_changes(shown: str) -> int:
    """Flows added or changed, from the output of ``ovs-ofctl monitor``."""
    return len(re.findall(r"event=(?:ADDED|MODIFIED)\b", shown))
