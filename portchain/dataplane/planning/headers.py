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

from portchain.core.model import PortPairGroup
from portchain.core.rules import port_range, reply_ports
from portchain.dataplane.plan import Classifier


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
