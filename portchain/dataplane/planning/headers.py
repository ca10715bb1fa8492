"""Computes how functions change the header fields of a classifier's packets on a path. Pure.

``ppg_n_tuple_mapping`` of a group states what its function changes. Behind the function, packets
have the values of ``egress_n_tuple``; all other fields are unchanged. Replies pass the function in
the opposite direction. Behind it they have the values that requests had before it: those of the
classifier or, where it leaves a field open, those of ``ingress_n_tuple``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from portchain.core.model import FlowClassifier, Port, PortChain, PortPairGroup
from portchain.core.rules import port_range, reply_ports
from portchain.dataplane.plan import Classifier, Receiver
from portchain.dataplane.planning.receivers import received


def request_headers(chain: PortChain, ports: Mapping[str, Port]) -> list[list[Classifier]]:
    """Return for each classifier the header fields of requests, from the first hop to the end.

    :param ports: port id -> port; logical ports that it lacks have no address.
    """
    return [
        headers_along_path(classifier_header(classifier, ports), chain.port_pair_groups)
        for classifier in chain.flow_classifiers
    ]


def headers_of_replies(chain: PortChain, ports: Mapping[str, Port]) -> list[list[Classifier]]:
    """Return for each classifier the header fields of replies, from their first hop to the end.

    :param ports: as for ``request_headers``.
    """
    found = []
    for classifier in chain.flow_classifiers:
        prefixes, receiver = _sources(classifier, ports)
        sent = replace(
            classifier_header(classifier, ports),
            source_prefixes=prefixes,
            source_port_known=classifier.logical_destination_port is not None,
            receiver=None,
        )
        along_path = headers_along_path(sent, chain.port_pair_groups)
        replies = reply_headers(along_path, chain.port_pair_groups)
        found.append(
            [
                # Behind a function that translates, replies go to another port.
                replace(
                    reply, receiver=receiver if reply.destination_prefixes == prefixes else None
                )
                for reply in replies
            ]
        )
    return found


def headers_along_path(header: Classifier, groups: Iterable[PortPairGroup]) -> list[Classifier]:
    """Return the header fields before the first group, between the groups and behind the last."""
    headers = [header]
    for group in groups:
        changes = _fields(group.egress_n_tuple)
        # A changed source address is not one of the source port's addresses any more.
        known = headers[-1].source_port_known and "source_prefixes" not in changes
        receiver = None if "destination_prefixes" in changes else headers[-1].receiver
        others = {"source_port_known": known, "receiver": receiver}
        headers.append(replace(headers[-1], **changes | others))
    return headers


def reply_headers(headers: list[Classifier], groups: Iterable[PortPairGroup]) -> list[Classifier]:
    """Return the header fields of replies along the reverse path, from its first hop to its end.

    :param headers: of the requests, from ``headers_along_path``.
    """
    before = [
        _filled(header, _fields(group.ingress_n_tuple))
        for header, group in zip(headers, groups, strict=False)
    ]
    return [reply_header(header) for header in reversed([*before, headers[-1]])]


def reply_header(header: Classifier) -> Classifier:
    """Return the header fields of replies to packets with the given header fields."""
    source_ports, destination_ports = reply_ports(
        header.protocol, header.source_ports, header.destination_ports
    )
    return replace(
        header,
        source_ports=source_ports,
        destination_ports=destination_ports,
        source_prefixes=header.destination_prefixes,
        destination_prefixes=header.source_prefixes,
    )


def changes_per_hop(headers: Iterable[list[Classifier]]) -> list[tuple[Classifier, ...]]:
    """Return for each hop the header fields behind it; empty if the hop changes none.

    :param headers: one list for each classifier, from ``headers_along_path``.
    """
    stages = list(zip(*headers, strict=True))
    return [after if after != before else () for before, after in pairwise(stages)]


def classifier_header(classifier: FlowClassifier, ports: Mapping[str, Port]) -> Classifier:
    """Return the header fields of a classifier's packets where they are sent."""
    destinations, receiver = _destinations(classifier, ports)
    return Classifier(
        ethertype=classifier.ethertype,
        protocol=classifier.protocol,
        source_ports=classifier.source_ports,
        destination_ports=classifier.destination_ports,
        source_prefixes=(classifier.source_prefix,) if classifier.source_prefix else (),
        destination_prefixes=destinations,
        source_port_known=classifier.logical_source_port is not None,
        receiver=receiver,
    )


def _destinations(
    classifier: FlowClassifier, ports: Mapping[str, Port]
) -> tuple[tuple[str, ...], Receiver | None]:
    """Return the destinations of requests: the prefix, or what the named port gets of it."""
    prefix, port_id = classifier.destination_prefix, classifier.logical_destination_port
    if port_id is None:
        return (prefix,) if prefix else (), None
    return received(ports.get(port_id), classifier.ethertype, prefix)


def _sources(
    classifier: FlowClassifier, ports: Mapping[str, Port]
) -> tuple[tuple[str, ...], Receiver | None]:
    """Return the destinations of replies: the source prefix, or what the named port gets of it."""
    prefix, port_id = classifier.source_prefix, classifier.logical_source_port
    if port_id is None:
        return (prefix,) if prefix else (), None
    return received(ports.get(port_id), classifier.ethertype, prefix)


def _fields(n_tuple: Mapping[str, Any]) -> dict[str, Any]:
    """Translate an n-tuple of the API into fields of ``Classifier``; only those that it sets."""
    found: dict[str, Any] = {}
    for side in ("source", "destination"):
        if prefix := n_tuple.get(f"{side}_ip_prefix"):
            found[f"{side}_prefixes"] = (str(prefix),)
        low, high = (n_tuple.get(f"{side}_port_range_{end}") for end in ("min", "max"))
        if (ports := port_range(low, high)) is not None:
            found[f"{side}_ports"] = ports
    return found


def _filled(header: Classifier, fields: Mapping[str, Any]) -> Classifier:
    """Set those fields of a header that match any value."""
    return replace(
        header, **{name: value for name, value in fields.items() if not getattr(header, name)}
    )
