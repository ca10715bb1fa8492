"""The OpenAPI document of the API, generated from the attribute maps that requests are checked by.

``python -m portchain.api.openapi > docs/openapi.json`` updates the copy in the documentation; a
test fails while the two differ.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from portchain.api import checks, definitions
from portchain.core.counters import DropReason
from portchain.core.model import ChainStatus, OperatingStatus, TracePhase
from portchain.core.operating_status import Reason
from portchain.dataplane.tracing.journey import Outcome
from portchain.dataplane.tracing.live import Sight
from portchain.dataplane.tracing.steps import Decision

Schema = dict[str, Any]

_UUID: Schema = {"type": "string", "format": "uuid"}
_UUIDS: Schema = {"type": "array", "items": _UUID, "uniqueItems": True}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time", "nullable": True}

_OPERATING_STATUS: Schema = {"type": "string", "enum": [str(one) for one in OperatingStatus]}
_OPERATING_REASON: Schema = {
    "type": "object",
    "required": ["code", "text"],
    "properties": {
        "code": {"type": "string", "enum": [str(one) for one in Reason]},
        "text": _TEXT,
    },
}

_STEP: Schema = {
    "type": "object",
    "required": ["decision", "reason"],
    "properties": {
        "decision": {"type": "string", "enum": [str(decision) for decision in Decision]},
        **dict.fromkeys(("reason", "host", "bridge", "to"), _TEXT),
        **{name: {"type": "integer", "nullable": True} for name in ("table", "hop")},
        "path": {"type": "string", "enum": ["", "forward", "reverse"]},
        **dict.fromkeys(("port_chain_id", "flow_classifier_id", "port_pair_id", "port_id"), _TEXT),
        "seen": {"type": "string", "enum": [str(sight) for sight in Sight]},
    },
}
"""A step of a trace; ids are empty where nothing is concerned, or the caller may not see it."""

_UNTYPED: Mapping[str, Schema] = {
    "protocol": {
        "type": "string",
        "nullable": True,
        "description": "Name or number of an IP protocol",
    },
    "group_id": {"type": "integer", "minimum": 1, "maximum": 65535},
    "status": {"type": "string", "enum": [str(status) for status in ChainStatus]},
    "status_reason": _TEXT,
    "operating_status": _OPERATING_STATUS,
    "operating_status_reason": _OPERATING_REASON,
    "port_chains": {"type": "object", "additionalProperties": _UUIDS | {"minItems": 1}},
    "phase": {"type": "string", "enum": [str(phase) for phase in TracePhase]},
    "outcome": {"type": "string", "enum": ["", *map(str, Outcome)]},
    "reason": _TEXT,
    "expires_at": _TIME,
    "steps": {"type": "array", "items": _STEP},
}
"""Schemas of attributes whose map names no type: a converter checks them, or they are read-only."""

_ALWAYS: Mapping[str, Schema] = {
    "project_id": _TEXT,
    "revision_number": {"type": "integer", "minimum": 0},
    "created_at": _TIME,
    "updated_at": _TIME,
}
"""Read-only attributes that Neutron shows on every resource."""

_ID: Schema = {"name": "id", "in": "path", "required": True, "schema": _UUID}


def _object(optional: Mapping[str, Schema] = MappingProxyType({}), **required: Schema) -> Schema:
    """Return the schema of an object that has all of the properties ``required``."""
    properties = {**required, **optional}
    return {"type": "object", "required": list(required), "properties": properties}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_NAMED = {"id": _UUID, "name": _TEXT}
_REASON = {"operating_status_reason": _OPERATING_REASON}
_PAIR_STATUS = _object(
    {**_REASON, "host": _TEXT},
    **_NAMED,
    operating_status=_OPERATING_STATUS,
    weight={"type": "integer", "minimum": 0},
    admin_state_up=_FLAG,
    backup=_FLAG,
)
_GROUP_STATUS = _object(
    {"port_pairs": _array(_PAIR_STATUS)}, **_NAMED, **_REASON, operating_status=_OPERATING_STATUS
)
_NUMBER: Schema = {"type": "integer", "minimum": 0}
_COUNT = {"packets": _NUMBER, "bytes": _NUMBER}
_PAIR_COUNTS = _object(
    **_NAMED,
    packets_in=_NUMBER,
    bytes_in=_NUMBER,
    packets_out=_NUMBER,
    bytes_out=_NUMBER,
    learned_flows=_NUMBER,
)
_PAIR_COUNTS["properties"] = _PAIR_COUNTS["properties"] | {"host": _TEXT}
_SILENT_HOST = _object(reason=_TEXT)
_SILENT_HOST["properties"] = _SILENT_HOST["properties"] | {"host": _TEXT}
_PATH_STATS = _object(
    direction={"type": "string", "enum": ["forward", "reverse"]},
    flow_classifiers=_array(_object(**_NAMED, **_COUNT)),
    hops=_array(_object(port_pair_group=_object(**_NAMED), port_pairs=_array(_PAIR_COUNTS))),
    dropped=_array(
        _object(reason={"type": "string", "enum": [str(reason) for reason in DropReason]}, **_COUNT)
    ),
)

_READ: Mapping[str, Schema] = {
    "statuses": _object(
        **_NAMED,
        project_id=_TEXT,
        status=_UNTYPED["status"],
        **_REASON,
        operating_status=_OPERATING_STATUS,
        port_pair_groups=_array(_GROUP_STATUS),
    ),
    "stats": _object(
        **_NAMED,
        project_id=_TEXT,
        updated_at={"type": "string", "format": "date-time"},
        paths=_array(_PATH_STATS),
        hosts_without_answer=_array(_SILENT_HOST),
    ),
}
"""What the paths below a resource show, see ``definitions.MEMBER_READS``."""

_ERROR: Schema = {
    "type": "object",
    "required": ["NeutronError"],
    "properties": {
        "NeutronError": {
            "type": "object",
            "required": ["type", "message", "detail"],
            "properties": {"type": _TEXT, "message": _TEXT, "detail": _TEXT},
        }
    },
}

_ERRORS = {
    "400": "An attribute is not valid; the message names the attribute and what is allowed",
    "403": "A policy forbids the request",
    "404": "The resource, or one that the request names, does not exist or is not visible",
    "409": "The resource is in use, a member belongs to another resource, or a quota is reached",
    "412": "The revision number of the resource differs from the one in If-Match",
}


def document() -> Schema:
    """Return the OpenAPI document of all resources and extensions."""
    resources = definitions.resources()
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Port chains",
            "description": "Service function chaining for OpenStack Neutron.",
            "version": "2.0",
        },
        "servers": [{"url": "/v2.0"}],
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
            },
            "schemas": {"error": _ERROR}
            | {name: _response(attributes) for name, attributes in resources.items()},
            "responses": {
                code: {"description": text, "content": _json(_reference("schemas", "error"))}
                for code, text in _ERRORS.items()
            }
            # Keystone's middleware sends this one, without Neutron's error object.
            | {"401": {"description": "The token is missing or not valid"}},
        },
        "paths": dict(
            path for name, attributes in resources.items() for path in _paths(name, attributes)
        ),
    }


def _paths(name: str, attributes: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield the path of a resource's collection, and the path of one resource."""
    plural, words = f"{name}s", name.replace("_", " ")
    resource = _reference("schemas", name)
    single = {"type": "object", "required": [name], "properties": {name: resource}}
    items = {"type": "array", "items": resource}
    many = {"type": "object", "required": [plural], "properties": {plural: items}}
    yield (
        f"{definitions.API_PREFIX}/{plural}",
        {
            "get": _operation(f"list_{plural}", f"List {words}s", 200, many),
            "post": _operation(
                f"create_{name}",
                f"Create a {words}",
                201,
                single,
                body=_request(name, attributes, "post"),
                links=_links(name),
            ),
        },
    )
    for read in definitions.MEMBER_READS.get(name, ()):
        shown = {"type": "object", "required": [read], "properties": {read: _READ[read]}}
        yield (
            f"{definitions.API_PREFIX}/{plural}/{{id}}/{read}",
            {
                "parameters": [_ID],
                "get": _operation(
                    f"show_{name}_{read}", f"Show the {read} of a {words}", 200, shown
                ),
            },
        )
    yield (
        f"{definitions.API_PREFIX}/{plural}/{{id}}",
        {
            "parameters": [_ID],
            "get": _operation(f"show_{name}", f"Show a {words}", 200, single),
            "put": _operation(
                f"change_{name}",
                f"Change a {words}",
                200,
                single,
                body=_request(name, attributes, "put"),
            ),
            "delete": _operation(f"delete_{name}", f"Delete a {words}", 204),
        },
    )


def _links(name: str) -> Schema:
    """Return the operations that take the id of a resource that was created."""
    an_id = {"id": f"$response.body#/{name}/id"}
    return {
        verb: {"operationId": f"{verb}_{name}", "parameters": an_id}
        for verb in ("show", "change", "delete")
    }


def _operation(
    operation_id: str,
    summary: str,
    status: int,
    answer: Schema | None = None,
    *,
    body: Schema | None = None,
    links: Schema | None = None,
) -> Schema:
    success: Schema = {"description": summary}
    if answer is not None:
        success["content"] = _json(answer)
    if links is not None:
        success["links"] = links
    errors = {code: _reference("responses", code) for code in sorted({*_ERRORS, "401"})}
    operation: Schema = {
        "operationId": operation_id,
        "summary": summary,
        "responses": {str(status): success} | errors,
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _reference(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _request(name: str, attributes: Mapping[str, Any], method: str) -> Schema:
    """Return the schema of the body of a POST or PUT request."""
    allowed = {key: rules for key, rules in attributes.items() if rules[f"allow_{method}"]}
    needed = [key for key, rules in allowed.items() if method == "post" and "default" not in rules]
    resource: Schema = {
        "type": "object",
        "properties": {key: _schema(key, rules) for key, rules in allowed.items()},
        "additionalProperties": False,
    }
    if needed:
        resource["required"] = needed
    return {"type": "object", "required": [name], "properties": {name: resource}}


def _response(attributes: Mapping[str, Any]) -> Schema:
    """Return the schema of a resource in a response."""
    visible = {key: rules for key, rules in attributes.items() if rules["is_visible"]}
    properties = {key: _schema(key, rules) for key, rules in visible.items()}
    return {"type": "object", "properties": properties | dict(_ALWAYS)}


def _schema(name: str, rules: Mapping[str, Any]) -> Schema:
    """Return the schema of an attribute, or of a key of a dict attribute."""
    validation = rules.get("validate", rules)
    validation = validation.get(checks.VALIDATOR, validation)
    found = [(check, limit) for check, limit in validation.items() if check.startswith("type:")]
    if name in _UNTYPED or not found:
        return dict(_UNTYPED[name])
    ((check, limit),) = found
    if check == "type:dict":
        return {
            "type": "object",
            "properties": {key: _schema(key, inner) for key, inner in limit.items()},
            "additionalProperties": False,
        }
    kind = check.removeprefix("type:")
    schema = _simple(kind.removesuffix("_or_none"), limit)
    return schema | {"nullable": True} if kind.endswith("_or_none") else schema


def _simple(kind: str, limit: Any) -> Schema:
    """Return the schema of a type of Neutron's.

    :raises NotImplementedError: there is no schema for this type yet.
    """
    schema: Schema
    match kind:
        case "uuid":
            schema = _UUID
        case "uuid_list":
            schema = _UUIDS
        case "uuid_list_non_empty":
            schema = _UUIDS | {"minItems": 1}
        case "string" | "name_string":
            schema = _TEXT | {"maxLength": limit}
        case "boolean":
            schema = _FLAG
        case "non_negative":
            schema = {"type": "integer", "minimum": 0}
        case "range" | "seconds":
            number = "integer" if kind == "range" else "number"
            schema = {"type": number, "minimum": limit[0], "maximum": limit[1]}
        case "ip_address":
            schema = _TEXT | {"description": "IP address"}
        case "subnet":
            schema = _TEXT | {"description": "IP prefix in CIDR notation; host bits are cleared"}
        case "list_of_regex":
            schema = {"type": "array", "items": {"type": "string", "pattern": limit}}
        case "values":
            nullable = {"nullable": True} if None in limit else {}
            schema = {"type": "string", "enum": list(limit)} | nullable
        case _:
            raise NotImplementedError(kind)
    return dict(schema)


def main() -> None:
    """Print the document."""
    json.dump(document(), sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
