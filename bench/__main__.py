"""``python -m bench``: measures, prints tables, writes a results file and a picture."""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from portchain_lab import layout
from portchain_lab.errors import LabError
from portchain_lab.ovn_toolchain import switch_version
from rich.console import Console

from bench import report, results
from bench.dataplane import measure as dataplane
from bench.dataplane import report as dataplane_report
from bench.dataplane import rows as dataplane_rows
from bench.dataplane.rows import Row
from bench.dataplane.run import run as run_packets
from bench.environments import FOR_PACKETS, IMPLEMENTATIONS, REPOSITORY, Implementation
from bench.errors import BenchError
from bench.failover import cases as failover_cases
from bench.failover import rows as failover_rows
from bench.failover import run as failover
from bench.points import NETWORKING_SFC, ON_OVN, PORTCHAIN, Measured
from bench.results import Result
from bench.run import Plan, run
from bench.soak import run as soak
from bench.soak.verdict import Minute, totals

console = Console(highlight=False)
WIDTH = 160
DESCRIPTION = (
    "Measures portchain and networking-sfc in labs of the same shape, one after the other. Prints "
    "tables and writes a results file and a picture. docs/benchmark.md explains the figures."
)


def chain_counts(text: str) -> tuple[int, ...]:
    """Numbers of chains from text such as ``0,50,200``, in ascending order.

    :raises argparse.ArgumentTypeError: the text is anything else.
    """
    try:
        counts = sorted({int(part) for part in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: use numbers such as 0,50,200")
    return tuple(counts)


def implementation_names(text: str) -> tuple[str, ...]:
    """Names from text such as ``portchain,portchain-ovn``.

    :raises argparse.ArgumentTypeError: there is no such implementation.
    """
    names = tuple(text.split(","))
    known = [one.name for one in FOR_PACKETS]
    if unknown := ", ".join(name for name in names if name not in known):
        raise argparse.ArgumentTypeError(f"there is no {unknown}: use {', '.join(known)}")
    return names


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = argparse.ArgumentParser(prog="python -m bench", description=DESCRIPTION)
    names = tuple(one.name for one in FOR_PACKETS)
    command.add_argument(
        "what",
        nargs="?",
        choices=("api", "dataplane", "soak", "scale", "failover"),
        default="api",
        help="api: requests and what they cause; dataplane: packets through chains; soak: "
        "connections for an hour, while groups change and processes restart; scale: what changes "
        "cost with 1,000 hosts and 10,000 chains; failover: how long a function that hangs stays "
        "in the path, with each driver (default: api)",
    )
    command.add_argument(
        "--chains",
        type=chain_counts,
        default=(0, 50, 200),
        help="the numbers of existing chains to measure with (default: 0,50,200)",
    )
    command.add_argument(
        "--repeat",
        type=int,
        help="repetitions of each request or measurement (default: 10; dataplane: 2; failover: 5)",
    )
    command.add_argument(
        "--quick",
        action="store_true",
        help="a short run with small numbers, to try the benchmark itself",
    )
    command.add_argument(
        "--full", action="store_true", help="dataplane: all cases, and up to 50,000 connections"
    )
    command.add_argument(
        "--alive",
        type=chain_counts,
        metavar="NUMBERS",
        help="dataplane: how many other connections are open, such as 10000,50000",
    )
    command.add_argument(
        "--minutes", type=int, default=60, help="soak: how long (default: %(default)s)"
    )
    command.add_argument(
        "--rate",
        type=float,
        default=200.0,
        help="soak: new connections per second (default: %(default)g)",
    )
    command.add_argument(
        "--drivers", metavar="NAMES", help="failover: these, such as ovs,ovn (default: all)"
    )
    command.add_argument(
        "--lab",
        default=failover.LAB,
        metavar="NAME",
        help="failover: name of the labs (default: %(default)s)",
    )
    command.add_argument(
        "--only",
        type=implementation_names,
        default=names,
        metavar="NAMES",
        help=f"measure only these, such as {names[0]},{names[-1]} (default: {', '.join(names)}; "
        f"{ON_OVN} with dataplane only)",
    )
    command.add_argument(
        "--hosts", type=int, default=2, help="number of compute hosts (default: %(default)s)"
    )
    command.add_argument(
        "--firewall",
        choices=layout.FIREWALLS,
        help="the agents' firewall driver (default: openvswitch; for dataplane with networking-sfc "
        "noop, because with openvswitch no connection through its chains opens)",
    )
    command.add_argument(
        "--output",
        type=Path,
        default=REPOSITORY / "bench" / "results",
        metavar="DIRECTORY",
        help="where to write the results (default: bench/results)",
    )
    command.add_argument(
        "--show",
        type=Path,
        metavar="FILE",
        help="measure nothing; print the tables of an earlier run",
    )
    command.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    return command


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The plan that the command line asks for."""
    firewall = arguments.firewall or "openvswitch"
    if arguments.quick:
        return Plan((0, 10), 3, 1, 12, arguments.hosts, firewall)
    return Plan(arguments.chains, arguments.repeat or 10, 2, 35, arguments.hosts, firewall)


def show(result: Result, markdown: bool = False) -> None:
    """Print the tables without wrapping them."""
    out = Console(highlight=False, width=max(console.width, WIDTH * 2 if markdown else WIDTH))
    out.print(f"run of {result.began}Z: {result.about}", soft_wrap=True)
    for title, table in report.tables(Measured(result.points), markdown):
        out.print(f"\n[bold]{title}[/]" if not markdown else f"\n### {title}")
        out.print(table)


def measure(chosen: Sequence[Implementation], plan: Plan, result: Result) -> bool:
    """Measure implementations, one after the other.

    :param result: receives each measurement as soon as it is complete.
    :returns: whether all succeeded. Errors are printed.
    """
    succeeded = True
    for implementation in chosen:
        try:
            run(implementation, plan, result.points, console)
        except (BenchError, LabError) as error:
            console.print(f"[red]{implementation.name}: {error}[/]", soft_wrap=True)
            succeeded = False
    return succeeded


def write(result: Result, directory: Path) -> None:
    """Write the results file and the picture."""
    # matplotlib is an optional dependency, which the tables do not need.
    from bench import plot  # noqa: PLC0415

    written = result.write(directory)
    picture = written.with_suffix(".png")
    plot.draw(Measured(result.points), picture)
    console.print(f"written: {written} and {picture.name}")


def packet_plan(arguments: argparse.Namespace) -> dataplane.Plan:
    """The plan for the data plane that the command line asks for."""
    plan = dataplane.FULL if arguments.full else dataplane.DEFAULT
    plan = dataplane.QUICK if arguments.quick else plan
    alive = plan.alive if arguments.alive is None else arguments.alive
    return replace(plan, repeat=arguments.repeat or plan.repeat, alive=alive)


def packet_firewall(chosen: Sequence[Implementation]) -> str:
    """The firewall driver for the data plane, if the command line names none.

    With openvswitch, networking-sfc takes packets before the security group of their source, which
    then never learns of their connections: conntrack calls the answers invalid.
    """
    return "noop" if any(one.name == NETWORKING_SFC for one in chosen) else "openvswitch"


def show_packets(rows: Sequence[Row], about: str, markdown: bool) -> None:
    """Print the tables of the data plane without wrapping them."""
    out = Console(highlight=False, width=max(console.width, WIDTH * 2 if markdown else WIDTH))
    out.print(about, soft_wrap=True)
    for title, table in dataplane_report.tables(rows, markdown):
        out.print(f"\n[bold]{title}[/]" if not markdown else f"\n### {title}")
        out.print(table)


def write_packets(
    rows: Sequence[Row], about: Mapping[str, Any], began: str, directory: Path
) -> None:
    """Write the results file and the picture of the data plane."""
    from bench import plot  # noqa: PLC0415

    written = dataplane_rows.write(rows, about, began, directory)
    picture = written.with_suffix(".png")
    plot.draw_ratios(*dataplane_report.drawn(rows), picture)
    console.print(f"written: {written} and {picture.name}")


def measure_packets(arguments: argparse.Namespace) -> int:
    """``python -m bench dataplane``.

    :returns: 0, or 1 after an error, which is printed. Complete measurements are always written.
    """
    if arguments.show:
        show_packets(dataplane_rows.read(arguments.show), arguments.show.name, arguments.markdown)
        return 0
    plan = packet_plan(arguments)
    chosen = [one for one in FOR_PACKETS if one.name in arguments.only]
    firewall = arguments.firewall or packet_firewall(chosen)
    about = {
        "machine": results.machine(),
        "versions": {one.name: one.version for one in chosen},
        "firewall": firewall,
        "plan": plan.to_json(),
    }
    began = results.now()
    rows: list[Row] = []
    succeeded = True
    try:
        for implementation in chosen:
            try:
                run_packets(implementation, plan, firewall, rows, console)
            except (BenchError, LabError) as error:
                console.print(f"[red]{implementation.name}: {error}[/]", soft_wrap=True)
                succeeded = False
    finally:
        if rows:
            show_packets(rows, f"run of {began}Z: {about}", arguments.markdown)
            write_packets(rows, about, began, arguments.output)
    return 0 if succeeded else 1


def measure_soak(arguments: argparse.Namespace) -> int:
    """``python -m bench soak``.

    :returns: 0; 1 after an error, which is printed, if a packet went around a function, or if two
        packets of a connection visited two pairs. Complete minutes are always written.
    """
    plan = soak.Plan(arguments.minutes, arguments.rate)
    about = {
        "machine": results.machine(),
        "switch": switch_version(),
        "versions": {one.name: one.version for one in IMPLEMENTATIONS if one.name == PORTCHAIN},
        "plan": asdict(plan),
    }
    began = results.now()
    minutes: list[Minute] = []
    error: Exception | None = None
    try:
        for minute in soak.run(plan, console):
            minutes.append(minute)
            shown = ", ".join(f"{value:.0f} {title}" for title, value in soak.cells(minute).items())
            console.print(f"{len(minutes):3}. {minute.event}: {shown}", soft_wrap=True)
    except (BenchError, LabError) as failure:
        error = failure
        console.print(f"[red]{error}[/]", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("interrupted")
    if not minutes:
        return 1
    console.print(soak.table(minutes, arguments.markdown))
    console.print(f"written: {soak.write(minutes, about, began, arguments.output)}")
    total = totals(minutes)
    return 1 if error or total.bypassed or total.split else 0


def measure_scale(arguments: argparse.Namespace) -> int:
    """``python -m bench scale``.

    :returns: 0.
    """
    # Neutron's test base, which this needs, registers options that labs must not have.
    from bench.scale import run as scale  # noqa: PLC0415

    if arguments.show:
        scale.show(console, arguments.show)
    else:
        scale.run(console, arguments.output, quick=arguments.quick)
    return 0


def measure_failover(arguments: argparse.Namespace) -> int:
    """``python -m bench failover``.

    :returns: 0; 1 after an error, which is printed, if a datagram went around the functions, or if
        a connection was lost. Complete cases are always written.
    """
    if arguments.show:
        console.print(failover_rows.table(failover_rows.read(arguments.show), arguments.markdown))
        return 0
    plan = failover_cases.QUICK if arguments.quick else failover_cases.Plan()
    plan = replace(
        plan,
        repeat=arguments.repeat or plan.repeat,
        drivers=tuple(arguments.drivers.split(",")) if arguments.drivers else plan.drivers,
    )
    about = {
        "machine": results.machine(),
        "versions": {one.name: one.version for one in IMPLEMENTATIONS if one.name == PORTCHAIN},
        "plan": asdict(plan),
    }
    began = results.now()
    rows: list[failover_rows.Row] = []
    error: Exception | None = None
    try:
        for row in failover.run(plan, console, arguments.lab):
            rows.append(row)
            console.print(failover_rows.table([row]))
    except (BenchError, LabError) as failure:
        error = failure
        console.print(f"[red]{error}[/]", soft_wrap=True)
    if rows:
        console.print(failover_rows.table(rows, arguments.markdown))
        console.print(f"written: {failover_rows.write(rows, about, began, arguments.output)}")
    return 0 if rows and not error and all(row.is_right for row in rows) else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m bench``.

    :returns: 0, or 1 after an error, which is printed. Complete measurements are always written.
    """
    arguments = parser().parse_args(argv)
    others = {
        "dataplane": measure_packets,
        "soak": measure_soak,
        "scale": measure_scale,
        "failover": measure_failover,
    }
    if arguments.what in others:
        return others[arguments.what](arguments)
    if arguments.show:
        show(Result.read(arguments.show), arguments.markdown)
        return 0
    if os.geteuid() != 0:
        console.print("[red]the benchmark starts labs and needs root: run it with sudo[/]")
        return 1
    # ovsdbapp logs an error when a lab that it was connected to is removed.
    logging.getLogger("ovsdbapp").setLevel(logging.ERROR)
    plan = plan_of(arguments)
    chosen = [one for one in IMPLEMENTATIONS if one.name in arguments.only]
    versions = {one.name: one.version for one in chosen}
    about = {"machine": results.machine(), "versions": versions, "plan": asdict(plan)}
    result = Result(results.now(), about, [])
    try:
        succeeded = measure(chosen, plan, result)
    except KeyboardInterrupt:
        return 130
    finally:
        if result.points:
            show(result, arguments.markdown)
            write(result, arguments.output)
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
