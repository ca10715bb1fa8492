"""A whole chain from one form: what is made, and what is left if that fails."""

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from portchain_dashboard import recipe
from portchain_dashboard.kinds import Kind

WISH = recipe.Wish(
    name="web",
    traffic={"protocol": "tcp"},
    functions=["in1:out1", recipe.group_choice("lent"), "in2:in2"],
    group={"health_check": "icmp"},
    pair={"function_kind": "l2"},
    symmetric=True,
    after="first",
)
NAMES = ["classifier", "pair 1", "group 1", "pair 3", "group 3", "chain", "graph"]


class RefusedError(Exception):
    pass


class Memory:
    """Keeps what is created, and refuses what it is told to refuse."""

    def __init__(self, refuse: str = "", keep: str = "") -> None:
        self.refuse, self.keep = refuse, keep
        self.made: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self.removed: list[str] = []
        self.numbers = count(1)

    def create(self, kind: Kind, attributes: dict[str, Any]) -> Mapping[str, Any]:
        if kind.slug == self.refuse:
            raise RefusedError("no")
        an_id = f"{kind.slug}{next(self.numbers)}"
        self.made[an_id] = kind.slug, attributes
        return {"id": an_id, **attributes}

    def delete(self, kind: Kind, resource_id: str) -> None:
        if kind.slug == self.keep:
            raise RefusedError("in use")
        assert self.made.pop(resource_id)[0] == kind.slug
        self.removed.append(resource_id)


def test_each_resource_is_made_behind_those_that_it_names() -> None:
    memory = Memory()
    made = recipe.make(memory, recipe.plan(WISH), RefusedError)
    assert list(made) == NAMES
    assert made["chain"] == {
        "id": "chain6",
        "name": "web",
        "port_pair_groups": ["group3", "lent", "group5"],
        "flow_classifiers": ["classifier1"],
        "chain_parameters": {"symmetric": True},
    }
    assert memory.made["pair2"][1] == {
        **{"name": "web-function1", "ingress": "in1", "egress": "out1", "function_kind": "l2"}
    }
    assert memory.made["group3"][1] == {
        **{"name": "web-function1", "port_pairs": ["pair2"], "health_check": "icmp"}
    }
    assert memory.made["graph7"][1]["port_chains"] == {"first": ["chain6"]}


@pytest.mark.parametrize("refuse", ["classifier", "pair", "group", "chain", "graph"])
def test_nothing_is_left_if_a_step_is_refused(refuse: str) -> None:
    memory = Memory(refuse)
    with pytest.raises(recipe.RecipeError, match=r"cannot be created: no\. Nothing was left"):
        recipe.make(memory, recipe.plan(WISH), RefusedError)
    assert not memory.made
    # What is used is removed behind what uses it.
    numbers = [int(one.strip("abcdefghijklmnopqrstuvwxyz")) for one in memory.removed]
    assert numbers == sorted(numbers, reverse=True)


def test_what_cannot_be_removed_is_named() -> None:
    memory = Memory("chain", keep="pair")
    with pytest.raises(recipe.RecipeError) as failure:
        recipe.make(memory, recipe.plan(WISH), RefusedError)
    assert list(memory.made) == ["pair2", "pair4"]
    assert "The port pair pair4 could not be removed: in use" in str(failure.value)
    assert "Nothing was left" not in str(failure.value)
