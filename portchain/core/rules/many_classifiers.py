"""Which of many flow classifiers overlap, without comparing each with each.

A classifier is a box: it has an interval in every dimension (protocol, ports, addresses), and boxes
that overlap do so in each. The classifiers are divided where a dimension has a gap, again and
again, until no dimension divides what is left. Only classifiers that stay together are compared.
For classifiers that differ in one attribute, as those of one project mostly do, that takes a sort
for each dimension.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_network
from itertools import combinations
from typing import Any

from portchain.core.model import FlowClassifier, PortRange
from portchain.core.rules.classifier import MAX_TRANSPORT_PORT, overlap
from portchain.core.rules.violation import Violation, label

_Interval = tuple[Any, Any]
_LAST_ADDRESS = 2**128 - 1
_LAST_TEXT = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class _Box:
    """A classifier as intervals.

    :param number: its position among all that are compared; those to be checked come first.
    :param is_new: it is to be checked.
    """

    number: int
    is_new: bool
    classifier: FlowClassifier
    intervals: tuple[_Interval, ...]


_Division = Callable[[Sequence[_Box]], list[list[_Box]]]
"""Divides boxes into sets of which no two overlap."""


def check_overlap(
    classifier: FlowClassifier, others: Iterable[FlowClassifier], attribute: str = "flow_classifier"
) -> None:
    """Check that no packet can match a classifier and one of the others; see `check_overlaps`."""
    check_overlaps([classifier], others, attribute)


def check_overlaps(
    classifiers: Sequence[FlowClassifier],
    others: Iterable[FlowClassifier],
    attribute: str = "flow_classifier",
) -> None:
    """Check that no packet can match two of the classifiers, or one of them and one of the others.

    :param others: may contain the classifiers themselves.
    :raises Violation: one can. The message names the other classifier unless it belongs to another
        project.
    """
    found = _first_overlap(classifiers, others)
    if found is None:
        return
    classifier, other = found
    if other.project_id == classifier.project_id:
        who = f"flow classifier {label(other)}"
    else:
        who = "a flow classifier of another project"
    raise Violation(
        attribute,
        f"{label(classifier)} overlaps with {who}: a packet that both match could enter "
        "only one of their chains. Make them differ in ethertype, protocol, a port range, "
        "a prefix or a logical port",
    )


def _first_overlap(
    classifiers: Sequence[FlowClassifier], others: Iterable[FlowClassifier]
) -> tuple[FlowClassifier, FlowClassifier] | None:
    """Return a classifier and another one that it overlaps with; None if there are none.

    Of two that are to be checked, the later one is returned first: it is the one to change.
    """
    own = {one.id for one in classifiers}
    everything = [*classifiers, *(other for other in others if other.id not in own)]
    boxes = [
        _Box(number, number < len(classifiers), one, _intervals(one))
        for number, one in enumerate(everything)
    ]
    found = [pair for together in _partition(boxes) for pair in _overlapping(together)]
    if not found:
        return None
    first, second = min(
        found, key=lambda pair: (max(box.number for box in pair if box.is_new), pair[0].number)
    )
    if second.is_new:
        first, second = second, first
    return first.classifier, second.classifier


def _intervals(classifier: FlowClassifier) -> tuple[_Interval, ...]:
    protocol, destination = classifier.protocol, classifier.logical_destination_port
    return (
        (classifier.ethertype, classifier.ethertype),
        (0, 255) if protocol is None else (protocol, protocol),
        ("", _LAST_TEXT) if destination is None else (destination, destination),
        _port_interval(classifier.destination_ports),
        _port_interval(classifier.source_ports),
        _address_interval(classifier.destination_prefix),
        _address_interval(classifier.source_prefix),
    )


def _port_interval(ports: PortRange | None) -> _Interval:
    return (0, MAX_TRANSPORT_PORT) if ports is None else ports


def _address_interval(prefix: str | None) -> _Interval:
    if prefix is None:
        return 0, _LAST_ADDRESS
    network = ip_network(prefix)
    return int(network.network_address), int(network.broadcast_address)


def _partition(boxes: Sequence[_Box]) -> Iterator[Sequence[_Box]]:
    """Yield sets of boxes that have to be compared; no boxes of two sets overlap."""
    pending = [boxes]
    while pending:
        together = pending.pop()
        if len(together) < 2 or not any(box.is_new for box in together):
            continue
        for divide in _DIVISIONS:
            parts = divide(together)
            if len(parts) > 1:
                pending += parts
                break
        else:
            yield together


def _divide_at_gaps(dimension: int, boxes: Sequence[_Box]) -> list[list[_Box]]:
    parts: list[list[_Box]] = []
    end: Any = None
    for box in sorted(boxes, key=lambda one: one.intervals[dimension]):
        low, high = box.intervals[dimension]
        if not parts or low > end:
            parts.append([box])
            end = high
        else:
            parts[-1].append(box)
            end = max(end, high)
    return parts


def _divide_by_source(boxes: Sequence[_Box]) -> list[list[_Box]]:
    """Divide by the ports that send, as `portchain.core.rules.overlap` compares them.

    A classifier without a logical source port can overlap with every one of its project.
    """
    open_projects = {
        box.classifier.project_id for box in boxes if box.classifier.logical_source_port is None
    }
    parts: dict[str, list[_Box]] = {}
    part_of: dict[str, str] = {}  # merged part -> the part that it was merged into

    def root(key: str) -> str:
        while key in part_of:
            key = part_of[key]
        return key

    for box in boxes:
        project, port = box.classifier.project_id, box.classifier.logical_source_port
        keys = [f"port {port}"] if port is not None else []
        if project in open_projects:
            keys.append(f"project {project}")
        first, *rest = (root(key) for key in keys)
        parts.setdefault(first, []).append(box)
        for other in rest:
            if other != first:
                parts[first] += parts.pop(other, [])
                part_of[other] = first
    return list(parts.values())


_DIVISIONS: tuple[_Division, ...] = (
    *(partial(_divide_at_gaps, dimension) for dimension in range(7)),
    _divide_by_source,
)


def _overlapping(boxes: Sequence[_Box]) -> Iterator[tuple[_Box, _Box]]:
    """Yield the pairs that overlap and of which at least the first is to be checked."""
    for one, other in combinations(sorted(boxes, key=lambda box: box.number), 2):
        if not one.is_new:
            return
        if all(
            low <= other_high and other_low <= high
            for (low, high), (other_low, other_high) in zip(
                one.intervals, other.intervals, strict=True
            )
        ) and overlap(one.classifier, other.classifier):
            yield one, other
