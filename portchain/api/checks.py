"""Validation of attribute values, with messages that state the value and what is allowed.

Neutron's validators decide whether a value is valid. Their messages are replaced, because they
repeat the whole value, and name neither the key of a dict nor the allowed values.
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
"""What an attribute map says about an attribute, or about a key of a dict attribute."""

VALIDATOR = "type:portchain"
"""Neutron's name for `validate`. Its argument holds the rules of the validator that it replaces."""

_LONGEST_QUOTE = 60
_LARGEST = 2**63 - 1  # the largest integer that every supported database can compare
_TO_INTEGER = (lib_converters.convert_to_int, lib_converters.convert_to_int_if_not_none)


class InvalidValue(ValueError):  # noqa: N818 - a user's mistake, not an error of the server
    """A value is not valid; the text quotes it and says what is allowed."""


def quote(value: Any) -> str:
    """Return a value as JSON, cut to the length that a message has room for."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def convert(value: Any, rules: Rules) -> Any:
    """Return the result of an attribute's converter.

    :raises InvalidValue: the converter refuses the value.
    """
    if "convert_to" not in rules:
        return value
    to_integer = rules["convert_to"] in _TO_INTEGER
    if to_integer and _would_be_rounded(value):
        raise _invalid(value, rules)
    try:
        result = rules["convert_to"](value)
    except lib.InvalidInput as error:
        raise _invalid(value, rules) from error
    if to_integer and result is not None and abs(result) > _LARGEST:
        raise InvalidValue(f"{quote(value)} is too large: the largest integer is {_LARGEST}")
    return result


def _would_be_rounded(value: Any) -> bool:
    """Return whether ``int()`` would silently change a value, such as 1.5, 1e999 or true."""
    return isinstance(value, bool) or (isinstance(value, float) and not value.is_integer())


def check(value: Any, rules: Rules) -> None:
    """Check a value after its conversion. The values in a dict are converted and checked here.

    :raises InvalidValue: the value breaks ``rules``.
    """
    kind, limit = _type(rules)
    if value is None and kind.endswith("_or_none"):
        return
    kind = kind.removesuffix("_or_none")
    if kind == "dict":
        _check_dict(value, limit)
    elif kind in _ITEMS:
        _check_list(value, kind, limit)
    elif kind == "seconds":
        if not _is_number(value) or not limit[0] <= value <= limit[1]:
            raise _invalid(value, rules)
    elif kind == "regex":
        if not isinstance(value, str) or not re.fullmatch(limit, value):
            raise _invalid(value, rules)
    elif validators.get_validator(f"type:{kind}")(value, limit):
        raise _invalid(value, rules)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def validate(value: Any, rules: Rules) -> str | None:
    """Return what is wrong with a value, or None: the form that Neutron expects of validators."""
    try:
        check(value, rules)
    except InvalidValue as error:
        return str(error)
    return None


validators.add_validator(VALIDATOR, validate)


def _type(rules: Rules) -> tuple[str, Any]:
    """Return the name of Neutron's validator without ``type:``, and its argument."""
    ((name, limit),) = [item for item in rules.items() if item[0].startswith("type:")]
    return name.removeprefix("type:"), limit


def _check_dict(value: Any, keys: Mapping[str, Rules] | None) -> None:
    if not isinstance(value, dict):
        raise InvalidValue(f"{quote(value)} is not an object")
    for key, rules in (keys or {}).items():
        if key in value:
            try:
                value[key] = convert(value[key], rules)
                check(value[key], rules)
            except InvalidValue as error:
                raise InvalidValue(f"{key}: {error}") from error
    for key in value:
        if keys is not None and key not in keys:
            raise InvalidValue(f"{quote(key)} is not an allowed key; use {', '.join(keys)}")


_ITEMS = {
    "uuid_list": "type:uuid",
    "uuid_list_non_empty": "type:uuid",
    "list_of_regex": "type:regex",
}
"""The type of the items, by the type of a list."""


def _check_list(value: Any, kind: str, limit: Any) -> None:
    if not isinstance(value, list):
        raise InvalidValue(f"{quote(value)} is not a list")
    if not value and kind.endswith("_non_empty"):
        raise InvalidValue("the list must not be empty")
    for item in value:
        check(item, {_ITEMS[kind]: limit})
    repeated = first_duplicate(value)
    if repeated is not None:
        raise InvalidValue(f"{quote(repeated)} is in the list more than once")


def _invalid(value: Any, rules: Rules) -> InvalidValue:
    """Return the exception for a value that is not of the demanded type."""
    kind, limit = _type(rules.get("validate", rules))
    return InvalidValue(f"{quote(value)} {_complaint(kind.removesuffix('_or_none'), limit)}")


def _complaint(kind: str, limit: Any) -> str:
    complaints = {
        "uuid": "is not a UUID",
        "string": f"is not text of at most {limit} characters",
        "name_string": f"is not printable text of at most {limit} characters without spaces "
        "at its ends",
        "ip_address": "is not an IP address",
        "boolean": "is neither true nor false",
        "non_negative": "is not an integer of 0 or more",
        "subnet": "is not a prefix in CIDR notation, such as 10.0.0.0/24",
        "regex": f"does not match {limit}",
    }
    if kind == "range":
        return f"is not an integer from {limit[0]} to {limit[1]}"
    if kind == "seconds":
        return f"is not a number of seconds from {limit[0]} to {limit[1]}"
    if kind == "values":
        return f"is not one of {', '.join('null' if value is None else value for value in limit)}"
    return complaints[kind]
