"""What pages call ports, functions and other resources. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Shown = Mapping[str, Any]
Choice = tuple[str, str]
"""The value of an option, and its text."""

SHORT = 8
"""So many letters of an id stand for it where it has no name."""


def name_of(shown: Shown) -> str:
    """Return the name of a resource, or the beginning of its id."""
    return str(shown.get("name") or shown["id"][:SHORT])


def port_label(port: Shown) -> str:
    """Return a port's name with its addresses."""
    addresses = ", ".join(each["ip_address"] for each in port.get("fixed_ips", ()))
    return f"{name_of(port)} ({addresses})" if addresses else name_of(port)


def port_choices(ports: Iterable[Shown]) -> list[Choice]:
    """Return the ports to choose from, by label."""
    return sorted(((port["id"], port_label(port)) for port in ports), key=lambda one: one[1])


def choices(shown: Iterable[Shown]) -> list[Choice]:
    """Return the resources to choose from, by name."""
    return sorted(((one["id"], name_of(one)) for one in shown), key=lambda one: one[1])


def machine_choices(ports: Iterable[Shown]) -> list[Choice]:
    """Return the ways through machines: where packets enter each, and where they leave it.

    A value is the ids of both ports, with a colon between them. Both ports of a pair belong to one
    device, so ports without a device are left out, and those of routers and DHCP servers.
    """
    machines: dict[str, list[Shown]] = {}
    for port in ports:
        if port.get("device_id") and not str(port.get("device_owner")).startswith("network:"):
            machines.setdefault(port["device_id"], []).append(port)
    found: list[Choice] = []
    for own in machines.values():
        found += _ways(sorted(own, key=name_of))
    return sorted(found, key=lambda one: one[1])


def _ways(ports: Sequence[Shown]) -> Iterator[Choice]:
    for enters in ports:
        for leaves in ports:
            value = f"{enters['id']}:{leaves['id']}"
            if enters is leaves:
                yield value, f"{port_label(enters)}: in and out"
            else:
                yield value, f"{port_label(enters)} in, {port_label(leaves)} out"


def header_of(classifier: Shown) -> str:
    """Say which packets a classifier matches."""
    protocol = classifier.get("protocol") or classifier.get("ethertype") or "IPv4"
    ends = []
    for side in ("source", "destination"):
        prefix = classifier.get(f"{side}_ip_prefix") or "any"
        low, high = (classifier.get(f"{side}_port_range_{end}") for end in ("min", "max"))
        port = "" if low is None else f":{low}" if low == high else f":{low}-{high}"
        ends.append(f"{prefix}{port}")
    return f"{protocol} {ends[0]} → {ends[1]}"


def reason_of(shown: Shown) -> str:
    """Return why a resource has its operating status."""
    reason = shown.get("operating_status_reason")
    return str(reason.get("text") or "") if isinstance(reason, Mapping) else str(reason or "")
