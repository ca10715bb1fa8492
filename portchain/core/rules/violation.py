"""Violations of rules, and the names of resources in their messages."""

import re
from collections.abc import Sequence
from enum import StrEnum

from portchain.core.model import FlowClassifier, Port, PortChain, PortPair, PortPairGroup


class Kind(StrEnum):
    """Kind of the rule that was broken; it decides the type and the HTTP status of the answer."""

    INVALID = "invalid"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"


class Violation(Exception):  # noqa: N818 - a user's mistake, not an error of the program
    """A request breaks a rule.

    :param attribute: the attribute of the request at fault, in the API's notation.
    :param rule: the rule, as a sentence for the user.
    """

    def __init__(self, attribute: str, rule: str, kind: Kind = Kind.INVALID) -> None:
        super().__init__(f"{attribute}: {rule}")
        self.attribute = attribute
        self.rule = rule
        self.kind = kind


def first_duplicate(ids: Sequence[str]) -> str | None:
    """Return the first id that occurs a second time; None if there is none."""
    seen: set[str] = set()
    for an_id in ids:
        if an_id in seen:
            return an_id
        seen.add(an_id)
    return None


_Resource = FlowClassifier | Port | PortPair | PortPairGroup | PortChain


def label_for(project_id: str, resource: _Resource) -> str:
    """Return the kind and the label of a resource; only the kind if another project owns it."""
    kind = " ".join(re.findall("[A-Z][a-z]+", type(resource).__name__)).lower()
    if resource.project_id == project_id:
        return f"{kind} {label(resource)}"
    return f"a {kind} of another project"


def label(resource: _Resource) -> str:
    """Return the text by which a user recognises a resource: its name, if any, and its id."""
    return f"{resource.name} ({resource.id})" if resource.name else resource.id
