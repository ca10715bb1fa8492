"""Draws a chain as a picture in SVG, for pages and documents."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from . import picture
from .colours import colour_of
from .picture import Picture

_WIDTH, _GAP, _MARGIN = 230, 46, 20
_LINE, _PADDING, _SPACE, _HEADING = 17, 10, 10, 30
_LETTERS = 28
"""So many letters of a line fit into a box."""

_FONT = "system-ui, sans-serif"
_TEXT, _FAINT = "#212121", "#616161"


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    colour: str = _FAINT
    bold: bool = False


@dataclass(frozen=True, slots=True)
class _Box:
    """A box with its text.

    :param colour: of its border, and faintly of its area if it has a status.
    :param target: address of the page about it; empty for none.
    :param hint: the whole text, of which boxes show the beginning.
    """

    lines: tuple[_Line, ...]
    colour: str
    has_status: bool = False
    target: str = ""
    hint: str = ""

    @property
    def height(self) -> int:
        return len(self.lines) * _LINE + _PADDING


@dataclass(frozen=True, slots=True)
class _Column:
    """Boxes below each other; those of a group have a frame around them."""

    boxes: tuple[_Box, ...]
    heading: tuple[_Line, ...] = ()
    colour: str = ""
    target: str = ""
    hint: str = ""

    @property
    def height(self) -> int:
        boxes = sum(box.height for box in self.boxes)
        heading = len(self.heading) * _LINE + _PADDING if self.heading else 0
        return heading + boxes + _SPACE * (len(self.boxes) + 1)


Address = Callable[[str, str], str]
"""Returns the address of a page for ``classifier``, ``group`` or ``pair`` and an id."""


def _no_page(_kind: str, _id: str) -> str:
    return ""


def to_svg(drawn: Picture, address: Address = _no_page) -> str:
    """Return the picture as an XML document.

    :param address: where clicks on boxes lead; nowhere if it is empty.
    """
    columns = [
        _Column(tuple(_box(one, "classifier", address) for one in drawn.classifiers)),
        *(_column(group, address) for group in drawn.groups),
    ]
    height = max(column.height for column in columns)
    width = len(columns) * (_WIDTH + _GAP) + 100
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width + 2 * _MARGIN} {height + 2 * _MARGIN + _HEADING}",
            "width": str(width + 2 * _MARGIN),
            "height": str(height + 2 * _MARGIN + _HEADING),
            "font-family": _FONT,
            "font-size": "13",
            # Programs that read pages aloud do not look into an image.
            "role": "img" if address is _no_page else "group",
        },
    )
    ET.SubElement(root, "title").text = f"Port chain {drawn.title}"
    _heading(root, drawn)
    middle = _MARGIN + _HEADING + height // 2
    left = _MARGIN
    for number, column in enumerate(columns):
        _draw(root, column, left, middle - column.height // 2)
        _arrow(root, left + _WIDTH, middle, both=drawn.symmetric)
        left += _WIDTH + _GAP
        if number == len(columns) - 1:
            _write(root, left + 4, middle + 5, _Line("destination"))
    return ET.tostring(root, encoding="unicode") + "\n"


def _heading(root: ET.Element, drawn: Picture) -> None:
    _write(root, _MARGIN, _MARGIN + 8, _Line(_short(drawn.title), _TEXT, bold=True), size=16)
    left = _MARGIN + 10 * min(len(drawn.title), _LETTERS) + 20
    for status in drawn.status:
        _write(root, left, _MARGIN + 8, _Line(status, colour_of(status), bold=True))
        left += 10 * len(status) + 16


def _column(group: picture.Group, address: Address) -> _Column:
    pairs = group.pairs or (picture.Box("…"),)
    colour = colour_of(group.status)
    heading = [_Line(group.title, _TEXT, bold=True)]
    if group.status:
        heading.append(_Line(group.status, colour))
    heading += [_Line(part, colour) for part in _wrapped(group.reason)]
    if group.details:
        heading.append(_Line(", ".join(group.details)))
    return _Column(
        tuple(_box(pair, "pair", address) for pair in pairs),
        tuple(heading),
        colour,
        address("group", group.id) if group.id else "",
        _hint(group.title, group.status, group.reason, *group.details),
    )


def _box(one: picture.Box, kind: str, address: Address) -> _Box:
    return _Box(
        tuple(_lines(one)),
        colour_of(one.status) if one.status or kind == "pair" else _FAINT,
        bool(one.status),
        address(kind, one.id) if one.id else "",
        _hint(one.title, *one.details, *one.figures, one.status, one.reason),
    )


def _hint(*words: str) -> str:
    return "\n".join(filter(None, words))


def _lines(one: picture.Box) -> Iterator[_Line]:
    yield _Line(one.title, _TEXT, bold=True)
    yield from (_Line(part) for detail in one.details for part in _wrapped(detail))
    yield from (_Line(figure, _TEXT) for figure in one.figures)
    if one.status:
        yield _Line(one.status, colour_of(one.status), bold=True)
    yield from (_Line(part, colour_of(one.status)) for part in _wrapped(one.reason))


def _wrapped(text: str) -> list[str]:
    """Divide a text into lines at spaces, and within words that are too long."""
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= _LETTERS:
            lines[-1] += f" {word}"
        else:
            lines += [word[start : start + _LETTERS] for start in range(0, len(word), _LETTERS)]
    return lines


def _draw(root: ET.Element, column: _Column, left: int, top: int) -> None:
    if column.heading:
        frame = _linked(root, column.target, column.hint)
        _rectangle(frame, (left, top), (_WIDTH, column.height), column.colour)
        for number, line in enumerate(column.heading, 1):
            _write(frame, left + _PADDING, top + number * _LINE + 2, line)
        top += len(column.heading) * _LINE + _PADDING
    inset = _PADDING if column.heading else 0
    top += _SPACE
    for box in column.boxes:
        place, size = (left + inset, top), (_WIDTH - 2 * inset, box.height)
        parent = _linked(root, box.target, box.hint)
        _rectangle(parent, place, size, box.colour, "#ffffff", tinted=box.has_status)
        for number, line in enumerate(box.lines, 1):
            _write(parent, left + inset + _PADDING, top + number * _LINE + 2, line)
        top += box.height + _SPACE


def _linked(root: ET.Element, target: str, hint: str) -> ET.Element:
    """Return the parent of a box: with a target, a link that shows the whole text as a hint."""
    if not target:
        return root
    link = ET.SubElement(root, "a", {"href": target})
    ET.SubElement(link, "title").text = hint
    return link


def _rectangle(
    root: ET.Element,
    place: tuple[int, int],
    size: tuple[int, int],
    colour: str,
    fill: str = "#fafafa",
    *,
    tinted: bool = False,
) -> None:
    left, top = map(str, place)
    width, height = map(str, size)
    shape = {"x": left, "y": top, "width": width, "height": height, "rx": "6"}
    ET.SubElement(root, "rect", {**shape, "fill": fill, "stroke": colour, "stroke-width": "1.5"})
    if tinted:
        ET.SubElement(root, "rect", {**shape, "fill": colour, "fill-opacity": "0.09"})


def _arrow(root: ET.Element, left: int, middle: int, *, both: bool) -> None:
    right = left + _GAP - 6
    heads = f"M{right - 7},{middle - 5} L{right},{middle} L{right - 7},{middle + 5}"
    if both:
        heads += f" M{left + 13},{middle - 5} L{left + 6},{middle} L{left + 13},{middle + 5}"
    path = f"M{left + 6},{middle} L{right},{middle} {heads}"
    ET.SubElement(
        root, "path", {"d": path, "fill": "none", "stroke": _FAINT, "stroke-width": "1.5"}
    )


def _write(root: ET.Element, left: int, base: int, line: _Line, *, size: int = 13) -> None:
    attributes = {"x": str(left), "y": str(base), "fill": line.colour, "font-size": str(size)}
    if line.bold:
        attributes["font-weight"] = "600"
    ET.SubElement(root, "text", attributes).text = _short(line.text)


def _short(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
