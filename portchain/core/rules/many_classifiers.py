"""Which of many flow classifiers overlap, without comparing each with each.

A classifier is a box (see ``portchain.core.boxes``): it has an interval for the ports that
send, the ethertype, the protocol, and the ports and addresses of both ends.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import ip_network

from portchain.core.boxes import Box, Interval, overlapping
from portchain.core.model import FlowClassifier, PortRange
from portchain.core.rules.classifier import MAX_TRANSPORT_PORT, overlap
from portchain.core.rules.violation import Violation, label

_LAST_ADDRESS = 2**128 - 1
_LAST_TEXT = "\U0010ffff"


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


def first_common_packet(
    *sets: Iterable[FlowClassifier],
) -> tuple[FlowClassifier, FlowClassifier] | None:
    """Return classifiers of two sets that overlap, see ``overlap``; None if there are none."""
    return _first_pair(_boxes, sets)


def first_common_header(
    *sets: Iterable[FlowClassifier],
) -> tuple[FlowClassifier, FlowClassifier] | None:
    """Return classifiers of two sets that match packets with one header, whichever port sends them.

    :returns: None if there are none.
    """
    return _first_pair(_boxes_of_header, sets)


def _first_pair(
    boxes_of: Callable[[FlowClassifier, int], Iterator[Box[FlowClassifier]]],
    sets: Sequence[Iterable[FlowClassifier]],
) -> tuple[FlowClassifier, FlowClassifier] | None:
    boxes = [
        box for number, each in enumerate(sets) for one in each for box in boxes_of(one, number)
    ]
    return next(overlapping(boxes), None)


def _first_overlap(
    classifiers: Sequence[FlowClassifier], others: Iterable[FlowClassifier]
) -> tuple[FlowClassifier, FlowClassifier] | None:
    """Return the first classifier that overlaps with one before it or with another one, and that.

    :returns: None if there is none.
    """
    own = {one.id for one in classifiers}
    rest = [other for other in others if other.id not in own]

    def some_overlap(count: int) -> bool:
        each = ([one] for one in classifiers[:count])
        return first_common_packet(rest, *each) is not None

    if not some_overlap(len(classifiers)):
        return None
    before = bisect_left(range(1, len(classifiers)), True, key=some_overlap)
    first = classifiers[before]
    return first, next(o for o in (*classifiers[:before], *rest) if overlap(first, o))


def _boxes(classifier: FlowClassifier, number: int) -> Iterator[Box[FlowClassifier]]:
    """Yield boxes with the ports that send, as `overlap` compares them.

    Two classifiers overlap if they name one port, or if they are of one project and one of them
    names none. So one that names a port has two boxes.
    """
    project, port = classifier.project_id, classifier.logical_source_port
    header, labels = _header_intervals(classifier), (number,)
    if port is None:
        any_port = (("project", project, ""), ("project", project, _LAST_TEXT))
        yield Box(classifier, (any_port, *header), labels)
        return
    for sender in (("port", port), ("project", project, port)):
        yield Box(classifier, ((sender, sender), *header), labels)


def _boxes_of_header(classifier: FlowClassifier, number: int) -> Iterator[Box[FlowClassifier]]:
    yield Box(classifier, _header_intervals(classifier), (number,))


def _header_intervals(classifier: FlowClassifier) -> tuple[Interval, ...]:
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


def _port_interval(ports: PortRange | None) -> Interval:
    return (0, MAX_TRANSPORT_PORT) if ports is None else ports


def _address_interval(prefix: str | None) -> Interval:
    if prefix is None:
        return 0, _LAST_ADDRESS
    network = ip_network(prefix)
    return int(network.network_address), int(network.broadcast_address)
