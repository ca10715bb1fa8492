"""Resources with Neutron's own controllers, as our extensions serve them."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib import exceptions as lib
from neutron_lib.api import extensions
from webob import exc

from portchain.conf import PLUGIN_TYPE

LONGEST_MESSAGE = 1000


class Extension(extensions.APIExtensionDescriptor):
    """An extension to whose resources Neutron's own extensions add attributes and change none.

    Neutron's standard attributes bring a description of their own, which would let in text that no
    database stores.
    """

    @classmethod
    def update_attributes_map(
        cls, extended_attributes: Mapping[str, Any], extension_attrs_map: Any = None
    ) -> None:
        """Take over attributes that other extensions add; Neutron calls it when all are loaded."""
        for resource, attributes in cls.api_definition.RESOURCE_ATTRIBUTE_MAP.items():
            attributes.update(extended_attributes.get(resource, {}) | attributes)


def build(definition: SimpleNamespace) -> list[Any]:
    """Return the resources of an API definition with their controllers and quotas."""
    attributes = definition.RESOURCE_ATTRIBUTE_MAP
    built: list[Any] = resource_helper.build_resource_info(
        resource_helper.build_plural_mappings({}, attributes),
        attributes,
        PLUGIN_TYPE,
        register_quota=True,
        allow_bulk=True,
    )
    for resource in built:
        controller = resource.controller.controller
        controller.create = _explained(controller.create)
        controller.update = _explained(controller.update)
    return built


def _explained(method: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a body that is no JSON object, which Neutron's controller may answer with 500, and keep
    what is long in a request out of the refusal.
    """

    def checked(*arguments: Any, body: Any = None, **rest: Any) -> Any:
        if body is not None and not isinstance(body, dict):
            raise lib.BadRequest(resource="body", msg="it must be an object")
        try:
            return method(*arguments, body=body, **rest)
        except lib.NeutronException as error:
            error.msg = _shortened(error.msg)
            raise
        except exc.HTTPClientError as error:
            error.detail = _shortened(error.detail)
            raise

    return checked


def _shortened(message: str) -> str:
    """Return a message without its middle if it is too long to be read."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2 - len(" ... ")
    return f"{message[:half]} ... {message[-half:]}"
