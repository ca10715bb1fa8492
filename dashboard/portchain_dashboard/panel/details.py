"""What the page about a resource says, line by line. Pure."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from portchain_dashboard import names
from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GRAPH, GROUP, PAIR, TRACE, Kind

Shown = Mapping[str, Any]
Fact = tuple[Any, Any]
"""A label and a value."""


def facts(kind: Kind, shown: Shown) -> list[Fact]:
    """Return the lines of a page.

    :param shown: the resource with its names, as ``listing.with_names`` returns it.
    """
    common = [
        (_("ID"), shown["id"]),
        (_("Description"), shown.get("description") or "-"),
        (_("Project ID"), shown.get("project_id") or "-"),
    ]
    of_kind: Mapping[Kind, Callable[[Shown], Iterator[Fact]]] = {
        CHAIN: _chain,
        GROUP: _group,
        PAIR: _pair,
        CLASSIFIER: _classifier,
        GRAPH: _graph,
        TRACE: _trace,
    }
    return [*of_kind[kind](shown), *common]


def _yes(value: Any) -> Any:
    return _("Yes") if value else _("No")


def _chain(shown: Shown) -> Iterator[Fact]:
    parameters = shown.get("chain_parameters") or {}
    yield _("Groups, in order"), shown["functions"] or "-"
    yield _("Flow classifiers"), shown["traffic"] or "-"
    yield _("Symmetric"), _yes(parameters.get("symmetric"))
    yield _("Header inside the chain"), parameters.get("correlation") or "mpls"
    yield _("Path identifier"), shown.get("chain_id") or "-"


def _group(shown: Shown) -> Iterator[Fact]:
    yield _("Port pairs"), shown["members"] or "-"
    yield _("Health check"), shown.get("health_check") or "none"
    for name, value in (shown.get("health_check_parameters") or {}).items():
        if value is not None and shown.get("health_check", "none") != "none":
            yield name.replace("_", " ").capitalize(), value
    yield _("Without a working pair"), shown.get("failure_mode") or "closed"
    yield _("Fewest healthy functions"), shown.get("min_healthy") or 1
    yield _("Flows of a failed function"), shown.get("on_failure") or "rebalance"
    yield _("Tap"), _yes(shown.get("tap_enabled"))
    parameters = shown.get("port_pair_group_parameters") or {}
    yield _("Balance by"), ", ".join(parameters.get("lb_fields") or ()) or _("Addresses and ports")
    mapping = parameters.get("ppg_n_tuple_mapping") or {}
    if any(mapping.values()):
        yield _("Header changes"), json.dumps(mapping)


def _pair(shown: Shown) -> Iterator[Fact]:
    parameters = shown.get("service_function_parameters") or {}
    yield _("Packets enter at"), shown["ingress_label"]
    yield _("Packets leave at"), shown["egress_label"]
    yield _("Function"), shown.get("function_kind") or "l3"
    yield _("Header it understands"), parameters.get("correlation") or _("None")
    yield _("Weight"), shown["weight"]
    yield _("Administratively up"), _yes(shown.get("admin_state_up", True))
    yield _("Backup"), _yes(shown.get("backup"))


def _classifier(shown: Shown) -> Iterator[Fact]:
    yield _("Packets"), names.header_of(shown)
    yield _("From the port"), shown["source_label"] or "-"
    yield _("To the port"), shown["destination_label"] or "-"
    yield _("Ethertype"), shown.get("ethertype") or "IPv4"


def _graph(shown: Shown) -> Iterator[Fact]:
    yield _("Chains"), shown["links"] or "-"


def _trace(shown: Shown) -> Iterator[Fact]:
    yield _("Packet"), shown["packet"]
    yield _("Outcome"), shown.get("outcome") or "-"
    yield _("Reason"), shown.get("reason") or "-"
    yield _("Of an open connection"), _yes(shown.get("established"))
    yield _("Deleted by the server at"), shown.get("expires_at") or "-"


STEP_IDS = (
    ("port_chain_id", CHAIN),
    ("flow_classifier_id", CLASSIFIER),
    ("port_pair_id", PAIR),
)
"""Attributes of a trace's step that name a resource with a page of its own."""
