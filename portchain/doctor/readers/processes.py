"""Finds the agent among the processes of this host."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portchain.doctor.snapshot import HostKind

PROGRAMS = {
    "neutron-openvswitch-agent": HostKind.OVS,
    "neutron-ovn-agent": HostKind.OVN,
    "portchain-ovn-agent": HostKind.OVN,
}
_FIRST_WORDS = 4  # an interpreter and its options may come before the program
_FILE_OPTIONS = ("--config-file", "--config-dir")


@dataclass(frozen=True, slots=True)
class AgentProcess:
    """A process of an agent.

    :param config: its options about configuration files.
    """

    pid: int
    program: str
    config: tuple[str, ...] = ()

    @property
    def kind(self) -> HostKind:
        """Which kind of host has this agent."""
        return PROGRAMS[self.program]


def find_agents(proc: Path = Path("/proc")) -> list[AgentProcess]:
    """Return the agents that have the network of this process.

    Other network namespaces are other hosts, e.g. in a lab. A process that has ended while this
    looks at it is left out. Of an agent and its children, the first one counts.
    """
    network = _network(proc / "self")
    found: dict[str, AgentProcess] = {}
    folders = sorted((one for one in proc.iterdir() if one.name.isdigit()), key=_number)
    for folder in folders:
        process = _agent(folder)
        if process is not None and _network(folder) == network:
            found.setdefault(process.program, process)
    return list(found.values())


def _number(folder: Path) -> int:
    return int(folder.name)


def _agent(folder: Path) -> AgentProcess | None:
    try:
        text = (folder / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return None
    # A process that has set its title has one text with spaces.
    words = text.replace("\0", " ").split()
    for word in words[:_FIRST_WORDS]:
        program = word.strip("()[]:").rpartition("/")[2]
        if program in PROGRAMS:
            return AgentProcess(int(folder.name), program, tuple(_config(words)))
    return None


def _config(words: list[str]) -> Iterator[str]:
    """Yield the options about configuration files, each as one word."""
    for number, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if name in _FILE_OPTIONS:
            following = words[number + 1] if number + 1 < len(words) else ""
            yield f"{name}={(value if has_value else following).rstrip(')]')}"


def _network(folder: Path) -> str:
    try:
        return str((folder / "ns" / "net").readlink())
    except OSError:
        return ""
