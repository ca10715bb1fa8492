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
from portchain.dataplane.plan import Classifier


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
        sent = replace(
            classifier_header(classifier, ports),
            source_prefixes=_source_prefixes(classifier, ports),
            source_port_known=classifier.logical_destination_port is not None,
        )
        along_path = headers_along_path(sent, chain.port_pair_groups)
        found.append(reply_headers(along_path, chain.port_pair_groups))
    return found


def headers_along_path(header: Classifier, groups: Iterable[PortPairGroup]) -> list[Classifier]:
    """Return the header fields before the first group, between the groups and behind the last."""
    headers = [header]
    for group in groups:
        changes = _fields(group.egress_n_tuple)
        # A changed source address is not one of the source port's addresses any more.
        known = headers[-1].source_port_known and "source_prefixes" not in changes
        headers.append(replace(headers[-1], **changes | {"source_port_known": known}))
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
    return Classifier(
        ethertype=classifier.ethertype,
        protocol=classifier.protocol,
        source_ports=classifier.source_ports,
        destination_ports=classifier.destination_ports,
        source_prefixes=(classifier.source_prefix,) if classifier.source_prefix else (),
        destination_prefixes=_destination_prefixes(classifier, ports),
        source_port_known=classifier.logical_source_port is not None,
    )


def _destination_prefixes(classifier: FlowClassifier, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """Return the destination prefix or, if the user named a destination port, its addresses."""
    if classifier.logical_destination_port is None:
        return (classifier.destination_prefix,) if classifier.destination_prefix else ()
    return _addresses(classifier, ports.get(classifier.logical_destination_port))


def _source_prefixes(classifier: FlowClassifier, ports: Mapping[str, Port]) -> tuple[str, ...]:
    """Return the source prefix or, if the user named a source port, its addresses."""
    if classifier.logical_source_port is None:
        return (classifier.source_prefix,) if classifier.source_prefix else ()
    return _addresses(classifier, ports.get(classifier.logical_source_port))


def _addresses(classifier: FlowClassifier, port: Port | None) -> tuple[str, ...]:
    """Return a port's addresses of the classifier's IP version, as prefixes.

    An empty result would match any address. So for a port without such an address the result is an
    address that no packet has.
    """
    is_ipv6 = classifier.ethertype == "IPv6"
    own = [ip for ip in (port.fixed_ips if port else ()) if (":" in ip) is is_ipv6]
    bits, no_packet = (128, "::/128") if is_ipv6 else (32, "255.255.255.255/32")
    return tuple(f"{ip}/{bits}" for ip in own) or (no_packet,)


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
