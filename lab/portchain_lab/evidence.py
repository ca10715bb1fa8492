"""What to keep when something went wrong: logs, flow tables, switch databases, VMs, captures."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from portchain_lab.errors import LabError
from portchain_lab.hosts import netns
from portchain_lab.lab import Lab
from portchain_lab.observe import capture

BRIDGES = ("br-int", "br-tun", "br-phy")


def collect(lab: Lab, directory: Path, seen: Iterable[capture.CapturedFrame] = ()) -> Path:
    """Write the state of the lab into a directory, replacing what an earlier failure left there.

    :param seen: frames to keep as pcap files.
    :returns: the directory.
    """
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(lab.layout.logs, directory / "log")
    for host in lab.hosts:
        _keep_host(lab, host, directory / host)
    for vm in lab.vms.all():
        answers = [
            _ask(netns.run, vm.namespace, "ip", *words)
            for words in (("-d", "addr"), ("rule",), ("route", "show", "table", "all"), ("neigh",))
        ]
        (directory / f"vm-{vm.name}.txt").write_text("\n".join(answers))
    capture.write_pcap(seen, directory / "pcap")
    return directory


def _keep_host(lab: Lab, host: str, directory: Path) -> None:
    columns = "--columns=name,ofport,external_ids,error,statistics"
    answers = {
        "vsctl.txt": _ask(lab.vsctl, host, "show"),
        "interfaces.txt": _ask(lab.vsctl, host, columns, "list", "Interface"),
        "datapath-flows.txt": _ask(lab.appctl, host, "dpctl/dump-flows", "-m"),
    }
    for bridge in BRIDGES:
        for what in ("flows", "groups"):
            answers[f"{bridge}-{what}.txt"] = _ask(lab.ofctl, host, f"dump-{what}", bridge)
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in answers.items():
        (directory / name).write_text(text)


def _ask(question: Callable[..., str], *arguments: str) -> str:
    """An answer, or why there is none: a broken lab is what this is for."""
    try:
        return question(*arguments)
    except LabError as error:
        return f"no answer: {error}\n"
