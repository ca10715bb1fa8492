"""What a picture of a chain shows, whatever its format.

Texts are one line of printable letters each: a name must neither move a terminal's cursor nor begin
a new line of a picture's source.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Shown = Mapping[str, Any]
"""A resource as the API shows it."""

_NO_FIGURES: Shown = {}


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets that have entered and left something; None if nobody knows."""

    packets_in: int | None = None
    packets_out: int | None = None

    @property
    def text(self) -> str:
        """Both numbers in words; empty if there are none."""
        known = ((self.packets_in, "in"), (self.packets_out, "out"))
        return " ".join(f"{number:,} {way}" for number, way in known if number is not None)


@dataclass(frozen=True, slots=True)
class Box:
    """A flow classifier or a port pair.

    :param title: its name, or the beginning of its id.
    :param details: what it matches, or where it is and what it gets.
    :param status: operating status; empty if it has none.
    :param reason: of the status.
    :param replies: what replies have added, in a symmetric chain.
    :param id: of the resource.
    """

    title: str
    details: tuple[str, ...] = ()
    status: str = ""
    reason: str = ""
    counters: Counters = Counters()
    replies: Counters = Counters()
    id: str = ""

    @property
    def figures(self) -> tuple[str, ...]:
        """All counters in words, a line for each direction."""
        replies = (f"replies {self.replies.text}",) if self.replies.text else ()
        return (self.counters.text, *replies) if self.counters.text else replies


@dataclass(frozen=True, slots=True)
class Group:
    """A port pair group with its pairs; none if the caller may not see them.

    :param details: what the group does differently from others.
    """

    title: str
    pairs: tuple[Box, ...] = ()
    details: tuple[str, ...] = ()
    status: str = ""
    reason: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A chain: its packets come from the classifiers, and visit the groups in their order.

    :param status: what the control plane says, and the operating status.
    """

    title: str
    status: tuple[str, ...]
    reason: str
    classifiers: tuple[Box, ...]
    groups: tuple[Group, ...]
    symmetric: bool = False


def picture_of(
    chain: Shown,
    classifiers: Iterable[Shown],
    groups: Sequence[Shown],
    pairs: Iterable[Shown],
    *,
    statuses: Shown | None = None,
    stats: Shown | None = None,
    ports: Mapping[str, str] | None = None,
) -> Picture:
    """Make a picture of a chain.

    :param classifiers: of the chain. ``groups``: in the order of the chain; those that the caller
        cannot see may be left out. ``pairs``: of these groups.
    :param statuses: the answer to ``/statuses``. ``stats``: to ``/stats``. None without one.
    :param ports: names of ports by id; those of logical ports are shown at their classifiers.
    """
    known = {pair["id"]: pair for pair in pairs}
    status_of = dict(_by_id(statuses or _NO_FIGURES))
    counts_of, replies_of = map(dict, map(_by_id, _directions(stats or _NO_FIGURES)))
    of_group = {group["id"]: group for group in groups}
    unseen = (
        {"id": group_id, "name": "", "port_pairs": []} for group_id in _missing(chain, of_group)
    )
    of_group |= {group["id"]: group for group in unseen}
    own = status_of.get(chain["id"], _NO_FIGURES)
    return Picture(
        title=_title(chain),
        status=tuple(
            filter(None, (_clean(chain.get("status")), _clean(own.get("operating_status"))))
        ),
        reason=_clean(chain.get("status_reason")) or _reason(own),
        classifiers=tuple(
            Box(
                _title(one),
                (*_ends(one, ports or {}), *_header(one)),
                counters=_classified(counts_of.get(one["id"])),
                replies=_classified(replies_of.get(one["id"])),
                id=one["id"],
            )
            for one in classifiers
        ),
        groups=tuple(
            _group(of_group[group_id], known, status_of, (counts_of, replies_of))
            for group_id in chain["port_pair_groups"]
        ),
        symmetric=bool(chain.get("chain_parameters", {}).get("symmetric")),
    )


def _missing(chain: Shown, of_group: Mapping[str, Shown]) -> Iterator[str]:
    return (group_id for group_id in chain["port_pair_groups"] if group_id not in of_group)


def _by_id(tree: Any) -> Iterator[tuple[str, Shown]]:
    """Yield everything in a tree that has an id, wherever it is."""
    if isinstance(tree, Mapping):
        if isinstance(tree.get("id"), str):
            yield tree["id"], tree
        for value in tree.values():
            yield from _by_id(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _by_id(value)


def _directions(stats: Shown) -> tuple[list[Shown], list[Shown]]:
    """Return the paths of requests, and those of replies."""
    paths = list(stats.get("paths", ()))
    back = [path for path in paths if path.get("direction") == "reverse"]
    return [path for path in paths if path not in back], back


def _group(
    group: Shown,
    pairs: Mapping[str, Shown],
    status_of: Mapping[str, Shown],
    counts_of: tuple[Mapping[str, Shown], Mapping[str, Shown]],
) -> Group:
    own = status_of.get(group["id"], _NO_FIGURES)
    boxes = tuple(
        _pair(
            pairs[pair_id],
            status_of.get(pair_id, _NO_FIGURES),
            *(counts.get(pair_id) for counts in counts_of),
        )
        for pair_id in group.get("port_pairs", ())
        if pair_id in pairs
    )
    details = []
    if group.get("tap_enabled"):
        details.append("gets copies")
    if group.get("failure_mode") == "open":
        details.append("fails open")
    if group.get("health_check", "none") != "none":
        details.append(_clean(f"checked by {group['health_check']}"))
    if group.get("shared"):
        details.append("shared")
    return Group(
        _title(group),
        boxes,
        tuple(details),
        _status(own, group),
        _reason(own) or _reason(group),
        group["id"],
    )


def _pair(pair: Shown, status: Shown, counts: Shown | None, replies: Shown | None) -> Box:
    weight = (pair.get("service_function_parameters") or {}).get("weight", 1)
    details = [_clean(f"on {status['host']}")] if status.get("host") else []
    details.append(_clean(f"weight {weight}"))
    if pair.get("backup"):
        details.append("backup")
    if not pair.get("admin_state_up", True):
        details.append("switched off")
    return Box(
        _title(pair),
        tuple(details),
        _status(status, pair),
        _reason(status) or _reason(pair),
        _counters(counts),
        _counters(replies),
        pair["id"],
    )


def _status(*shown: Shown) -> str:
    known = (one.get("operating_status") for one in shown)
    return _clean(next(filter(None, known), ""))


def _reason(shown: Shown) -> str:
    reason = shown.get("operating_status_reason") or ""
    return _clean(reason.get("text") if isinstance(reason, Mapping) else reason)


def _counters(counts: Shown | None) -> Counters:
    found = counts or _NO_FIGURES
    return Counters(found.get("packets_in"), found.get("packets_out"))


def _classified(counts: Shown | None) -> Counters:
    found = counts or _NO_FIGURES
    return Counters(packets_in=found.get("packets"))


def _title(shown: Shown) -> str:
    return _clean(shown.get("name")) or _clean(shown["id"][:8])


def _ends(classifier: Shown, ports: Mapping[str, str]) -> Iterator[str]:
    """Name the logical ports of a classifier, as far as their names are known."""
    for word, side in (("from", "source"), ("to", "destination")):
        port = ports.get(classifier.get(f"logical_{side}_port") or "")
        if port:
            yield _clean(f"{word} {port}")


def _header(classifier: Shown) -> tuple[str, ...]:
    """Say which packets a classifier matches: protocol, and both ends."""
    protocol = classifier.get("protocol") or classifier.get("ethertype") or "IPv4"
    ends = (_end(classifier, "source"), _end(classifier, "destination"))
    return (_clean(f"{protocol} {ends[0]} → {ends[1]}"),)


def _end(classifier: Shown, side: str) -> str:
    prefix = classifier.get(f"{side}_ip_prefix") or "any"
    low, high = (classifier.get(f"{side}_port_range_{limit}") for limit in ("min", "max"))
    if low is None:
        return str(prefix)
    ports = f"{low}" if low == high else f"{low}-{high}"
    return f"{prefix} port {ports}"


def _clean(text: Any) -> str:
    """Return a text as one line of printable letters."""
    letters = "" if text is None else str(text)
    return " ".join("".join(one if one.isprintable() else " " for one in letters).split())
