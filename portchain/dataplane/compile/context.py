"""One path of a chain on one host: what the stages of a compilation share."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from portchain.dataplane.flow import Flow, NoFlood, SwitchEntry
from portchain.dataplane.flow_builder import goto, set_field
from portchain.dataplane.host_switch import LocalPort, LocalSwitch
from portchain.dataplane.pipeline import REG_PATH_POSITION, REG_TARGET, TABLES, path_position
from portchain.dataplane.plan import Path, Target


class UnsupportedPlanError(ValueError):
    """A plan asks for what this version cannot carry out: the server is ahead."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a chain needs in the switch of one host; its rules by what they do to packets, since a change turns them over in an
    order (docs/decisions/0018).

    :param entrance: take packets into the chain.
    :param delivery: give packets to functions here, whichever host sent them.
    :param onward: everything between: choose, send to other hosts, take back from functions.
    :param memory: keep flows with the pairs they visit.
    :param no_flood: ports that must not be flooded to.
    :param missing: what the host lacks at the moment to carry its part of the chain; empty when all is there.
    """

    entrance: frozenset[Flow] = frozenset()
    delivery: frozenset[Flow] = frozenset()
    onward: frozenset[Flow] = frozenset()
    memory: frozenset[Flow] = frozenset()
    no_flood: frozenset[NoFlood] = frozenset()
    missing: tuple[str, ...] = ()

    @property
    def inside(self) -> frozenset[Flow]:
        """What carries packets that have entered."""
        return self.delivery | self.onward

    @property
    def flows(self) -> frozenset[Flow]:
        """All rules."""
        return self.entrance | self.inside | self.memory

    @property
    def entries(self) -> frozenset[SwitchEntry]:
        """All that the switch is to hold."""
        return self.flows | self.no_flood


@dataclass(frozen=True, slots=True)
class PathOnHost:
    """A path as one host sees it.

    :param label: of the path, as ``pipeline.path_label`` makes it.
    :param missing: filled while compiling with what the host lacks; ``no_flood`` with the ports that must not be flooded to.
    """

    path: Path
    chain_id: str
    label: int
    switch: LocalSwitch
    missing: set[str] = field(default_factory=set)
    no_flood: set[NoFlood] = field(default_factory=set)

    def sends_into(self, index: int) -> bool:
        """Whether packets about to visit hop ``index`` can be on this host: from the path's senders, or from the hop before."""
        return self.switch.host in self.senders(index)

    def senders(self, index: int) -> frozenset[str]:
        """The hosts on which packets about to visit hop ``index``, or the end of the path, can be."""
        return frozenset(sender.host for sender in self.path.senders_into(index))

    @property
    def end(self) -> int:
        """The step of packets that have visited every hop."""
        return len(self.path.hops)

    def into(self, index: int, *at_end: str) -> tuple[str, ...]:
        """What is done with packets that go on to hop ``index``: taps there get copies, the packets go to the next other hop.

        :param at_end: what is done with them behind the last hop.
        """
        actions: list[str] = []
        for number, hop in enumerate(self.path.hops[index:], index):
            if not hop.tap:
                return (
                    *actions,
                    set_field(path_position(self.label, number), REG_PATH_POSITION),
                    goto("HOP"),
                )
            copy = f"resubmit(,{TABLES['COPY'].number})"
            actions += (set_field(path_position(self.label, number), REG_PATH_POSITION), copy)
        return (*actions, *at_end)

    def port(self, port_id: str) -> LocalPort | None:
        """Where a port is plugged in; noted as missing if it is not."""
        port = self.switch.ports.get(port_id)
        if port is None:
            self.missing.add(f"port {port_id} is not plugged in on host {self.switch.host}")
        return port

    def at_step(self, index: int) -> str:
        """Match packets that are about to visit hop ``index``."""
        return f"{REG_PATH_POSITION}={path_position(self.label, index):#x}"

    def chosen(self, index: int, target: Target) -> tuple[str, str]:
        """Match packets that are to visit ``target`` at hop ``index``."""
        return (self.at_step(index), f"{REG_TARGET}={target_number(target.pair_id):#x}")


def target_number(pair_id: str) -> int:
    """The first 32 bits of a pair's id, which name it in registers: easy to find again in a dump."""
    return int(pair_id.replace("-", "")[:8], 16)


def distinct(targets: tuple[Target, ...]) -> Iterator[Target]:
    """The targets whose numbers differ from all before them; two in four billion share one, and then the first serves."""
    seen = set()
    for target in sorted(targets, key=lambda target: target.pair_id):
        if (number := target_number(target.pair_id)) not in seen:
            seen.add(number)
            yield target
