"""One life of each resource: created, changed, deleted; every request can be observed."""

from collections.abc import Callable
from typing import Any

from bench.scene import CYCLE_PORTS, Scene

Observe = Callable[[str, Callable[[], Any]], Any]
"""Is given what a request is, such as ``port_chain create``, and the request. Makes it, once, and
returns its result.
"""


def run(scene: Scene, observe: Observe) -> None:
    """Two classifiers, two pairs, a group and a chain come and go.

    The updates of group and chain are those that move packets: a second pair comes into the group
    of a chain that is in place, and the chain changes over to another classifier. Those of pair and
    classifier can only be of names.
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
