"""Draws a chain in the language of Mermaid, which wikis and code hosts draw in pages."""

import itertools
from collections.abc import Iterator

from . import picture
from .colours import colour_of
from .picture import Picture

_BREAK = "<br/>"
_ESCAPES = {ord(one): f"#{ord(one)};" for one in '"#&<>`\\[]{}|;'}


def to_mermaid(drawn: Picture) -> str:
    """Return a flowchart: a subgraph for each group, with a node for each pair."""
    return "\n".join(_lines(drawn)) + "\n"


def _lines(drawn: Picture) -> Iterator[str]:
    yield "flowchart LR"
    for number, one in enumerate(drawn.classifiers):
        yield f"  c{number}[/{_label(one)}/]"
    for number, group in enumerate(drawn.groups):
        words = (group.title, group.status, ", ".join(group.details))
        yield f'  subgraph g{number}["{_joined(*words)}"]'
        for index, pair in enumerate(group.pairs or (picture.Box("…"),)):
            yield f"    g{number}p{index}({_label(pair)})"
        yield "  end"
    yield '  end0(["destination"])'
    arrow = "<-->" if drawn.symmetric else "-->"
    ends = [*(f"g{number}" for number in range(len(drawn.groups))), "end0"]
    for number in range(len(drawn.classifiers)):
        yield f"  c{number} {arrow} {ends[0]}"
    for before, after in itertools.pairwise(ends):
        yield f"  {before} {arrow} {after}"
    for number, group in enumerate(drawn.groups):
        if group.status:
            yield f"  style g{number} stroke:{colour_of(group.status)}"
        for index, pair in enumerate(group.pairs):
            if pair.status:
                yield f"  style g{number}p{index} stroke:{colour_of(pair.status)}"


def _label(one: picture.Box) -> str:
    return f'"{_joined(one.title, *one.details, *one.figures, one.status, one.reason)}"'


def _joined(*words: str) -> str:
    return _BREAK.join(word.translate(_ESCAPES) for word in words if word)
