"""Draws a chain in the language of Graphviz."""

import itertools
import json
from collections.abc import Iterator

from . import picture
from .colours import colour_of
from .picture import Picture


def to_dot(drawn: Picture) -> str:
    """Return the graph: a cluster for each group, with a node for each pair."""
    return "\n".join(_lines(drawn)) + "\n"


def _lines(drawn: Picture) -> Iterator[str]:
    yield "digraph chain {"
    yield f"  label={_quoted(' '.join((drawn.title, *drawn.status)))}"
    yield '  rankdir=LR; compound=true; fontname="sans-serif"'
    yield '  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"]'
    for number, one in enumerate(drawn.classifiers):
        yield f"  c{number} [label={_label(one)}, shape=note, style=filled]"
    for number, group in enumerate(drawn.groups):
        yield from _group(number, group)
    yield '  end [label="destination", shape=plaintext, style=""]'
    places = [*(f"g{number}" for number in range(len(drawn.groups))), "end"]
    for number in range(len(drawn.classifiers)):
        yield _edge(f"c{number}", places[0], drawn)
    for before, after in itertools.pairwise(places):
        yield _edge(before, after, drawn)
    yield "}"


def _edge(before: str, after: str, drawn: Picture) -> str:
    """Return an edge between boxes. One of a group ends at its frame."""
    attributes = ["dir=both"] if drawn.symmetric else []
    ends = []
    for end, which in ((before, "ltail"), (after, "lhead")):
        is_group = end.startswith("g")
        ends.append(f"{end}p0" if is_group else end)
        attributes += [f"{which}=cluster_{end}"] if is_group else []
    return f"  {' -> '.join(ends)} [{', '.join(attributes)}]"


def _group(number: int, group: picture.Group) -> Iterator[str]:
    words = (group.title, group.status, ", ".join(group.details))
    yield f"  subgraph cluster_g{number} {{"
    yield f"    label={_quoted(chr(10).join(filter(None, words)))}"
    yield f'    color="{colour_of(group.status)}"'
    for index, pair in enumerate(group.pairs or (picture.Box("…"),)):
        yield f'    g{number}p{index} [label={_label(pair)}, color="{colour_of(pair.status)}"]'
    yield "  }"


def _label(one: picture.Box) -> str:
    words = (one.title, *one.details, *one.figures, one.status, one.reason)
    return _quoted("\n".join(filter(None, words)))


def _quoted(text: str) -> str:
    """Return a quoted string: as in JSON, but for backslashes, which begin Graphviz's escapes."""
    return json.dumps(text.replace("\\", "/"), ensure_ascii=False)
