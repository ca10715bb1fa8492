"""The API as an OpenAPI document, made from the attribute maps that Neutron checks requests by.

``python -m portchain.api.openapi`` prints it; ``docs/openapi.json`` is kept like it by a test.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from portchain.api import checks, definitions
from portchain.core.model import ChainStatus

Schema = dict[str, Any]

_EXTENSIONS = (
    definitions.FLOW_CLASSIFIER,
    definitions.SFC,
    definitions.SERVICE_GRAPH,
    definitions.TAP,
    definitions.SHARING,
    definitions.PORT_CHAIN_STATUS,
    definitions.PORT_PAIR_FUNCTION_KIND,
)
_UUID: Schema = {"type": "string", "format": "uuid"}
_UUIDS: Schema = {"type": "array", "items": _UUID, "uniqueItems": True}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time", "nullable": True}

_UNTYPED: Mapping[str, Schema] = {
    "protocol": {
        "type": "string",
        "nullable": True,
        "description": "Name of an IP protocol, or its number",
    },
    "group_id": {"type": "integer", "minimum": 1, "maximum": 65535},
    "status": {"type": "string", "enum": [str(status) for status in ChainStatus]},
    "status_reason": _TEXT,
    "port_chains": {"type": "object", "additionalProperties": _UUIDS | {"minItems": 1}},
}
"""What attributes are whose map names no type: their converters check them, or nobody can send them."""

_ALWAYS: Mapping[str, Schema] = {
    "project_id": _TEXT,
    "revision_number": {"type": "integer", "minimum": 0},
    "created_at": _TIME,
    "updated_at": _TIME,
}
"""What Neutron itself shows of every resource."""

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


_REFUSALS = {
    "400": "An attribute breaks a rule; the message names both",
    "403": "The policy forbids it",
    "404": "It, or something that the request names, does not exist or is not visible",
    "409": "It is in use, something is taken, or the quota is reached",
    "412": "The resource has another revision number than If-Match demands",
}


def document() -> Schema:
    """Return the OpenAPI document of all resources and extensions."""
    resources = _resources()
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
            | {name[:-1]: _shown(attributes) for name, attributes in resources.items()},
            "responses": {
                code: {"description": text, "content": _json(_reference("schemas", "error"))}
                for code, text in _REFUSALS.items()
            }
            # Keystone's middleware answers before Neutron does, in a form of its own.
            | {"401": {"description": "No valid token"}},
        },
        "paths": dict(
            path for name, attributes in resources.items() for path in _paths(name, attributes)
        ),
    }


def _resources() -> dict[str, dict[str, Any]]:
    """Return the attributes of each resource in all extensions, by its plural."""
    found: dict[str, dict[str, Any]] = {}
    for extension in _EXTENSIONS:
        for name, attributes in extension.RESOURCE_ATTRIBUTE_MAP.items():
            found.setdefault(name, {}).update(attributes)
    for attributes in found.values():
        # Neutron adds its own to the maps when it loads its extensions.
        for name in ("tenant_id", *_ALWAYS):
            attributes.pop(name, None)
    return found


def _paths(plural: str, attributes: Mapping[str, Any]) -> Iterator[tuple[str, Schema]]:
    """Yield the two paths of a resource."""
    name, words = plural[:-1], plural[:-1].replace("_", " ")
    shown = _reference("schemas", name)
    one = {"type": "object", "required": [name], "properties": {name: shown}}
    several = {"type": "array", "items": shown}
    many = {"type": "object", "required": [plural], "properties": {plural: several}}
    yield (
        f"{definitions.API_PREFIX}/{plural}",
        {
            "get": _operation(f"list_{plural}", f"List {words}s", 200, many),
            "post": _operation(
                f"create_{name}",
                f"Create a {words}",
                201,
                one,
                body=_sent(name, attributes, "post"),
                links=_links(name),
            ),
        },
    )
    an_id = {"name": "id", "in": "path", "required": True, "schema": _UUID}
    yield (
        f"{definitions.API_PREFIX}/{plural}/{{id}}",
        {
            "parameters": [an_id],
            "get": _operation(f"show_{name}", f"Show a {words}", 200, one),
            "put": _operation(
                f"change_{name}",
                f"Change a {words}",
                200,
                one,
                body=_sent(name, attributes, "put"),
            ),
            "delete": _operation(f"delete_{name}", f"Delete a {words}", 204),
        },
    )


def _links(name: str) -> Schema:
    """Return what can be done next with what was created."""
    an_id = {"id": f"$response.body#/{name}/id"}
    return {
        verb: {"operationId": f"{verb}_{name}", "parameters": an_id}
        for verb in ("show", "change", "delete")
    }


def _operation(
    an_id: str,
    summary: str,
    status: int,
    answer: Schema | None = None,
    *,
    body: Schema | None = None,
    links: Schema | None = None,
) -> Schema:
    done: Schema = {"description": summary}
    if answer is not None:
        done["content"] = _json(answer)
    if links is not None:
        done["links"] = links
    refusals = {code: _reference("responses", code) for code in sorted({*_REFUSALS, "401"})}
    operation: Schema = {
        "operationId": an_id,
        "summary": summary,
        "responses": {str(status): done} | refusals,
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _reference(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _sent(name: str, attributes: Mapping[str, Any], method: str) -> Schema:
    """Return the schema of a request's body."""
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


def _shown(attributes: Mapping[str, Any]) -> Schema:
    """Return the schema of what the API shows."""
    visible = {key: rules for key, rules in attributes.items() if rules["is_visible"]}
    properties = {key: _schema(key, rules) for key, rules in visible.items()}
    return {"type": "object", "properties": properties | dict(_ALWAYS)}


def _schema(name: str, rules: Mapping[str, Any]) -> Schema:
    """Return the schema of an attribute, or of a key of one."""
    demands = rules.get("validate", rules)
    demands = demands.get(checks.DESCRIBED, demands)
    found = [(check, limit) for check, limit in demands.items() if check.startswith("type:")]
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
    """Return the schema of what Neutron calls a type."""
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
        case "range":
            schema = {"type": "integer", "minimum": limit[0], "maximum": limit[1]}
        case "subnet":
            schema = _TEXT | {"description": "A prefix in CIDR notation without host bits"}
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
