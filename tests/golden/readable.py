"""Flows as text with names instead of numbers, and files to compare it with."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from portchain.dataplane import pipeline
from portchain.dataplane.compile import target_number
from portchain.dataplane.flow import Flow
from tests.ambiguous_flows import ambiguous
from tests.plans import ident, mac

FOLDER = Path(__file__).parent


def readable(flows: Iterable[Flow], ports: Sequence[str], pairs: Iterable[str] = ()) -> str:
    """Return flows as sorted lines with names of tables, ports, pairs and addresses.

    Flows that differ in their slot only are counted. Fails if a packet can match two alike.

    :param ports: names of the OpenFlow ports from 11.
    :param pairs: names of the pairs.
    """
    names = {str(table.number): table.name for table in pipeline.TABLES.values()}
    replacements = {mac(name): f"<{name}>" for name in ports}
    replacements |= {mac(f"{p}-{side}"): f"<{p}-{side}>" for p in pairs for side in ("in", "out")}
    replacements |= {f"{target_number(ident(pair)):#x}": f"<{pair}>" for pair in pairs}
    flows, lines = list(flows), []
    assert next(ambiguous(flows), None) is None
    for flow in flows:
        match = ",".join(sorted(flow.key.match))
        table = _table_name(flow)
        text = f"{flow.key.bridge} {table} {flow.key.priority} {match} => {flow.actions}"
        text = re.sub(r"goto_table:(\d+)", lambda m: f"goto {names[m[1]]}", text)
        text = re.sub(r"resubmit\(,(\d+)\)", lambda m: f"resubmit {names[m[1]]}", text)
        text = re.sub(r"learn\(table=(\d+),", lambda m: f"learn in {names[m[1]]}(", text)
        for number, name in enumerate(ports, 11):
            text = re.sub(rf"in_port={number}\b", f"in_port=<{name}>", text)
            text = re.sub(rf"output:{number}\b", f"output <{name}>", text)
        for before, after in replacements.items():
            text = text.replace(before, after)
        if flow.key.table == pipeline.TABLES["SLOT_BIT"].number:
            text = re.sub(r"reg11=\w+", "reg11=<slot>", text)
            text = re.sub(r"XXREG0\[\d+\]", "XXREG0[<slot>]", text)
        notes = ("contestable" if flow.contestable else "", flow.project and "of a project")
        lines.append(" ".join([text, *(f"({note})" for note in notes if note)]))
    return "".join(f"{lines.count(line):>3} x {line}\n" for line in sorted(set(lines)))


def check(name: str, text: str) -> None:
    """Compare text with a file of this folder, or write the file with ``GOLDEN_UPDATE=1``."""
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("GOLDEN_UPDATE"):
        golden.write_text(text)
    assert text == golden.read_text()


def _table_name(flow: Flow) -> str:
    return next(
        t.name
        for t in pipeline.TABLES.values()
        if (t.bridge.kind, t.number) == (flow.key.bridge.kind, flow.key.table)
    )
