"""Base classes of the extension descriptors: they connect API definitions to Neutron."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from neutron import policy
from neutron.api import api_common
from neutron.api.v2 import resource_helper
from neutron_lib import exceptions as lib
from neutron_lib.api import extensions, faults
from oslo_policy import policy as oslo_policy
from webob import exc

from portchain.api.definitions import MEMBER_READS
from portchain.conf import PLUGIN_TYPE

LONGEST_MESSAGE = 1000
"""Characters of an error message; a longer one loses its middle."""

Extension = extensions.APIExtensionDescriptor
"""An extension that adds attributes to resources, or announces more values of existing ones."""


class ResourceExtension(extensions.APIExtensionDescriptor):
    """An extension that serves resources, whose attributes other extensions may only add to.

    Neutron's extension for standard attributes brings its own ``description``. That one would
    replace ours and accept text that no database can store.
    """

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources with their controllers and quotas."""
        return build_resources(cls.api_definition)

    @classmethod
    def update_attributes_map(
        cls, extended_attributes: Mapping[str, Any], extension_attrs_map: Any = None
    ) -> None:
        """Add the attributes of other extensions; Neutron calls it when all are loaded."""
        for resource, attributes in cls.api_definition.RESOURCE_ATTRIBUTE_MAP.items():
            attributes.update(extended_attributes.get(resource, {}) | attributes)


def build_resources(definition: SimpleNamespace) -> list[Any]:
    """Return the resources of an API definition with Neutron's controllers and quotas."""
    attributes = definition.RESOURCE_ATTRIBUTE_MAP
    actions = {name: dict.fromkeys(MEMBER_READS.get(name, ()), "GET") for name in MEMBER_READS}
    resources: list[Any] = resource_helper.build_resource_info(
        resource_helper.build_plural_mappings({}, attributes),
        attributes,
        PLUGIN_TYPE,
        action_map=actions,
        register_quota=True,
        allow_bulk=True,
    )
    for resource in resources:
        controller = resource.controller.controller
        controller.create = _with_clear_errors(controller.create)
        controller.update = _with_clear_errors(controller.update)
        for action in controller.member_actions:
            setattr(controller, action, _member_reader(controller, action))
        resource.controller.func = _with_decoded_url(resource.controller.func)
    return resources


def _member_reader(controller: Any, action: str) -> Callable[..., Any]:
    """Return the handler of ``GET /COLLECTION/ID/ACTION``.

    Neutron's own handler takes the action's name alone for the name of the policy and of the
    plugin's method. Here, both are ``get_RESOURCE_ACTION``. As there, a resource that the caller
    may not see does not exist for the caller.
    """
    name = f"get_{controller.resource}_{action}"

    def read(request: Any, id: str, **_: Any) -> Any:
        try:
            shown = controller._item(request, id, do_authz=True, field_list=None)
        except (oslo_policy.PolicyNotAuthorized, oslo_policy.InvalidScope) as error:
            raise exc.HTTPNotFound("The resource could not be found.") from error
        policy.enforce(request.context, name, shown, pluralized=f"{controller.resource}s")
        return getattr(controller.plugin, name)(request.context, id)

    return read


def _with_clear_errors(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a controller's method refuse bodies that are no JSON object, and shorten its errors.

    Neutron's controllers answer some such bodies with 500, and repeat a wrong value in full.
    """

    def checked(*arguments: Any, body: Any = None, **rest: Any) -> Any:
        if body is not None and not isinstance(body, dict):
            raise lib.BadRequest(resource="body", msg="it must be a JSON object")
        try:
            return method(*arguments, body=body, **rest)
        except lib.NeutronException as error:
            error.msg = _shorten(error.msg)
            raise
        except exc.HTTPClientError as error:
            error.detail = _shorten(error.detail)
            raise

    return checked


def _with_decoded_url(answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make a controller's WSGI function refuse a path or a query that is not UTF-8.

    Neutron answers 500, for its own resources too, and logs a traceback.
    """

    def checked(request: Any) -> Any:
        try:
            _ = request.path, request.GET
        except UnicodeDecodeError as error:
            refusal = lib.BadRequest(resource="URL", msg="it must be encoded in UTF-8")
            raise api_common.convert_exception_to_http_exc(
                refusal, faults.FAULT_MAP, language=None
            ) from error
        return answer(request)

    return checked


def _shorten(message: str) -> str:
    """Return a message of at most `LONGEST_MESSAGE` characters; a longer one loses its middle."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2 - len(" ... ")
    return f"{message[:half]} ... {message[-half:]}"
