"""Makes a whole chain from one form: which resources, in which order, and how to undo them.

``plan`` is pure. ``make`` sends the requests.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GRAPH, GROUP, PAIR, Kind


class Requests(Protocol):
    """The part of the client that ``make`` needs."""

    def create(self, kind: Kind, attributes: dict[str, Any]) -> Mapping[str, Any]:
        """Create a resource."""

    def delete(self, kind: Kind, resource_id: str) -> None:
        """Delete a resource."""


@dataclass(frozen=True, slots=True)
class Made:
    """Stands for the id of a resource that an earlier step makes."""

    step: str


@dataclass(frozen=True, slots=True)
class Step:
    """A resource to make.

    :param name: unique in the plan.
    :param attributes: of the request; may hold `Made`, in lists too.
    """

    name: str
    kind: Kind
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants: send this traffic through these machines.

    :param name: of the chain; the names of all else begin with it.
    :param traffic: attributes of the flow classifier.
    :param functions: in the order of the packets: ids of an ingress and an egress port with a
        colon between them, or ``group:`` with the id of a group that exists.
    :param group: attributes of each new group. ``pair``: of each new pair.
    :param symmetric: whether replies go through the functions, too.
    :param after: id of a chain that the packets have to leave first; empty for none.
    """

    name: str
    traffic: Mapping[str, Any]
    functions: Sequence[str]
    group: Mapping[str, Any] = field(default_factory=dict)
    pair: Mapping[str, Any] = field(default_factory=dict)
    symmetric: bool = False
    after: str = ""


_GROUP = "group:"


def group_choice(group_id: str) -> str:
    """Return the function that stands for a group."""
    return _GROUP + group_id


def plan(wish: Wish) -> list[Step]:
    """Return what has to be made, each resource behind those that it names."""
    return list(_steps(wish))


def _steps(wish: Wish) -> Iterator[Step]:
    yield Step("classifier", CLASSIFIER, {"name": f"{wish.name}-traffic", **wish.traffic})
    groups: list[Any] = []
    for number, function in enumerate(wish.functions, 1):
        if function.startswith(_GROUP):
            groups.append(function.removeprefix(_GROUP))
            continue
        ingress, egress = function.split(":")
        title = f"{wish.name}-function{number}"
        pair = {"name": title, "ingress": ingress, "egress": egress, **wish.pair}
        yield Step(f"pair {number}", PAIR, pair)
        group = {"name": title, "port_pairs": [Made(f"pair {number}")], **wish.group}
        yield Step(f"group {number}", GROUP, group)
        groups.append(Made(f"group {number}"))
    chain: dict[str, Any] = {
        "name": wish.name,
        "port_pair_groups": groups,
        "flow_classifiers": [Made("classifier")],
    }
    if wish.symmetric:
        chain["chain_parameters"] = {"symmetric": True}
    yield Step("chain", CHAIN, chain)
    if wish.after:
        graph = {"name": f"{wish.name}-graph", "port_chains": {wish.after: [Made("chain")]}}
        yield Step("graph", GRAPH, graph)


class RecipeError(Exception):
    """A step failed, and what the steps before it made is gone again, but for ``left``.

    :param step: the one that failed. ``reason``: what the API said.
    :param left: a sentence for each resource that could not be removed.
    """

    def __init__(self, step: Step, reason: str, left: Sequence[str]) -> None:
        undone = " ".join(left) or "Nothing was left behind."
        sentence = reason if reason.endswith(".") else f"{reason}."
        super().__init__(f"The {step.kind.words} cannot be created: {sentence} {undone}")
        self.step = step
        self.left = tuple(left)


def make(
    requests: Requests, steps: Sequence[Step], refused: type[Exception]
) -> dict[str, Mapping[str, Any]]:
    """Make everything, or nothing.

    :param refused: what ``requests`` raises if the server refuses a request.
    :returns: what was made, by the name of the step.
    :raises RecipeError: a request was refused.
    """
    made: dict[str, Mapping[str, Any]] = {}
    ids: dict[str, str] = {}
    for step in steps:
        try:
            made[step.name] = requests.create(step.kind, _resolved(step.attributes, ids))
        except refused as error:
            done = [(one.kind, ids[one.name]) for one in steps if one.name in ids]
            left = list(_undo(requests, done, refused))
            raise RecipeError(step, str(error), left) from error
        ids[step.name] = str(made[step.name]["id"])
    return made


def _undo(
    requests: Requests, made: Sequence[tuple[Kind, str]], refused: type[Exception]
) -> Iterator[str]:
    """Delete what was made, the last first; yield a sentence for what stays."""
    for kind, resource_id in reversed(made):
        try:
            requests.delete(kind, resource_id)
        except refused as error:
            yield f"The {kind.words} {resource_id} could not be removed: {error}"


def _resolved(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a value with ids in place of each `Made`."""
    if isinstance(value, Made):
        return ids[value.step]
    if isinstance(value, Mapping):
        return {key: _resolved(one, ids) for key, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one, ids) for one in value]
    return value
