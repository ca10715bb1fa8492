"""Converts rows to the model and to what the API shows. Runs no queries."""

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from portchain.api.converters import from_protocol
from portchain.core import model, rules
from portchain.db import models, plain_attributes, status

# Rows -> model


def classifier(row: Any) -> model.FlowClassifier:
    """Return a classifier in the model.

    :param row: a row, or anything with the same attributes.
    """
    return model.FlowClassifier(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        ethertype=row.ethertype,
        protocol=row.protocol,
        source_ports=rules.port_range(row.source_port_range_min, row.source_port_range_max),
        destination_ports=rules.port_range(
            row.destination_port_range_min, row.destination_port_range_max
        ),
        source_prefix=row.source_ip_prefix,
        destination_prefix=row.destination_ip_prefix,
        logical_source_port=row.logical_source_port,
        logical_destination_port=row.logical_destination_port,
        l7_parameters=dict(row.l7_parameters),
    )


def pair(row: models.PortPair) -> model.PortPair:
    """Return a pair in the model."""
    return model.PortPair(
        id=row.id,
        project_id=row.project_id,
        ingress=row.ingress,
        egress=row.egress,
        name=row.name,
        correlation=row.correlation,
        weight=row.weight,
        kind=model.FunctionKind(row.kind),
        admin_state_up=row.admin_state_up,
        backup=row.backup,
    )


def group(
    row: models.PortPairGroup, pairs: Sequence[model.PortPair], *, shared: bool
) -> model.PortPairGroup:
    """Return a group in the model.

    :param pairs: the group's members, in order.
    :param shared: whether an RBAC policy shares it.
    """
    return model.PortPairGroup(
        id=row.id,
        project_id=row.project_id,
        group_id=row.group_id,
        port_pairs=tuple(pairs),
        name=row.name,
        lb_fields=tuple(row.lb_fields),
        ingress_n_tuple=dict(row.ingress_n_tuple),
        egress_n_tuple=dict(row.egress_n_tuple),
        tap_enabled=row.tap_enabled,
        health_check=model.HealthCheck(row.health_check),
        failure_mode=model.FailureMode(row.failure_mode),
        shared=shared,
        health=health_parameters(row),
        min_healthy=row.min_healthy,
        on_failure=model.OnFailure(row.on_failure),
    )


def health_parameters(row: models.PortPairGroup) -> model.HealthCheckParameters:
    """Return the parameters of a group's health check."""
    return model.HealthCheckParameters(**(row.health_check_parameters or {}))


def chain(
    row: models.PortChain,
    groups: Iterable[model.PortPairGroup],
    classifiers: Iterable[model.FlowClassifier],
) -> model.PortChain:
    """Return a chain in the model.

    :param groups: the chain's groups, in order.
    :param classifiers: its classifiers, in order.
    """
    return model.PortChain(
        id=row.id,
        project_id=row.project_id,
        chain_id=row.chain_id,
        # A withdrawn group is no longer among the links. Without an empty group in its place, the
        # chain's packets would bypass it.
        port_pair_groups=(
            *((model.WITHDRAWN_GROUP,) if row.group_withdrawn else ()),
            *groups,
        ),
        flow_classifiers=tuple(classifiers),
        name=row.name,
        correlation=row.correlation,
        symmetric=row.symmetric,
        revision=row.revision,
        generation=row.generation,
        # Neutron numbers the standard attributes of its resources in the order of creation.
        serial=row.standard_attr_id,
    )


def branches(row: models.ServiceGraph) -> dict[str, tuple[str, ...]]:
    """Return the branches of a graph: source chain -> the chains that follow it."""
    found: dict[str, tuple[str, ...]] = {}
    for branch in row.branches:
        found[branch.source_id] = (*found.get(branch.source_id, ()), branch.destination_id)
    return found


# Rows -> API


def _common(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "name": row.name,
        "description": row.description or "",
        "revision_number": row.revision_number,
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at),
    }


def _time(moment: datetime.datetime | None) -> str | None:
    """Return a time (UTC) in the API's format, None if it was not recorded.

    Rows from before the resources had standard attributes have no times.
    """
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def show_flow_classifier(row: models.FlowClassifier) -> dict[str, Any]:
    """Return what the API shows of a flow classifier."""
    return {
        **_common(row),
        **plain_attributes.FLOW_CLASSIFIER.of_row(row),
        "protocol": from_protocol(row.protocol),
        "l7_parameters": row.l7_parameters,
    }


def show_port_pair(row: models.PortPair) -> dict[str, Any]:
    """Return what the API shows of a port pair."""
    return {
        **_common(row),
        **plain_attributes.PORT_PAIR.of_row(row),
        "service_function_parameters": {"correlation": row.correlation, "weight": row.weight},
        "function_kind": row.kind,
    }


def show_port_pair_group(row: models.PortPairGroup) -> dict[str, Any]:
    """Return what the API shows of a port pair group."""
    return {
        **_common(row),
        **plain_attributes.PORT_PAIR_GROUP.of_row(row),
        "health_check_parameters": _show_health(health_parameters(row)),
        "group_id": row.group_id,
        "port_pairs": [member.pair_id for member in row.members],
        "port_pair_group_parameters": {
            "lb_fields": list(row.lb_fields),
            "ppg_n_tuple_mapping": {
                "ingress_n_tuple": dict(row.ingress_n_tuple),
                "egress_n_tuple": dict(row.egress_n_tuple),
            },
        },
    }


def _show_health(parameters: model.HealthCheckParameters) -> dict[str, Any]:
    return {**asdict(parameters), "destination": parameters.destination or None}


def show_port_chain(row: models.PortChain) -> dict[str, Any]:
    """Return what the API shows of a port chain."""
    groups = [link.group_id for link in row.groups]
    return _show_chain(row, groups, [link.classifier_id for link in row.classifiers])


def show_new_port_chain(row: models.PortChain, chain: model.PortChain) -> dict[str, Any]:
    """Return the same without reading the links to groups and classifiers.

    :param chain: the chain of the row.
    """
    groups = [group.id for group in chain.port_pair_groups]
    return _show_chain(row, groups, [fc.id for fc in chain.flow_classifiers])


def _show_chain(
    row: models.PortChain, groups: Sequence[str], classifiers: Sequence[str]
) -> dict[str, Any]:
    state, reason = status.derive(status.facts(row))
    return _common(row) | {
        "chain_id": row.chain_id,
        "port_pair_groups": groups,
        "flow_classifiers": classifiers,
        "chain_parameters": {"correlation": row.correlation, "symmetric": row.symmetric},
        "status": str(state),
        "status_reason": reason,
    }


def show_service_graph(row: models.ServiceGraph) -> dict[str, Any]:
    """Return what the API shows of a service graph."""
    return _common(row) | {
        "port_chains": {source: list(after) for source, after in branches(row).items()}
    }


def show_trace(row: models.Trace) -> dict[str, Any]:
    """Return what the API shows of a trace."""
    return {
        **_common(row),
        **plain_attributes.TRACE.of_row(row),
        "protocol": from_protocol(row.protocol),
        "phase": row.phase,
        "outcome": row.outcome,
        "reason": row.reason,
        "steps": row.steps,
        "expires_at": _time(row.expires_at),
    }
