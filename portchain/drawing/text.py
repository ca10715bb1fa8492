"""Draws a chain for a terminal, with rich."""

from collections.abc import Iterator

from rich import box
from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from . import picture
from .picture import Picture

WIDTH = 76

_STYLES = {
    "ONLINE": "green",
    "ACTIVE": "green",
    "NO_MONITOR": "cyan",
    "DRAINING": "yellow",
    "DEGRADED": "yellow",
    "BUILD": "yellow",
    "OFFLINE": "bright_black",
    "DOWN": "red",
    "ERROR": "red",
}
_MARKS = {"ONLINE": "●", "NO_MONITOR": "○", "DRAINING": "◐", "OFFLINE": "◌", "ERROR": "✗"}


def draw(drawn: Picture, console: Console) -> None:
    """Draw a chain.

    :param console: colours are left out if it is no terminal.
    """
    console.print(Group(*_parts(drawn)), width=min(WIDTH, console.width))


def to_text(drawn: Picture) -> str:
    """Return a drawing without colours."""
    console = Console(width=WIDTH, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as capture:
        draw(drawn, console)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _parts(drawn: Picture) -> Iterator[RenderableType]:
    heading = Text(drawn.title, "bold")
    for status in drawn.status:
        heading.append("  ").append(status, _STYLES.get(status, ""))
    yield heading
    if drawn.reason:
        yield Text(drawn.reason, "dim")
    yield _boxes(drawn.classifiers, marked=False)
    for group in drawn.groups:
        yield _arrow(drawn)
        yield _group(group)
    yield _arrow(drawn)
    yield Align.center(Text("destination", "dim"))


def _arrow(drawn: Picture) -> RenderableType:
    return Align.center(Text("▲│▼" if drawn.symmetric else "▼", "dim"))


def _group(group: picture.Group) -> RenderableType:
    title = Text(f" {group.title} ", "bold")
    if group.status:
        title.append(f"{group.status} ", _STYLES.get(group.status, ""))
    return Panel(
        _boxes(group.pairs) if group.pairs else Text("its pairs are not yours to see", "dim"),
        title=title,
        title_align="left",
        subtitle=Text(f" {', '.join(group.details)} ") if group.details else None,
        subtitle_align="right",
        box=box.ROUNDED,
        border_style=_STYLES.get(group.status, ""),
    )


def _boxes(boxes: tuple[picture.Box, ...], *, marked: bool = True) -> RenderableType:
    return Group(*(part for one in boxes for part in _box(one, marked=marked)))


def _box(one: picture.Box, *, marked: bool) -> Iterator[RenderableType]:
    style = _STYLES.get(one.status, "")
    name = Text(f"{_MARKS.get(one.status, ' ')} " if marked else "", style)
    row = Table.grid(padding=(0, 2), expand=True)
    for ratio in (3, 5, 4):
        row.add_column(ratio=ratio)
    row.add_row(
        name.append(one.title, "bold"),
        Text(", ".join(one.details)),
        Text("\n".join(one.figures), justify="right"),
    )
    yield row
    if one.reason:
        yield Padding(Text(one.reason, style), (0, 0, 0, 2))
