"""What is measured: drivers, kinds of functions, where they are, and what fails. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DRIVERS = ("ovs", "ovn", "openflow")
ONE_HOST, ACROSS = "one host", "across hosts"
HANGS, HOST_OFF = "hangs", "host off"
"""What fails: the function takes packets and returns none, or its host loses power."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of functions.

    :param title: for the table.
    :param check: their ``health_check``.
    :param pair: attributes of their pairs. ``chain``: parameters of their chain.
    """

    title: str
    check: str
    pair: Mapping[str, Any]
    chain: Mapping[str, Any]


_MPLS = {"correlation": "mpls"}

KINDS: Mapping[str, Kind] = {
    "l3": Kind("routes", "icmp", {}, {}),
    "l2": Kind("bridges", "l2", {"function_kind": "l2"}, {}),
    "mpls": Kind("understands MPLS", "icmp", {"service_function_parameters": _MPLS}, _MPLS),
}
"""By the name that the lab gives to VMs of the kind."""


@dataclass(frozen=True, slots=True)
class Case:
    """Two functions of a kind.

    :param driver: one of ``DRIVERS``. ``kind``: a key of ``KINDS``.
    :param where: ``ONE_HOST`` if the ends of the traffic are on the host of both functions;
        ``ACROSS`` if the functions are on two hosts, and the source on a third one.
    :param failure: ``HANGS``; or ``HOST_OFF``, which needs functions across hosts. The
        destination is on the source's host then.
    """

    driver: str
    kind: str
    where: str
    failure: str = HANGS

    @property
    def is_near(self) -> bool:
        """Whether the destination is on the source's host."""
        return self.where == ONE_HOST or self.failure == HOST_OFF


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    :param repeat: failures of each case.
    :param rate: datagrams per second.
    :param connections: TCP connections that are open meanwhile.
    """

    drivers: tuple[str, ...] = DRIVERS
    kinds: tuple[str, ...] = tuple(KINDS)
    repeat: int = 5
    rate: float = 200.0
    connections: int = 20

    def cases(self, driver: str) -> Iterator[Case]:
        """Yield the cases of a driver."""
        for kind in self.kinds:
            for where in (ONE_HOST, ACROSS):
                yield Case(driver, kind, where)
        yield Case(driver, self.kinds[0], ACROSS, HOST_OFF)


QUICK = Plan(kinds=("l3",), repeat=1)
