"""Saves the state of a lab after a failure: logs, flows, databases, VMs and captured frames."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from portchain_lab.errors import LabError
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import capture

BRIDGES = ("br-int", "br-chain", "br-tun", "br-phy")


def collect(lab: Lab, directory: Path, frames: Iterable[capture.CapturedFrame] = ()) -> Path:
    """Write the state of the lab into a directory, whose previous contents are deleted.

    :param frames: captured frames to save, as one pcap file per port.
    :returns: the directory.
    """
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(lab.layout.logs, directory / "log")
    for host in lab.hosts:
        _collect_host(lab, host, directory / host)
    for vm in lab.vms.all():
        outputs = [
            _output_or_error(netns.run, vm.namespace, "ip", *words)
            for words in (("-d", "addr"), ("rule",), ("route", "show", "table", "all"), ("neigh",))
        ]
        (directory / f"vm-{vm.name}.txt").write_text("\n".join(outputs))
    capture.write_pcap(frames, directory / "pcap")
    return directory


def _collect_host(lab: Lab, host: str, directory: Path) -> None:
    columns = "--columns=name,ofport,external_ids,error,statistics"
    outputs = {
        "vsctl.txt": _output_or_error(lab.vsctl, host, "show"),
        "interfaces.txt": _output_or_error(lab.vsctl, host, columns, "list", "Interface"),
        "datapath-flows.txt": _output_or_error(lab.appctl, host, "dpctl/dump-flows", "-m"),
    }
    for bridge in BRIDGES:
        for what in ("flows", "groups"):
            outputs[f"{bridge}-{what}.txt"] = _output_or_error(
                lab.ofctl, host, f"dump-{what}", bridge
            )
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in outputs.items():
        (directory / name).write_text(text)


def _output_or_error(command: Callable[..., str], *arguments: str) -> str:
    """What a command printed, or why it failed: in a broken lab some commands will."""
    try:
        return command(*arguments)
    except LabError as error:
        return f"this command failed: {error}\n"
