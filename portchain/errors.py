"""The server side's exceptions, each on a base of neutron-lib that gives it its HTTP status."""

import re

from neutron_lib import exceptions as lib

from portchain.core.rules import Kind, Violation


class InvalidInput(lib.BadRequest):
    """400: an attribute breaks a rule."""

    message = "Invalid input for %(attribute)s. Reason: %(rule)s."


class NotSupported(lib.BadRequest):
    """400: a driver that is loaded cannot do what an attribute asks for."""

    message = "Invalid input for %(attribute)s. Reason: %(rule)s."


class RuleConflict(lib.Conflict):
    """409: an attribute names something that another resource has taken."""

    message = "Unable to complete the request for %(attribute)s. Reason: %(rule)s."


class PortNotFound(lib.PortNotFound):
    """404: the message of Neutron's, with the attribute that names the port."""

    message = "Port %(port_id)s, which %(attribute)s names, could not be found."


class _NotFound(lib.NotFound):
    """404.

    :param id: what does not exist, or must not be seen.
    :param attribute: the attribute that names it; empty if the request's address does.
    """

    kind = ""
    message = "%(kind)s %(id)s could not be found."

    def __init__(self, id: str, attribute: str = "") -> None:
        named = f", which {attribute} names," if attribute else ""
        super().__init__(kind=self.kind, id=f"{id}{named}")


class FlowClassifierNotFound(_NotFound):
    """404."""

    kind = "Flow classifier"


class PortPairNotFound(_NotFound):
    """404."""

    kind = "Port pair"


class PortPairGroupNotFound(_NotFound):
    """404."""

    kind = "Port pair group"


class PortChainNotFound(_NotFound):
    """404."""

    kind = "Port chain"


class ServiceGraphNotFound(_NotFound):
    """404."""

    kind = "Service graph"


class ResourceInUse(lib.InUse):
    """409: a resource cannot go while another one needs it."""

    message = "%(resource)s %(id)s is in use by %(user)s."


class PortInUse(lib.InUse):
    """409: a Neutron port cannot go while a pair or a classifier names it."""

    message = "Port %(id)s is in use by %(user)s."


class NoFreeId(lib.Conflict):
    """409: every number of the range is taken."""

    message = "No %(attribute)s is free: all of %(first)d-%(last)d are taken."


class ChangedMeanwhile(lib.Conflict):
    """409: something the request names was deleted, or taken into use, while it ran."""

    message = (
        "A resource that the request names was changed by another request at the same time. "
        "Look again and repeat."
    )


class NotStorable(lib.BadRequest):
    """400: the database's character set or ranges are narrower than the API's."""

    message = "Invalid input for %(attribute)s. Reason: the database cannot store its value."


class DriverNotLoaded(lib.NeutronException):
    """A configured driver cannot be loaded; the service plugin does not start."""

    message = "[port_chain] drivers: cannot load '%(name)s': %(reason)s. Available: %(available)s."


_BY_KIND: dict[Kind, type[lib.NeutronException]] = {
    Kind.INVALID: InvalidInput,
    Kind.UNSUPPORTED: NotSupported,
    Kind.CONFLICT: RuleConflict,
}


def from_violation(violation: Violation) -> lib.NeutronException:
    """Return the API's exception for a broken rule."""
    return _BY_KIND[violation.kind](attribute=violation.attribute, rule=violation.rule)


def from_data_error(error: Exception) -> NotStorable:
    """Return the API's exception for a value the database refuses; its message ends with the
    column.
    """
    column = re.search(r"for column .*?(\w+)[`'\"]? at row", str(error))
    return NotStorable(attribute=column.group(1) if column else "an attribute")
