"""Converters of attribute values that neutron-lib does not have."""

from collections.abc import Callable, Mapping
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
        # Several names may mean one number; the last one written wins.
        *((name, constants.IP_PROTOCOL_MAP[name]) for name in _PREFERRED_NAMES),
    )
}


def to_protocol(value: Any) -> int | None:
    """Convert a protocol's name (any case) or number to its number; None is any protocol.

    :raises Refused: neither a known name nor 0..255.
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
        raise checks.Refused(
            f"{checks.shown(value)} is neither the name of an IP protocol nor a number from 0 to 255"
        )
    return number


def from_protocol(number: int | None) -> str | None:
    """Convert a protocol's number to its name, or to a string of digits if it has none."""
    return None if number is None else _NAMES.get(number, str(number))


def named(attribute: str, rules: checks.Rules) -> Callable[[Any], Any]:
    """Return a converter that does what the one in ``rules`` does, and whose refusal names the
    attribute and says what it has to be.
    """
    unnamed = dict(rules)

    def converted(value: Any) -> Any:
        try:
            return checks.convert(value, unnamed)
        except checks.Refused as refusal:
            raise errors.InvalidInput(attribute=attribute, rule=str(refusal)) from refusal

    return converted


def to_text(value: Any) -> Any:
    """Make text of None, and refuse text that UTF-8 cannot hold: JSON can have halves of
    characters.

    :raises Refused: there is such a half in the text.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise checks.Refused("the text is not valid Unicode") from error
    return "" if value is None else value


def to_branches(value: Any) -> Any:
    """Check the branching points of a service graph: chains, each with those that follow it.

    :raises Refused: no dict, a key is no UUID, or a value no list of UUIDs.
    """
    if not isinstance(value, dict):
        raise checks.Refused(f"{checks.shown(value)} is not an object")
    for source, destinations in value.items():
        if not isinstance(destinations, list):
            raise checks.Refused(f"what stands for {checks.shown(source)} is not a list")
        for chain in (source, *destinations):
            if not isinstance(chain, str) or not uuidutils.is_uuid_like(chain):
                raise checks.Refused(f"{checks.shown(chain)} is not a UUID")
    return value


def fill_defaults(spec: Mapping[str, Mapping[str, Any]]) -> Callable[[Any], Any]:
    """Return a converter that completes a partial dict with the defaults of its keys, and those of
    the dicts in it.

    Anything but a dict passes unchanged and fails the validation that follows; neutron-lib's own
    way to fill defaults stumbles over it and answers 500.

    :param spec: what stands under ``validate: {type:dict: ...}`` in the attribute map.
    """

    def convert(value: Any) -> Any:
        given = {} if value is None else value
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        for key, rules in spec.items():
            nested = rules.get("type:dict")
            if nested is not None and _has_defaults(rules):
                filled[key] = fill_defaults(nested)(filled.get(key))
            elif "default" in rules:
                filled.setdefault(key, _fresh(rules["default"]))
        return filled

    return convert


def _has_defaults(rules: Mapping[str, Any]) -> bool:
    """Tell whether an absent nested dict is to be filled; one with a default of its own is taken as
    it is.
    """
    return "default" not in rules


def _fresh(default: Any) -> Any:
    """Return a default that the request may change without changing the attribute map."""
    return default.copy() if isinstance(default, dict | list) else default
