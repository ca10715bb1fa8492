"""Reads single values of a message and checks them, so that nothing else can get into a flow.

``read_*`` reads the value of a key, ``as_*`` checks a value. All raise ``ContractError``.
"""

import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from portchain.dataplane.plan import PortRange

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_KEYWORD = re.compile(r"[a-z0-9]{0,15}", re.ASCII)
_MAX_PORT = 65535
_MAX_TEXT = 4095

T = TypeVar("T")


class ContractError(ValueError):
    """A message does not follow the contract. The text starts with the key that is wrong."""


def as_mapping(value: Any, name: str) -> Mapping[str, Any]:
    """Return a value that is a dictionary."""
    if not isinstance(value, Mapping):
        raise ContractError(f"{name}: expected a dictionary, got {type(value).__name__}")
    return value


def read_list(item: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list; empty if the key is missing."""
    value = item.get(name, [])
    if not isinstance(value, list | tuple):
        raise ContractError(f"{name}: expected a list, got {type(value).__name__}")
    return list(value)


def read_each(
    item: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], T]
) -> tuple[T, ...]:
    """Read each dictionary of a list; none if the key is missing."""
    return tuple(read(as_mapping(element, name)) for element in read_list(item, name))


def read_text(item: Mapping[str, Any], name: str) -> str:
    """Return text of at most ``_MAX_TEXT`` characters; empty if the key is missing."""
    value = item.get(name, "")
    if not isinstance(value, str):
        raise ContractError(f"{name}: expected text, got {type(value).__name__}")
    return value[:_MAX_TEXT]


def read_keyword(item: Mapping[str, Any], name: str) -> str:
    """Return a keyword of at most 15 characters; empty if the key is missing."""
    keyword = read_text(item, name)
    if not _KEYWORD.fullmatch(keyword):
        raise ContractError(
            f"{name}: {keyword!r} is not a keyword of lower-case letters and digits"
        )
    return keyword


def read_int(item: Mapping[str, Any], name: str, low: int, high: int | None = None) -> int:
    """Return an integer within bounds."""
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ContractError(f"{name}: expected an integer, got {value!r}")
    if value < low or (high is not None and value > high):
        raise ContractError(f"{name}: {value} is not in {low}..{'' if high is None else high}")
    return value


def read_seconds(item: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """Return a time in seconds within bounds."""
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ContractError(f"{name}: expected a number of seconds, got {value!r}")
    if not low <= value <= high:  # neither is a value that is not a number
        raise ContractError(f"{name}: {value} is not in {low}..{high}")
    return float(value)


def read_uuid(item: Mapping[str, Any], name: str) -> str:
    """Return a UUID in canonical form."""
    try:
        return str(uuid.UUID(read_text(item, name)))
    except ValueError as exc:
        raise ContractError(f"{name}: {item.get(name)!r} is not a UUID") from exc


def read_mac(item: Mapping[str, Any], name: str) -> str:
    """Return a MAC address in lower case, with colons."""
    mac = read_text(item, name)
    if not _MAC.fullmatch(mac):
        raise ContractError(f"{name}: {mac!r} is not a MAC address")
    return mac


def read_tunnel_ip(item: Mapping[str, Any]) -> str:
    """Return the IP address of a tunnel end; empty if the key is missing."""
    text = read_text(item, "tunnel_ip")
    return as_address(text, "tunnel_ip") if text else ""


def as_address(value: Any, name: str) -> str:
    """Return an IP address in canonical form."""
    try:
        return str(ipaddress.ip_address(_without_scope(value)))
    except ValueError as exc:
        raise ContractError(f"{name}: {value!r} is not an IP address") from exc


def _without_scope(value: Any) -> str:
    """Return the text of an address, or "" if it has a scope (RFC 4007).

    ipaddress accepts any text as a scope, so that actions could be smuggled into a flow.
    """
    return value if isinstance(value, str) and "%" not in value else ""


def read_prefixes(item: Mapping[str, Any], name: str, family: int) -> tuple[str, ...]:
    """Return IP prefixes in canonical form.

    :param family: 4 or 6.
    """
    return tuple(_prefix(value, name, family) for value in read_list(item, name))


def _prefix(value: Any, name: str, family: int) -> str:
    try:
        network = ipaddress.ip_network(_without_scope(value), strict=False)
    except ValueError as exc:
        raise ContractError(f"{name}: {value!r} is not a prefix") from exc
    if network.version != family:
        raise ContractError(f"{name}: {value} is not an IPv{family} prefix")
    return str(network)


def read_ports(item: Mapping[str, Any], name: str) -> PortRange | None:
    """Return the first and the last TCP or UDP port of a range; None if the key is missing."""
    value = item.get(name)
    if value is None:
        return None
    ends = read_list(item, name)
    if (
        len(ends) != 2
        or not all(type(end) is int and 0 <= end <= _MAX_PORT for end in ends)
        or ends[0] > ends[1]
    ):
        raise ContractError(f"{name}: {value!r} is not a range of ports")
    return (ends[0], ends[1])
