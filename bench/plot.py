"""Draws latency and memory over the number of chains, and what packets cost in chains."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into files, without a display

from matplotlib import pyplot  # must follow the line above

from bench.points import NETWORKING_SFC, PORTCHAIN, Measured
from bench.scale.rows import Row

LATENCIES = ("port_chain create", "port_chain update", "port_chain delete", "port_pair create")
STYLES = {PORTCHAIN: "-", NETWORKING_SFC: "--"}


def draw(measured: Measured, path: Path) -> None:
    """Write a PNG with two panels: latency of some requests, memory of the programs.

    A colour is a subject, a line style an implementation.
    """
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 6), layout="constrained")
    _panel(left, measured, "latency", LATENCIES)
    left.set(title="Time from a request to its answer (bars: 95th percentile)", ylabel="ms")
    left.set_yscale("log")
    _panel(right, measured, "memory", tuple(measured.subjects("memory")))
    right.set(title="Resident memory", ylabel="MiB")
    right.set_ylim(bottom=0)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_ratios(
    labels: Sequence[str], series: Mapping[str, Sequence[float | None]], path: Path
) -> None:
    """Write a PNG with what chains cost, as ratios to the same steering by hand.

    :param labels: of the cases.
    :param series: name -> the ratio of each case; None if it was not measured.
    """
    figure, axes = pyplot.subplots(figsize=(max(8, len(labels)), 5), layout="constrained")
    width = 0.8 / max(len(series), 1)
    for number, (name, ratios) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(labels))]
        axes.bar(places, [ratio or 0.0 for ratio in ratios], width, label=name)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    axes.set(ylabel="relative to flows written by hand")
    axes.grid(alpha=0.3, axis="y")
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_growth(tables: Mapping[str, tuple[Sequence[int], Sequence[Row]]], path: Path) -> None:
    """Write a PNG with how figures grow with the size: a panel for each table, a line for each row.

    :param tables: title -> sizes and rows.
    """
    figure, panels = pyplot.subplots(
        2, (len(tables) + 1) // 2, figsize=(14, 10), layout="constrained", squeeze=False
    )
    for axes, (title, (sizes, rows)) in zip(panels.flat, tables.items(), strict=False):
        for row in rows:
            first = row.values[0]
            if first and None not in row.values:
                axes.plot(sizes, [(value or 0) / first for value in row.values], alpha=0.5)
        axes.plot(sizes, [size / sizes[0] for size in sizes], "k--", label="grows with N")
        axes.set(xscale="log", yscale="log", title=title, xlabel="N", ylabel="relative to least N")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axes: Any, measured: Measured, metric: str, subjects: tuple[str, ...]) -> None:
    for name in measured.implementations:
        for index, subject in enumerate(subjects):
            points = [measured.get(metric, subject, name, chains) for chains in measured.chains]
            line = [point for point in points if point]
            axes.errorbar(
                [point.chains for point in line],
                [point.median for point in line],
                yerr=[[0.0] * len(line), [point.p95 - point.median for point in line]],
                color=f"C{index}",
                linestyle=STYLES.get(name, ":"),
                marker="o",
                capsize=3,
                elinewidth=0.6,
                label=f"{name}: {subject.replace('_', ' ')}",
            )
    axes.set_xlabel("port chains present")
    axes.grid(alpha=0.3)
    if subjects:
        columns = len(measured.implementations)
        axes.legend(fontsize="small", ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.1))
