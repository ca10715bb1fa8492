"""Golden files: all flows of the specification's workflow, with names instead of numbers.

A change of the compiler shows up as a change of the files. If the change is intended, generate the
files again with ``GOLDEN_UPDATE=1 python -m pytest tests/golden``.
"""

import os
import re
from pathlib import Path

import pytest

from portchain.dataplane import pipeline
from portchain.dataplane.compile import compile_chain, compile_frame_guard, target_number
from portchain.dataplane.host_switch import Firewall
from tests.plans import TUNNEL_IPS, chain, ident, mac, switch, target

FOLDER = Path(__file__).parent
PAIRS = {"pp1": "h1", "pp2": "h2", "pp3": "h3"}
PORTS = {
    host: [
        *(["vm"] if host == "h1" else []),
        *(f"{p}-{s}" for p, at in PAIRS.items() if at == host for s in ("in", "out")),
    ]
    for host in TUNNEL_IPS
}


def specification():
    """The chain of the specification: PG1 = {PP1, PP2}, PG2 = {PP3}, and FC1."""
    return chain([target("pp1", "h1"), target("pp2", "h2")], [target("pp3", "h3")])


def readable(flows, host):
    """Return flows as sorted lines with names of tables, ports, pairs and addresses.

    Flows that differ in their slot only are counted.
    """
    names = {str(table.number): table.name for table in pipeline.TABLES.values()}
    replacements = {mac(f"{p}-in"): f"<{p}-in>" for p in PAIRS} | {
        f"{target_number(ident(p)):#x}": f"<{p}>" for p in PAIRS
    }
    lines = []
    for flow in flows:
        match = ",".join(sorted(flow.key.match))
        table = _table_name(flow)
        text = f"{flow.key.bridge} {table} {flow.key.priority} {match} => {flow.actions}"
        text = re.sub(r"goto_table:(\d+)", lambda m: f"goto {names[m[1]]}", text)
        text = re.sub(r"resubmit\(,(\d+)\)", lambda m: f"resubmit {names[m[1]]}", text)
        text = re.sub(r"learn\(table=(\d+),", lambda m: f"learn in {names[m[1]]}(", text)
        for number, name in enumerate(PORTS[host], 11):
            text = re.sub(rf"in_port={number}\b", f"in_port=<{name}>", text)
            text = re.sub(rf"output:{number}\b", f"output <{name}>", text)
        for before, after in replacements.items():
            text = text.replace(before, after)
        if flow.key.table == pipeline.TABLES["BALANCE"].number:
            text = re.sub(r"reg11=\w+", "reg11=<slot>", text)
        lines.append(text)
    return "".join(f"{lines.count(line):>3} x {line}\n" for line in sorted(set(lines)))


def _table_name(flow):
    return next(
        t.name
        for t in pipeline.TABLES.values()
        if (t.bridge.kind, t.number) == (flow.key.bridge.kind, flow.key.table)
    )


@pytest.mark.parametrize("firewall", list(Firewall))
@pytest.mark.parametrize("host", list(PORTS))
def test_specification_workflow(host, firewall):
    local = switch(host, *PORTS[host], firewall=firewall)
    compiled = compile_chain(specification(), local)
    text = readable(compiled.flows | compile_frame_guard(local), host)
    golden = FOLDER / f"specification-{firewall}-{host}.txt"
    if os.environ.get("GOLDEN_UPDATE"):
        golden.write_text(text)
    assert compiled.missing == ()
    assert text == golden.read_text()
