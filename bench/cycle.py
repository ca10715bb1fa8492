"""One cycle of requests: creates, updates and deletes a resource of each type."""

from collections.abc import Callable
from typing import Any

from bench.scene import CYCLE_PORTS, Scene

Observe = Callable[[str, Callable[[], Any]], Any]
"""(name of a request such as ``port_chain create``, the request) -> its result.

An observer sends the request exactly once and measures it.
"""


def run(scene: Scene, observe: Observe) -> None:
    """Create, update and delete two classifiers, two pairs, a group and a chain.

    The updates of group and chain change where packets go: a second pair joins the group while a
    chain uses it, and the chain exchanges its classifier. Pairs and classifiers are only renamed,
    as the API cannot change anything else of them.
    """
    api = scene.api

    def ids(subject: str, *requests: Callable[[], dict[str, Any]]) -> list[str]:
        return [str(observe(subject, request)["id"]) for request in requests]

    def renamed(resource: str, an_id: str) -> None:
        new = scene.name("new")
        observe(f"{resource} update", lambda: api.update(resource, an_id, name=new))

    def deleted(resource: str, *an_ids: str) -> None:
        for an_id in an_ids:
            observe(f"{resource} delete", _call(api.delete, resource, an_id))

    old, new = ids("flow_classifier create", *(_call(scene.classifier, p) for p in CYCLE_PORTS))
    first, second = ids("port_pair create", *(_call(scene.pair, f) for f in scene.spare))
    (group,) = ids("port_pair_group create", lambda: scene.group([first]))
    (chain,) = ids("port_chain create", lambda: scene.chain([group], [old]))

    renamed("flow_classifier", old)
    renamed("port_pair", first)
    both = [first, second]
    observe("port_pair_group update", lambda: api.update("port_pair_group", group, port_pairs=both))
    observe("port_chain update", lambda: api.update("port_chain", chain, flow_classifiers=[new]))

    deleted("port_chain", chain)
    deleted("port_pair_group", group)
    deleted("port_pair", first, second)
    deleted("flow_classifier", old, new)


def _call(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: function(*arguments)
