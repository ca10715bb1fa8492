"""Turns rows of networking-sfc into requests of our API. Reads and writes nothing."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portchain.importer.legacy import COMMON_COLUMNS, Row, Tables

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """One resource to import.

    :param kind: its name in requests, such as ``port_pair``.
    :param body: the attributes of a request that creates it.
    :param kept: values that it keeps although no request can set them: id, project, numbers.
    :param needs: the resources that it names, each as a kind and an id.
    """

    kind: str
    body: Body
    kept: Body
    needs: tuple[tuple[str, str], ...] = ()

    @property
    def id(self) -> str:
        """The id of the resource."""
        return str(self.kept["id"])

    def __str__(self) -> str:
        name = self.body.get("name")
        words = self.kind.replace("_", " ")
        return f"{words} {name} ({self.id})" if name else f"{words} {self.id}"


def items(tables: Tables) -> list[Item]:
    """Return the resources to import, each after those that it needs."""
    return [
        *_classifiers(tables),
        *_pairs(tables),
        *_groups(tables),
        *_chains(tables),
        *_graphs(tables),
    ]


def _classifiers(tables: Tables) -> Iterable[Item]:
    l7_parameters = _parameters(tables["sfc_flow_classifier_l7_parameters"], "classifier_id", str)
    for row in tables["sfc_flow_classifiers"]:
        columns = {key: value for key, value in row.items() if key not in COMMON_COLUMNS}
        body = columns | {"l7_parameters": l7_parameters.get(row["id"], {})}
        yield Item("flow_classifier", _name_and_description(row) | body, _kept(row))


def _pairs(tables: Tables) -> Iterable[Item]:
    parameters = _parameters(tables["sfc_service_function_params"], "pair_id")
    for row in tables["sfc_port_pairs"]:
        body = {
            "ingress": row["ingress"],
            "egress": row["egress"],
            "service_function_parameters": parameters.get(row["id"], {}),
        }
        yield Item("port_pair", _name_and_description(row) | body, _kept(row))


def _groups(tables: Tables) -> Iterable[Item]:
    members = _members(tables["sfc_port_pairs"], "portpairgroup_id", "id")
    parameters = _parameters(tables["sfc_port_pair_group_params"], "pair_group_id")
    for row in tables["sfc_port_pair_groups"]:
        pairs = members.get(row["id"], [])
        body = {
            "port_pairs": pairs,
            "port_pair_group_parameters": _without_none(parameters.get(row["id"], {})),
            "tap_enabled": bool(row["tap_enabled"]),
        }
        kept = _kept(row) | {"group_id": row["group_id"]}
        yield Item(
            "port_pair_group", _name_and_description(row) | body, kept, _needs(port_pair=pairs)
        )


def _chains(tables: Tables) -> Iterable[Item]:
    links = sorted(tables["sfc_chain_group_associations"], key=lambda row: row["position"] or 0)
    groups_of = _members(links, "portchain_id", "portpairgroup_id")
    classifiers_of = _members(
        tables["sfc_chain_classifier_associations"], "portchain_id", "flowclassifier_id"
    )
    parameters = _parameters(tables["sfc_port_chain_parameters"], "chain_id")
    for row in tables["sfc_port_chains"]:
        groups, classifiers = groups_of.get(row["id"], []), classifiers_of.get(row["id"], [])
        body = {
            "port_pair_groups": groups,
            "flow_classifiers": classifiers,
            "chain_parameters": parameters.get(row["id"], {}),
            "chain_id": row["chain_id"],
        }
        needs = _needs(port_pair_group=groups, flow_classifier=classifiers)
        yield Item("port_chain", _name_and_description(row) | body, _kept(row), needs)


def _graphs(tables: Tables) -> Iterable[Item]:
    branches: dict[str, dict[str, list[str]]] = {}
    for row in tables["sfc_service_graph_chain_associations"]:
        of_graph = branches.setdefault(row["service_graph_id"], {})
        of_graph.setdefault(row["src_chain"], []).append(row["dst_chain"])
    for row in tables["sfc_service_graphs"]:
        chains = branches.get(row["id"], {})
        chain_ids = {chain for source, after in chains.items() for chain in (source, *after)}
        body = _name_and_description(row) | {"port_chains": chains}
        yield Item("service_graph", body, _kept(row), _needs(port_chain=sorted(chain_ids)))


def _name_and_description(row: Row) -> Body:
    return {"name": row["name"] or "", "description": row["description"] or ""}


def _kept(row: Row) -> Body:
    return {"id": row["id"], "project_id": row["project_id"]}


def _needs(**ids: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((kind, needed) for kind, wanted in ids.items() for needed in wanted)


def _members(rows: Iterable[Row], owner: str, member: str) -> dict[str, list[str]]:
    """Return owner -> its members, in the order of the rows."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row[owner] is not None:
            found.setdefault(row[owner], []).append(row[member])
    return found


def _parameters(rows: Iterable[Row], owner: str, load: Any = json.loads) -> dict[str, Body]:
    """Return owner -> its parameters.

    :param load: decodes a stored value; all but the layer 7 parameters are stored as JSON.
    """
    found: dict[str, Body] = {}
    for row in rows:
        found.setdefault(row[owner], {})[row["keyword"]] = load(row["value"])
    return found


def _without_none(parameters: Mapping[str, Any]) -> Body:
    """Leave out empty values: networking-sfc stores every key of a mapping."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in parameters.items()
        if value is not None
    }
