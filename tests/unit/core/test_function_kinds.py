"""The table of kinds of service functions, and that the documentation agrees with it."""

from pathlib import Path

import pytest

from portchain.core.function_kinds import (
    FUNCTION_KINDS,
    L2,
    L3,
    MPLS_AWARE,
    VARIATIONS,
    VLAN_KEEPING,
    FunctionTraits,
    find,
    identify_chains,
    traits_of,
)
from portchain.core.model import VLAN, FunctionKind, PortPair

PAGE = Path(__file__).parents[3] / "docs" / "functions.md"


def pair(function_kind: FunctionKind = FunctionKind.L3, correlation: str | None = None) -> PortPair:
    return PortPair("pp", "alice", "p1", "p2", correlation=correlation, kind=function_kind)


@pytest.mark.parametrize("kind", FUNCTION_KINDS, ids=lambda kind: kind.name)
def test_a_pair_has_the_traits_of_the_kind_it_declares(kind: FunctionTraits) -> None:
    assert traits_of(pair(kind.function_kind, kind.correlation)) is kind


@pytest.mark.parametrize(
    ("function_kind", "correlation"),
    [(FunctionKind.L2, "mpls"), (FunctionKind.L3, VLAN), (FunctionKind.L3, "srv6")],
)
def test_an_unlisted_combination_is_not_defined_and_keeps_its_declaration(
    function_kind: FunctionKind, correlation: str
) -> None:
    traits = find(function_kind, correlation)
    assert not traits.defined
    assert traits not in FUNCTION_KINDS
    assert (traits.function_kind, traits.correlation) == (function_kind, correlation)
    assert traits.identifies_chain
    assert traits.name == f"{function_kind} with {correlation}"
    assert traits.encapsulation == ("" if correlation == VLAN else correlation)


def test_functions_that_see_a_header_or_a_tag_identify_their_chain() -> None:
    assert [kind.identifies_chain for kind in (L3, L2, MPLS_AWARE, VLAN_KEEPING)] == [
        *(False, False),
        *(True, True),
    ]
    assert identify_chains([pair(correlation="mpls")])
    assert not identify_chains([pair(correlation="mpls"), pair()])
    assert not identify_chains([])


def test_a_header_makes_packets_longer_and_nothing_else_does() -> None:
    assert {bool(kind.encapsulation) == (kind.header_bytes > 0) for kind in FUNCTION_KINDS} == {
        True
    }


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def declaration(kind: FunctionTraits) -> str:
    if kind.correlation is None:
        return f"`function_kind: {kind.function_kind}`"
    return f"`function_kind: {kind.function_kind}`, `correlation: {kind.correlation}`"


def keeps(kind: FunctionTraits) -> str:
    parts = {
        "source MAC": kind.keeps_source_mac,
        "IP addresses and ports": kind.keeps_packet,
        "VLAN tag": kind.keeps_vlan_tag,
    }
    return ", ".join(part for part, kept in parts.items() if kept) or "nothing"


def test_the_page_about_functions_agrees_with_the_table() -> None:
    lines = [cells(line) for line in PAGE.read_text().splitlines() if line.startswith("| [")]
    documented = {line[0][1:].partition("]")[0]: line[1:] for line in lines}
    expected = {
        kind.name: [
            declaration(kind),
            kind.gets,
            str(kind.addressed_by),
            keeps(kind),
            kind.returns,
            str(kind.header_bytes),
            "yes" if kind.allows_single_port else "no",
        ]
        for kind in FUNCTION_KINDS
    }
    variations = {one.name: [one.declared_by, one.gets, one.returns] for one in VARIATIONS}
    assert documented == expected | variations
