"""docs/tables.md is made of the pipeline's declaration and of compiled rules, so that it cannot be wrong.

Write it anew with ``GOLDEN_UPDATE=1 python -m pytest tests/golden``.
"""

import os
from dataclasses import replace
from pathlib import Path

from portchain.dataplane import pipeline
from portchain.dataplane.compile import compile_chain, compile_frame_guard
from portchain.dataplane.flow import BridgeKind, Flow
from portchain.dataplane.host_switch import Firewall, PhysicalBridge
from portchain.dataplane.plan import GraphIngress, Segment
from tests.golden.test_golden import specification
from tests.plans import HOSTS, chain, classifier, source, switch, tap, target

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
PORTS = ["vm", "pp1-in", "pp1-out", "pp2-in", "pp2-out", "pp3-in", "pp3-out"]

HEAD = """\
# The tables

What each table may match, write and lead to, and rules as they stand there, one of each priority: of the specification's
workflow where it has one, else of a chain with functions that bridge, of a service graph, of a tap, or over a VLAN.
[pipeline.md](pipeline.md) says what they are for. This page is made by `tests/golden/test_tables.py` of
[`portchain/dataplane/pipeline.py`](../portchain/dataplane/pipeline.py) and of rules that the compiler makes.
"""
LEARNED = {name for table in pipeline.TABLES.values() for name in table.learns_into}
BRIDGES = {
    BridgeKind.INT: "br-int",
    BridgeKind.TUN: "br-tun",
    BridgeKind.PHYSICAL: "physical bridges",
}


def examples() -> list[Flow]:
    """Rules of every kind, the specification's first."""
    flows: list[Flow] = []
    bridging = chain([target("pp1", "h1", bridges=True)], [target("pp2", "h2", bridges=True)])
    wire = {"ingress_segment": Segment("physnet1", 101), "tunnel_ip": ""}
    over_vlan = chain([replace(target("pp2", "h2"), **wire)])
    (path,) = chain([target("pp1", "h1")]).paths
    first = replace(chain(), paths=(replace(path, branches=True),))
    ends = (replace(source("pp1-out"), mac=path.hops[0].targets[0].egress_mac),)
    follows = chain(
        [target("pp2", "h2")],
        path_id=2,
        sources=(),
        classifiers=(classifier(destination_ports=(101, 101)),),
    )
    entry = GraphIngress(path_id=1, hops=1, senders=ends, origins=ends)
    follows = replace(follows, paths=(replace(follows.paths[0], entries=(entry,)),))
    tapped = chain(tap(target("pp1", "h1")), [target("pp2", "h2")])
    for plan in (specification(), bridging, over_vlan, first, follows, tapped):
        for firewall in Firewall:
            for host in HOSTS:
                local = replace(
                    switch(host, *PORTS, firewall=firewall),
                    physical={"physnet1": PhysicalBridge(9, 1)},
                )
                compiled = compile_chain(plan, local).flows | compile_frame_guard(local)
                flows += sorted(compiled, key=lambda rule: (-rule.key.priority, str(rule)))
    return flows


def page() -> str:
    """The whole page."""
    found: dict[tuple[BridgeKind, int], dict[int, Flow]] = {}
    for rule in examples():
        place = found.setdefault((rule.key.bridge.kind, rule.key.table), {})
        place.setdefault(rule.key.priority, rule)
    parts = [HEAD]
    for table in pipeline.TABLES.values():
        rules = found.get((table.bridge.kind, table.number), {})
        parts.append(section(table, [rules[priority] for priority in sorted(rules, reverse=True)]))
    return "\n".join(parts)


def section(table: pipeline.Table, rules: list[Flow]) -> str:
    """A table's part of the page."""
    whose = "Neutron's, with rules of ours" if table.neutron else "ours"
    lines = [
        f"## {BRIDGES[table.bridge.kind]} {table.number} {table.name}\n",
        f"* {whose}",
        f"* matches {_words(table.matches)}",
        f"* writes {_words(table.writes)}",
        f"* leads to {_words(table.successors)}"
        + (", or out of the bridge" if table.outputs else ""),
    ]
    if table.learns_into:
        lines.append(f"* makes the switch learn rules of {_words(table.learns_into)}")
    if table.name in LEARNED:
        lines.append(
            f"* holds nothing but what the switch learns, at most {table.max_flows} rules\n"
        )
    else:
        lines += ["\n```", *(str(rule).partition(" ")[2] for rule in rules), "```\n"]
    return "\n".join(lines)


def _words(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"


def test_the_page_says_what_is() -> None:
    text = page()
    if os.environ.get("GOLDEN_UPDATE"):
        PAGE.write_text(text)
    assert text == PAGE.read_text()


def test_every_table_has_an_example() -> None:
    used = {(rule.key.bridge.kind, rule.key.table) for rule in examples()}
    ours = (table for table in pipeline.TABLES.values() if table.name not in LEARNED)
    assert used == {(table.bridge.kind, table.number) for table in ours}
