"""What the packets of a classifier look like on their way through functions that change headers: pure functions.

A group's ``ppg_n_tuple_mapping`` says what its function does. Behind it, packets carry what ``egress_n_tuple`` gives, and are
otherwise as before. Replies pass the function the other way and carry behind it what went in: what the packets carried there
or, where the classifier leaves that open, what ``ingress_n_tuple`` gives.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from portchain.core.model import PortPairGroup
from portchain.core.rules import answering, port_range
from portchain.dataplane.plan import Classifier


def along(header: Classifier, groups: Iterable[PortPairGroup]) -> list[Classifier]:
    """The header before the first group, between them and behind the last."""
    headers = [header]
    for group in groups:
        changes = _fields(group.egress_n_tuple)
        # A source's own addresses tell nothing any more when another one stands in their place.
        known = headers[-1].source_port_known and "source_prefixes" not in changes
        headers.append(replace(headers[-1], **changes | {"source_port_known": known}))
    return headers


def back(headers: list[Classifier], groups: Iterable[PortPairGroup]) -> list[Classifier]:
    """The header of replies before the last group, between them and behind the first: in that order.

    :param headers: of the requests, from ``along``.
    """
    before = [
        _filled(header, _fields(group.ingress_n_tuple))
        for header, group in zip(headers, groups, strict=False)
    ]
    return [turned(header) for header in reversed([*before, headers[-1]])]


def turned(header: Classifier) -> Classifier:
    """The header of the answers to packets with a header."""
    source_ports, destination_ports = answering(
        header.protocol, header.source_ports, header.destination_ports
    )
    return replace(
        header,
        source_ports=source_ports,
        destination_ports=destination_ports,
        source_prefixes=header.destination_prefixes,
        destination_prefixes=header.source_prefixes,
    )


def changes(headers: Iterable[list[Classifier]]) -> list[tuple[Classifier, ...]]:
    """For each hop the headers behind it; none where they are the same as before it.

    :param headers: for each classifier, before the first hop, between them and behind the last.
    """
    steps = list(zip(*headers, strict=True))
    return [after if after != before else () for before, after in pairwise(steps)]


def _fields(n_tuple: Mapping[str, Any]) -> dict[str, Any]:
    """An n-tuple of the API as fields of a header; only what it gives."""
    found: dict[str, Any] = {}
    for side in ("source", "destination"):
        if prefix := n_tuple.get(f"{side}_ip_prefix"):
            found[f"{side}_prefixes"] = (str(prefix),)
        low, high = (n_tuple.get(f"{side}_port_range_{end}") for end in ("min", "max"))
        if (ports := port_range(low, high)) is not None:
            found[f"{side}_ports"] = ports
    return found


def _filled(header: Classifier, fields: Mapping[str, Any]) -> Classifier:
    return replace(
        header, **{name: value for name, value in fields.items() if not getattr(header, name)}
    )
