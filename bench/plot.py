"""Draws latency and memory over the number of chains, and throughput over their length."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws into files, without a display

from matplotlib import pyplot  # must follow the line above

from bench.points import NETWORKING_SFC, PORTCHAIN, Measured

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


def draw_relative(relative: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Write a PNG with throughput through chains, relative to no chain.

    :param relative: metric -> (number of functions, value divided by that without a chain).
    """
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for metric, line in relative.items():
        axes.plot(*zip(*line, strict=True), marker="o", label=metric)
    axes.set(xlabel="functions", ylabel="relative to no chain")
    axes.set_ylim(bottom=0)
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
