"""What a broken rule is, and how messages name things."""

import re
from collections.abc import Sequence
from enum import StrEnum

from portchain.core.model import FlowClassifier, Port, PortChain, PortPair, PortPairGroup


class Kind(StrEnum):
    """What sort of rule was broken; it decides the type and the HTTP status of the answer."""

    INVALID = "invalid"
    CONFLICT = "conflict"
    UNSUPPORTED = "unsupported"


class Violation(Exception):  # noqa: N818 - it is raised on users' mistakes, not on errors of ours
    """A request breaks a rule.

    :param attribute: the attribute of the request at fault, in the API's notation.
    :param rule: the rule, as a sentence for the user.
    """

    def __init__(self, attribute: str, rule: str, kind: Kind = Kind.INVALID) -> None:
        super().__init__(f"{attribute}: {rule}")
        self.attribute = attribute
        self.rule = rule
        self.kind = kind


def first_repeated(ids: Sequence[str]) -> str | None:
    """Return the first id that stands in the list a second time, None if there is none."""
    seen: set[str] = set()
    for an_id in ids:
        if an_id in seen:
            return an_id
        seen.add(an_id)
    return None


_Thing = FlowClassifier | Port | PortPair | PortPairGroup | PortChain


def label_for(project_id: str, thing: _Thing) -> str:
    """Return kind and label of a resource; of one that is none of the project's, the kind alone."""
    kind = " ".join(re.findall("[A-Z][a-z]+", type(thing).__name__)).lower()
    if thing.project_id == project_id:
        return f"{kind} {label(thing)}"
    return f"a {kind} of another project"


def label(thing: _Thing) -> str:
    """Return the text by which a user recognises a resource: its name, if any, and its id."""
    return f"{thing.name} ({thing.id})" if thing.name else thing.id
