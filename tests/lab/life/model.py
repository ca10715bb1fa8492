"""What users and operators have made in a random life, and where packets must go because of it.

All of this is pure.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from portchain_lab.observe.packet_paths import Path

from tests.lab.workflow import FUNCTIONS

SOURCE, DESTINATION = "src", "dst"
WAYS = {name: (ingress, egress) for name, (_, ingress, egress) in FUNCTIONS.items()}
"""Function -> the ports at which packets enter and leave it."""


@dataclass
class Wish:
    """A chain as a user requested it.

    :param ports: first and last destination port.
    """

    ports: tuple[int, int]
    groups: tuple[str, ...]
    symmetric: bool
    chain: dict[str, Any] = field(default_factory=dict)
    classifier: dict[str, Any] = field(default_factory=dict)

    def takes(self, port: int) -> bool:
        return self.ports[0] <= port <= self.ports[1]


@dataclass
class Cloud:
    """Groups, machines, and how they are.

    :param members: group -> functions of its pairs.
    :param hosts: machine -> its host.
    :param down: functions that no port pair can use: a port is not plugged in, or does not exist.
    :param hung: functions that take packets and return none. Nobody notices.
    :param not_sent: destination ports that the source may not send to, by its security group.
    :param refused: destination ports that the security group of the destination refuses.
    """

    members: dict[str, list[str]]
    hosts: dict[str, str]
    down: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    not_sent: Collection[int] = ()
    refused: Collection[int] = ()

    def usable(self, group: str) -> list[str]:
        return [name for name in self.members[group] if name not in self.down]

    def functions_of(self, wish: Wish) -> set[str]:
        """Return the functions that can take packets of a chain."""
        return {name for group in wish.groups for name in self.usable(group)}

    def hosts_of(self, wish: Wish) -> frozenset[str]:
        """Return the hosts with a part in a chain."""
        machines = {SOURCE, *self.functions_of(wish), *([DESTINATION] if wish.symmetric else [])}
        return frozenset(self.hosts[name] for name in machines)

    def first_empty(self, groups: Sequence[str]) -> int | None:
        """Return the index of the first group that no function can take packets for."""
        return next((n for n, group in enumerate(groups) if not self.usable(group)), None)

    def status(self, wish: Wish) -> str:
        return "ACTIVE" if self.first_empty(wish.groups) is None else "DOWN"

    def paths(self, wish: Wish | None, port: int) -> set[Path]:
        """Return the paths that the source's packets to a port of the destination may take.

        :param wish: the chain that takes these packets.
        """
        if port in self.not_sent:
            return {(SOURCE,)}
        under_way, ended = {(SOURCE,)}, set[Path]()
        groups = wish.groups if wish else ()
        for group in groups[: self.first_empty(groups)]:
            reached = {(path, name) for path in under_way for name in self.usable(group)}
            ended |= {(*path, WAYS[name][0]) for path, name in reached if name in self.hung}
            under_way = {(*path, *WAYS[name]) for path, name in reached if name not in self.hung}
        arrives = self.first_empty(groups) is None and port not in self.refused
        return ended | {(*path, *([DESTINATION] if arrives else [])) for path in under_way}

    def can_fail(self, wish: Wish | None, port: int) -> bool:
        """Tell whether a connection may or must fail."""
        return any(path[-1] != DESTINATION for path in self.paths(wish, port))
