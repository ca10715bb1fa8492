"""Resources with Neutron's own controllers, as our extensions serve them."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib import exceptions as lib
from neutron_lib.api import extensions

from portchain.conf import PLUGIN_TYPE


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
        controller.update = _of_an_object(controller.update)
    return built


def _of_an_object(update: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a body that is a JSON array: Neutron's controller of plugins' resources would answer
    500 to it.
    """

    def checked(request: Any, id: str, body: Any = None, **rest: Any) -> Any:
        if isinstance(body, list):
            raise lib.BadRequest(resource="body", msg="it must be an object, not an array")
        return update(request, id, body=body, **rest)

    return checked
