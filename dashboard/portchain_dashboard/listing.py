"""Resources as lists and details show them: with the names of what they use."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from portchain_dashboard import names, values
from portchain_dashboard.api import Client, Shown
from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GRAPH, GROUP, PAIR, TRACE, Kind


def of_project(client: Client, kind: Kind, project_id: str) -> list[Shown]:
    """Return a project's resources; port pair groups also if they are shared with it.

    :raises ApiError: the server does not answer.
    """
    if kind is GROUP:
        seen = client.list(kind)
        shown = [one for one in seen if one["project_id"] == project_id or one.get("shared")]
    else:
        shown = list(client.list(kind, project_id=project_id))
    return with_names(client, kind, shown)


def with_names(client: Client, kind: Kind, shown: Sequence[Shown]) -> list[Shown]:
    """Return resources with the texts that tables show besides the API's attributes.

    :raises ApiError: the server does not answer.
    """
    describe = {
        CHAIN: _chains,
        GROUP: _groups,
        PAIR: _pairs,
        CLASSIFIER: _classifiers,
        GRAPH: _graphs,
        TRACE: _traces,
    }[kind]
    return [one | more for one, more in zip(shown, describe(client, shown), strict=True)]


def port_names(client: Client, ids: Iterable[str]) -> dict[str, str]:
    """Return the labels of ports that the user may see.

    :raises ApiError: the server does not answer.
    """
    wanted = sorted(set(filter(None, ids)))
    found = client.ports(id=wanted) if wanted else ()
    return {port["id"]: names.port_label(port) for port in found}


def _names(client: Client, kind: Kind, ids: Iterable[str]) -> dict[str, str]:
    return {one["id"]: names.name_of(one) for one in client.by_id(kind, ids)}


def _joined(known: Mapping[str, str], ids: Iterable[str], between: str = ", ") -> str:
    return between.join(known.get(one, one[: names.SHORT]) for one in ids)


def _used(shown: Sequence[Shown], attribute: str) -> list[str]:
    return [one for each in shown for one in each.get(attribute) or ()]


def _chains(client: Client, shown: Sequence[Shown]) -> list[Shown]:
    groups = _names(client, GROUP, _used(shown, "port_pair_groups"))
    classifiers = _names(client, CLASSIFIER, _used(shown, "flow_classifiers"))
    return [
        {
            "functions": _joined(groups, one["port_pair_groups"], " → "),
            "traffic": _joined(classifiers, one["flow_classifiers"]),
        }
        for one in shown
    ]


def _groups(client: Client, shown: Sequence[Shown]) -> list[Shown]:
    pairs = _names(client, PAIR, _used(shown, "port_pairs"))
    return [
        {
            "members": _joined(pairs, one["port_pairs"]),
            "sharing": "shared" if one.get("shared") else "",
        }
        for one in shown
    ]


def _pairs(client: Client, shown: Sequence[Shown]) -> list[Shown]:
    known = port_names(client, (one[end] for one in shown for end in ("ingress", "egress")))
    return [
        {
            "ingress_label": _joined(known, [one["ingress"]]),
            "egress_label": _joined(known, [one["egress"]]),
            "weight": (one.get("service_function_parameters") or {}).get("weight", 1),
            "state": _state(one),
        }
        for one in shown
    ]


def _state(pair: Shown) -> str:
    words = ["up" if pair.get("admin_state_up", True) else "down"]
    return ", ".join([*words, "backup"] if pair.get("backup") else words)


def _classifiers(client: Client, shown: Sequence[Shown]) -> list[Shown]:
    ends = ("logical_source_port", "logical_destination_port")
    known = port_names(client, (one.get(end) or "" for one in shown for end in ends))
    return [
        {
            "source_label": _joined(known, filter(None, [one.get(ends[0])])),
            "destination_label": _joined(known, filter(None, [one.get(ends[1])])),
        }
        for one in shown
    ]


def _graphs(client: Client, shown: Sequence[Shown]) -> list[Shown]:
    edges = {one["id"]: values.edges_of(one["port_chains"]) for one in shown}
    known = _names(
        client, CHAIN, (end for those in edges.values() for edge in those for end in edge)
    )
    return [
        {"links": "; ".join(_joined(known, edge, " → ") for edge in edges[one["id"]])}
        for one in shown
    ]


def _traces(client: Client, shown: Sequence[Shown]) -> list[Shown]:
    known = port_names(client, (one["port_id"] for one in shown))
    return [{"packet": _packet(one, known)} for one in shown]


def _packet(trace: Shown, known: Mapping[str, str]) -> str:
    """Describe the packet of a trace."""
    protocol = trace.get("protocol") or "icmp"
    sender = known.get(trace["port_id"], trace["port_id"][: names.SHORT])
    port = trace.get("destination_port")
    target = f"{trace['destination_ip_address']}" + (f" port {port}" if port else "")
    return f"{protocol} from {sender} to {target}"


def picture_parts(client: Client, chain: Shown) -> dict[str, Any]:
    """Return what a picture of a chain shows besides the chain, by parameter of `picture_of`.

    :raises ApiError: the server does not answer.
    """
    found = {one["id"]: one for one in client.by_id(GROUP, chain["port_pair_groups"])}
    groups = [found[one] for one in chain["port_pair_groups"] if one in found]
    order = {one: number for number, one in enumerate(chain["flow_classifiers"])}
    classifiers = sorted(client.by_id(CLASSIFIER, order), key=lambda one: order[one["id"]])
    ends = ("logical_source_port", "logical_destination_port")
    return {
        "classifiers": classifiers,
        "groups": groups,
        "pairs": list(client.by_id(PAIR, _used(groups, "port_pairs"))),
        "ports": port_names(client, (one.get(end) or "" for one in classifiers for end in ends)),
    }
