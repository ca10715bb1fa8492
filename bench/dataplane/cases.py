"""What the benchmark of the data plane compares. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

BARE, NONE, STATIC, CHAIN = "bare", "none", "static", "chain"
"""Ways of steering: nobody has a chain (on OVN, where ports with chains take a detour), packets of
no chain while others have chains, flows written by hand, and the implementation's chain."""

FIRST_PORT = 31000

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """The shape of a chain.

    :param functions: the number of its groups; 0 stands for no chain.
    :param pairs: the number of port pairs in each group.
    :param symmetric: whether replies pass the chain, too.
    """

    functions: int
    pairs: int = 1
    symmetric: bool = False

    def __str__(self) -> str:
        if not self.functions:
            return "no chain"
        groups = f"{self.functions} x {self.pairs}" if self.pairs > 1 else f"{self.functions}"
        return f"{groups}{', both directions' if self.symmetric else ''}"


DIRECT = Case(0)


@dataclass(frozen=True, slots=True)
class Subject:
    """A case, and a way of steering its packets.

    :param steering: ``NONE``, ``STATIC`` or ``CHAIN``.
    :param port: the destination port of its packets, TCP and UDP.
    """

    steering: str
    case: Case
    port: int

    @property
    def other_port(self) -> int:
        """The destination port of connections that stay open, which are steered alike."""
        return self.port + 1


def combine(functions: Sequence[int], pairs: Sequence[int]) -> tuple[Case, ...]:
    """Chains of each length with groups of each size, in one direction and in both."""
    return tuple(
        Case(length, size, symmetric)
        for size in pairs
        for length in functions
        for symmetric in (False, True)
    )


def subjects(cases: Sequence[Case], *, by_hand: bool = True) -> list[Subject]:
    """No chain, and then each case steered by hand and by a chain.

    :param by_hand: whether flows can be written by hand.
    """
    ways = (STATIC, CHAIN) if by_hand else (CHAIN,)
    kinds = [(NONE, DIRECT), *((how, case) for case in cases for how in ways)]
    return [Subject(how, case, FIRST_PORT + 2 * number) for number, (how, case) in enumerate(kinds)]


def step(pairs: int, hosts: int) -> int:
    """How many groups later than other chains a symmetric one begins.

    networking-sfc refuses two chains through the same groups in the same order. With this
    distance, functions at the same position of both are on the same host.
    """
    return hosts if pairs == 1 else 1


def needed_groups(cases: Sequence[Case], hosts: int) -> dict[int, int]:
    """Pairs in a group -> how many such groups the cases need."""
    longest: dict[int, int] = {}
    for case in cases:
        length = case.functions + step(case.pairs, hosts) * case.symmetric
        longest[case.pairs] = max(longest.get(case.pairs, 0), length)
    return longest


def groups_of(case: Case, groups: Sequence[T], hosts: int) -> list[T]:
    """The groups that a case's chain leads through.

    :param groups: those with the case's number of pairs.
    """
    first = step(case.pairs, hosts) * case.symmetric
    return list(groups[first : first + case.functions])


def host_of(group: int, pair: int, hosts: int) -> int:
    """The host of a function: those at one position and those at the next are on different ones."""
    return (group + pair + 1) % hosts
