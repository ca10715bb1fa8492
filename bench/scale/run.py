"""``python -m bench scale``: what changes cost with growing numbers of hosts and chains."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import results
from bench.scale import agent, controller, hosts, server
from bench.scale.rows import Row, text_table

Sizes = Sequence[int]


@dataclass(frozen=True)
class Part:
    """One table of the run.

    :param sizes: of a whole run, and of a quick one.
    """

    title: str
    sizes: Sizes
    quick: Sizes
    measure: Callable[[Sizes], list[Row]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: a line of the results file."""

    table: str
    size: int
    what: str
    unit: str
    value: float | None

    def to_json(self) -> dict[str, Any]:
        """The figure as JSON can hold it."""
        return asdict(self)


PARTS = (
    Part(
        "agent: chains with functions of their own",
        (100, 1_000, 10_000),
        (10, 100),
        agent.measure,
    ),
    Part(
        "server: requests and events, with N chains in a project",
        (100, 1_000, 10_000),
        (10, 100),
        server.figures,
    ),
    Part(
        "hosts: a chain without source port, with a machine on each of N hosts",
        (10, 100, 1_000),
        (10, 30),
        lambda sizes: hosts.figures(hosts.measure(sizes)),
    ),
    Part(
        "group: a group that N chains share, on ten hosts",
        (10, 100, 1_000),
        (10, 30),
        lambda sizes: hosts.figures(hosts.measure_shared_group(sizes)),
    ),
    Part(
        "starts: hosts ask for their plans, with a machine on each of N hosts",
        (10, 100, 1_000),
        (10, 30),
        lambda sizes: hosts.figures(hosts.measure_starts(sizes)),
    ),
    Part(
        "controller: N hosts with ten chains each",
        (10, 50, 200),
        (2, 4),
        controller.measure,
    ),
)


def run(console: Console, directory: Path, *, quick: bool = False) -> None:
    """Measure all parts, print each table when it is complete, and write results and picture.

    :param directory: where to write.
    :param quick: with small sizes, to try the benchmark itself.
    """
    # matplotlib is an optional dependency, which the tables do not need.
    from bench import plot  # noqa: PLC0415

    began, figures = results.now(), list[Figure]()
    for part in PARTS:
        sizes = part.quick if quick else part.sizes
        console.print(f"measuring {part.title}: {', '.join(map(str, sizes))} ...", soft_wrap=True)
        rows = part.measure(sizes)
        figures += [
            Figure(part.title, size, row.what, row.unit, value)
            for row in rows
            for size, value in zip(sizes, row.values, strict=True)
        ]
        _print(console, part.title, figures)
    about: Mapping[str, Any] = {"machine": results.machine(), "quick": quick}
    written = results.write_file(directory, began, about, "figures", figures, suffix="-scale")
    picture = written.with_suffix(".png")
    plot.draw_growth({title: rows_in(figures, title) for title in titles(figures)}, picture)
    console.print(f"written: {written} and {picture.name}")


def show(console: Console, path: Path) -> None:
    """Print the tables of an earlier run."""
    known = json.loads(path.read_text())
    figures = [Figure(**figure) for figure in known["figures"]]
    for title in titles(figures):
        _print(console, title, figures)


def titles(figures: Iterable[Figure]) -> list[str]:
    """Return the titles of the tables, in their order."""
    return list(dict.fromkeys(figure.table for figure in figures))


def rows_in(figures: Iterable[Figure], title: str) -> tuple[list[int], list[Row]]:
    """Return the sizes and the rows of a table."""
    own = [figure for figure in figures if figure.table == title]
    sizes = list(dict.fromkeys(figure.size for figure in own))
    names = dict.fromkeys((figure.what, figure.unit) for figure in own)
    values = {(figure.what, figure.unit, figure.size): figure.value for figure in own}
    return sizes, [
        Row(what, unit, tuple(values[what, unit, size] for size in sizes)) for what, unit in names
    ]


def _print(console: Console, title: str, figures: Iterable[Figure]) -> None:
    console.print(text_table(title, *rows_in(figures, title)), soft_wrap=True, markup=False)
