"""Between what people type into forms and the values of the API. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

Values = Mapping[str, Any]

_RANGE = re.compile(r"\s*(\d+)\s*(?:[-:]\s*(\d+)\s*)?")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def parse_range(text: str) -> tuple[int, int] | None:
    """Return the ends of a range of ports: of ``80`` twice the same, of nothing None.

    :raises ValueError: the text is neither a number nor two of them; the message says so.
    """
    if not text.strip():
        return None
    found = _RANGE.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is neither a number nor a range such as 8000-8080")
    low, high = found.groups()
    return int(low), int(high or low)


def show_range(low: int | None, high: int | None) -> str:
    """Return a range as people write it; empty without ends."""
    ends = [str(end) for end in (low, high) if end is not None]
    return "-".join(dict.fromkeys(ends))


def parse_words(text: str) -> list[str]:
    """Return the words of a list that commas or spaces separate."""
    return re.split(r"[,\s]+", text.strip(", \t\r\n")) if text.strip(", \t\r\n") else []


def parse_object(text: str) -> dict[str, Any]:
    """Return a JSON object; an empty one without text.

    :raises ValueError: the text is something else; the message says so.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"this is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError('this is not a JSON object such as {"ingress_n_tuple": {}}')
    return value


def classifier_ranges(values: Values) -> dict[str, Any]:
    """Return the four attributes of port ranges for the two texts of a form."""
    found: dict[str, Any] = {}
    for side in ("source", "destination"):
        ends = parse_range(values.get(f"{side}_ports") or "")
        if ends:
            found |= {
                f"{side}_port_range_min": ends[0],
                f"{side}_port_range_max": ends[1],
            }
    return found


def without_defaults(values: Values, defaults: Values) -> dict[str, Any]:
    """Return the values that a request has to send.

    An older server does not know every attribute. It gets only those that somebody has set.
    """
    return {
        name: value
        for name, value in values.items()
        if value not in _NOTHING and value != defaults.get(name)
    }


def changes(values: Values, shown: Values) -> dict[str, Any]:
    """Return the values that differ from what the server shows.

    :param values: whole attributes, or objects with the keys that may change.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        before = shown.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            changed = {key: one for key, one in value.items() if one != before.get(key)}
            if changed:
                found[name] = changed
        elif value != before and not (value in _NOTHING and before in _NOTHING):
            found[name] = value
    return found


def edges_of(graph: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """Return a service graph as pairs: a chain, and one that follows it."""
    return [(chain, following) for chain, those in graph.items() for following in those]


def graph_of(edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the attribute ``port_chains`` for pairs of chains; each pair once."""
    found: dict[str, list[str]] = {}
    for chain, following in dict.fromkeys(edges):
        found.setdefault(chain, []).append(following)
    return found
