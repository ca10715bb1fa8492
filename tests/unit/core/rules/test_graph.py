"""Rules about service graphs, each with the smallest example that breaks it."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portchain.core import rules
from portchain.core.model import (
    ChainSnapshot,
    FlowClassifier,
    PortChain,
    PortPair,
    PortPairGroup,
    ServiceGraph,
)


def graph(**branches: tuple[str, ...]) -> ServiceGraph:
    return ServiceGraph("g", "alice", branches)


def a_chain(name: str, function: str = "", **changes: Any) -> PortChain:
    """Return a chain through one function, for one TCP port; all chains are for the same one."""
    function = function or f"{name}-f"
    pair = PortPair(function, "alice", f"{function}-in", f"{function}-out")
    group = PortPairGroup(f"group-{function}", "alice", 1, (pair,))
    web = FlowClassifier(f"{name}-web", "alice", protocol=6, destination_ports=(80, 80))
    return replace(PortChain(name, "alice", 1, (group,), (web,)), **changes)


def for_port(chain: PortChain, port: int) -> PortChain:
    (classifier,) = chain.flow_classifiers
    return replace(chain, flow_classifiers=(replace(classifier, destination_ports=(port, port)),))


def refused(check: Callable[..., None], *subject: Any) -> str:
    """Return the rule that a check refuses something with."""
    with pytest.raises(rules.Violation) as refusal:
        check(*subject)
    assert refusal.value.attribute == "port_chains"
    return refusal.value.rule


@pytest.mark.parametrize(
    ("branches", "reason"),
    [
        ({}, "at least one branching point"),
        ({"a": ("b",), "b": ()}, "no chain follows b"),
        ({"a": ("b", "c", "b")}, "b follows a more than once"),
        ({"a": ("a",)}, "loop: a -> a"),
        ({"a": ("b",), "b": ("c",), "c": ("a",)}, "loop: "),
    ],
)
def test_structure(branches: dict[str, tuple[str, ...]], reason: str) -> None:
    assert reason in refused(rules.check_service_graph, graph(**branches))


def test_a_loop_is_shown_in_the_order_of_the_packets() -> None:
    shown = refused(rules.check_service_graph, graph(a=("b",), b=("c",), c=("a",)))
    assert re.search("a -> b|b -> c", shown)
    assert "b -> a" not in shown


def test_chains_can_join_again() -> None:
    rules.check_service_graph(graph(a=("b", "c"), b=("d",), c=("d",)))


def test_chains_of_a_branch_have_the_same_correlation() -> None:
    source = a_chain("a")
    other = a_chain("b", correlation="nsh")
    rule = refused(rules.check_branch, source, [for_port(a_chain("c"), 81), other])
    assert rule == "chain b has correlation nsh, a before it has mpls"
    rule = refused(rules.check_branch, source, [replace(other, project_id="bob")])
    assert rule.startswith("chain of another project has correlation nsh")


def test_a_packet_can_enter_only_one_chain_of_a_branch() -> None:
    source, one, other = (a_chain(name) for name in "abc")
    rule = refused(rules.check_branch, source, [one, for_port(a_chain("x"), 81), other])
    assert "a packet that leaves a could enter port chain b by flow classifier b-web" in rule
    assert "and port chain c by c-web" in rule
    rules.check_branch(source, [one, for_port(other, 81)])
    rules.check_branch(source, [one])


def test_logical_source_ports_do_not_tell_the_chains_of_a_branch_apart() -> None:
    one, other = (
        replace(
            chain,
            flow_classifiers=(replace(chain.flow_classifiers[0], logical_source_port=chain.id),),
        )
        for chain in (a_chain("b"), a_chain("c"))
    )
    refused(rules.check_branch, a_chain("a"), [one, other])


def snapshots(*links: tuple[PortChain, tuple[PortChain, ...]]) -> list[ChainSnapshot]:
    """Return the chains of a graph: each with those that follow it."""
    return [ChainSnapshot(chain, {}, {}, successors=after) for chain, after in links]


def test_no_packet_visits_a_function_twice() -> None:
    check = rules.check_no_function_twice
    first, middle, last = a_chain("a", "f"), a_chain("b", "g"), a_chain("c", "f")
    in_a_row = snapshots((first, (middle,)), (middle, (last,)), (last, ()))
    rule = refused(check, in_a_row)
    assert "a packet can pass port chain a and port chain c" in rule
    check(snapshots((first, (middle,)), (middle, ()), (last, ())))
    check(snapshots((middle, (first, last)), (first, ()), (last, ())))
    foreign = replace(last, project_id="bob")
    linked = snapshots((first, (foreign,)), (foreign, ()))
    assert "port chain a and a port chain of another project" in refused(check, linked)


def test_functions_that_no_packet_visits_twice_can_be_in_two_chains_of_a_path() -> None:
    first, last = a_chain("a", "f"), a_chain("c", "f")
    for other in (
        for_port(last, 81),
        replace(last, port_pair_groups=(replace(last.port_pair_groups[0], tap_enabled=True),)),
        a_chain("c", "g"),
    ):
        rules.check_no_function_twice(snapshots((first, (other,)), (other, ())))
    (group,) = last.port_pair_groups
    aware = replace(group, port_pairs=(replace(group.port_pairs[0], correlation="mpls"),))
    first, last = (replace(chain, port_pair_groups=(aware,)) for chain in (first, last))
    rules.check_no_function_twice(snapshots((first, (last,)), (last, ())))


def test_messages_name_resources_of_the_reader_only() -> None:
    port_chain = replace(a_chain("a"), name="web")
    assert rules.label(port_chain) == "web (a)"
    assert rules.label(a_chain("a")) == "a"
    assert rules.label_for("alice", port_chain) == "port chain web (a)"
    assert rules.label_for("bob", port_chain) == "a port chain of another project"
