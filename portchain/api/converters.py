"""Converters of attribute values that neutron-lib does not have."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from neutron_lib import constants
from oslo_utils import uuidutils

from portchain import errors
from portchain.api import checks

_PREFERRED_NAMES = ("tcp", "udp", "icmp", "sctp", constants.PROTO_NAME_IPV6_ICMP)
_NAMES: Mapping[int, str] = {
    int(number): name
    for name, number in (
        *constants.IP_PROTOCOL_MAP.items(),
        # A number can have several names: the last one in this list wins.
        *((name, constants.IP_PROTOCOL_MAP[name]) for name in _PREFERRED_NAMES),
    )
}


def to_protocol(value: Any) -> int | None:
    """Convert the name of an IP protocol, in any case, or its number to the number.

    :param value: None stands for any protocol, and stays None.
    :raises InvalidValue: the value is neither a known name nor a number from 0 to 255.
    """
    if value is None:
        return None
    if isinstance(value, str) and value.lower() in constants.IP_PROTOCOL_MAP:
        return int(constants.IP_PROTOCOL_MAP[value.lower()])
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 255:
        raise checks.InvalidValue(
            f"{checks.quote(value)} is neither the name of an IP protocol "
            "nor a number from 0 to 255"
        )
    return number


def from_protocol(number: int | None) -> str | None:
    """Convert the number of an IP protocol to its name, or to digits if it has no name."""
    return None if number is None else _NAMES.get(number, str(number))


def named(attribute: str, rules: checks.Rules) -> Callable[[Any], Any]:
    """Return a converter like the one in ``rules``, whose errors name the attribute.

    :raises InvalidInput: from the returned converter, with the allowed values.
    """
    unnamed = dict(rules)

    def converted(value: Any) -> Any:
        try:
            return checks.convert(value, unnamed)
        except checks.InvalidValue as error:
            raise errors.InvalidInput(attribute=attribute, rule=str(error)) from error

    return converted


def to_prefix(value: Any) -> Any:
    """Convert a prefix in CIDR notation to its network: 10.10.0.5/24 becomes 10.10.0.0/24.

    Many published descriptors have an address with a prefix length where they mean its network.

    :param value: anything that is no prefix passes unchanged; the validation refuses it.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[^/%]+/[0-9]+", value):
        return value
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        return value


def to_address(value: Any) -> str | None:
    """Convert an IP address to its canonical form.

    :param value: None stays None.
    :raises InvalidValue: the value is no IP address, or has a scope (RFC 4007).
    """
    if value is None:
        return None
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return str(ip_address(value))
    except ValueError as error:
        raise checks.InvalidValue(f"{checks.quote(value)} is not an IP address") from error


def to_text(value: Any) -> Any:
    """Convert None to the empty text.

    :raises InvalidValue: the text has half a surrogate pair. JSON can, UTF-8 cannot.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise checks.InvalidValue("the text is not valid Unicode") from error
    return "" if value is None else value


def to_branches(value: Any) -> Any:
    """Check the branching points of a service graph; return them unchanged.

    :param value: maps the id of a chain to the ids of the chains that follow it.
    :raises InvalidValue: it is no dict, a key is no UUID, or a value no list of UUIDs.
    """
    if not isinstance(value, dict):
        raise checks.InvalidValue(f"{checks.quote(value)} is not an object")
    for source, destinations in value.items():
        if not isinstance(destinations, list):
            raise checks.InvalidValue(f"the value of {checks.quote(source)} is not a list")
        for chain in (source, *destinations):
            if not isinstance(chain, str) or not uuidutils.is_uuid_like(chain):
                raise checks.InvalidValue(f"{checks.quote(chain)} is not a UUID")
    return value


def fill_defaults(spec: Mapping[str, Mapping[str, Any]]) -> Callable[[Any], Any]:
    """Return a converter that adds the missing keys of a dict, and of dicts in it.

    A value that is no dict passes unchanged; the validation that follows refuses it. neutron-lib's
    own ``dict_populate_defaults`` answers such a value with 500.

    :param spec: the rules of each key: ``validate: {type:dict: ...}`` of the attribute map.
    """

    def convert(value: Any) -> Any:
        given = {} if value is None else value
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        for key, rules in spec.items():
            nested = rules.get("type:dict")
            # A nested dict that has a default itself is not filled in key by key.
            if nested is not None and "default" not in rules:
                filled[key] = fill_defaults(nested)(filled.get(key))
            elif "default" in rules:
                filled.setdefault(key, _copied(rules["default"]))
        return filled

    return convert


def _copied(default: Any) -> Any:
    """Return a default that a request can modify without modifying the attribute map."""
    return default.copy() if isinstance(default, dict | list) else default
