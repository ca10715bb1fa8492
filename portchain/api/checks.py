"""What an attribute's value has to be, in words that say it.

Neutron's validators decide. Their own messages repeat the whole value, and name neither the key of a dict nor what
would be right.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from neutron_lib import exceptions as lib
from neutron_lib.api import converters as lib_converters
from neutron_lib.api import validators

from portchain.core.rules import first_duplicate

Rules = Mapping[str, Any]
"""What an attribute map says of an attribute, or of a key of a dict."""

DESCRIBED = "type:portchain"
"""The type that attributes have for Neutron; what it is instead of stands behind it."""

_LONGEST_SHOWN = 60
_LARGEST = 2**63 - 1  # databases count no further
_TO_INTEGER = (lib_converters.convert_to_int, lib_converters.convert_to_int_if_not_none)


class Refused(ValueError):  # noqa: N818 - it is raised on users' mistakes, not on errors of ours
    """A value is not what it has to be; the text says what it is and what it is not."""


def shown(value: Any) -> str:
    """Return a value as JSON has it, as far as a message has room for it."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def convert(value: Any, rules: Rules) -> Any:
    """Return what the converter of an attribute makes of a value.

    :raises Refused: it cannot.
    """
    if "convert_to" not in rules:
        return value
    to_integer = rules["convert_to"] in _TO_INTEGER
    if to_integer and _would_be_cut(value):
        raise _refusal(value, rules)
    try:
        result = rules["convert_to"](value)
    except lib.InvalidInput as error:
        raise _refusal(value, rules) from error
    if to_integer and result is not None and abs(result) > _LARGEST:
        raise Refused(f"{shown(value)} is too large a number")
    return result


def _would_be_cut(value: Any) -> bool:
    """Tell whether Python would make an integer of what is none: 1.5, 1e999, true."""
    return isinstance(value, bool) or (isinstance(value, float) and not value.is_integer())


def check(value: Any, rules: Rules) -> None:
    """Check a value after its conversion; the values in a dict are converted and checked one by one.

    :raises Refused: it is not what ``rules`` demand.
    """
    kind, limit = _kind(rules)
    if value is None and kind.endswith("_or_none"):
        return
    kind = kind.removesuffix("_or_none")
    if kind == "dict":
        _check_dict(value, limit)
    elif kind in _ITEMS:
        _check_list(value, kind, limit)
    elif kind == "regex":
        if not isinstance(value, str) or not re.fullmatch(limit, value):
            raise _refusal(value, rules)
    elif validators.get_validator(f"type:{kind}")(value, limit):
        raise _refusal(value, rules)


def described(value: Any, rules: Rules) -> str | None:
    """Return what is wrong with a value, None if nothing is; Neutron calls it for `DESCRIBED`."""
    try:
        check(value, rules)
    except Refused as refusal:
        return str(refusal)
    return None


validators.add_validator(DESCRIBED, described)


def _kind(rules: Rules) -> tuple[str, Any]:
    """Return what Neutron calls the type of a value, and its limit."""
    ((name, limit),) = [item for item in rules.items() if item[0].startswith("type:")]
    return name.removeprefix("type:"), limit


def _check_dict(value: Any, keys: Mapping[str, Rules] | None) -> None:
    if not isinstance(value, dict):
        raise Refused(f"{shown(value)} is not an object")
    for key, rules in (keys or {}).items():
        if key in value:
            try:
                value[key] = convert(value[key], rules)
                check(value[key], rules)
            except Refused as refusal:
                raise Refused(f"{key}: {refusal}") from refusal
    for key in value:
        if keys is not None and key not in keys:
            raise Refused(f"{shown(key)} is not one of its keys, {', '.join(keys)}")


_ITEMS = {
    "uuid_list": "type:uuid",
    "uuid_list_non_empty": "type:uuid",
    "list_of_regex": "type:regex",
}
"""What the items of a list are."""


def _check_list(value: Any, kind: str, limit: Any) -> None:
    if not isinstance(value, list):
        raise Refused(f"{shown(value)} is not a list")
    if not value and kind.endswith("_non_empty"):
        raise Refused("the list must not be empty")
    for item in value:
        check(item, {_ITEMS[kind]: limit})
    twice = first_duplicate(value)
    if twice is not None:
        raise Refused(f"{shown(twice)} is there more than once")


def _refusal(value: Any, rules: Rules) -> Refused:
    """Return the exception that says what a value is not."""
    kind, limit = _kind(rules.get("validate", rules))
    return Refused(f"{shown(value)} {_demand(kind.removesuffix('_or_none'), limit)}")


def _demand(kind: str, limit: Any) -> str:
    demands = {
        "uuid": "is not a UUID",
        "string": f"is not text of at most {limit} characters",
        "name_string": f"is not printable text of at most {limit} characters without spaces at its ends",
        "boolean": "is neither true nor false",
        "non_negative": "is not an integer of 0 or more",
        "subnet": "is not a prefix in CIDR notation, such as 10.0.0.0/24",
        "regex": f"does not match {limit}",
    }
    if kind == "range":
        return f"is not an integer from {limit[0]} to {limit[1]}"
    if kind == "values":
        return f"is not one of {', '.join('null' if one is None else one for one in limit)}"
    return demands[kind]
