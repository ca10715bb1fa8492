"""The exceptions of the server, each derived from the neutron-lib class with its HTTP status."""

import re

from neutron_lib import exceptions as lib

from portchain.core.rules import Kind, Violation


class InvalidInput(lib.BadRequest):
    """400: the value of an attribute breaks a rule."""

    message = "Invalid input for %(attribute)s. Reason: %(rule)s."


class NotSupported(lib.BadRequest):
    """400: no configured driver supports the value of an attribute."""

    message = "Invalid input for %(attribute)s. Reason: %(rule)s."


class RuleConflict(lib.Conflict):
    """409: an attribute names something that another resource uses already."""

    message = "Unable to complete the request for %(attribute)s. Reason: %(rule)s."


class PortNotFound(lib.PortNotFound):
    """404: as Neutron's exception, and the message names the attribute that names the port."""

    message = "Port %(port_id)s, which %(attribute)s names, could not be found."


class _NotFound(lib.NotFound):
    """404: a resource does not exist, or the caller may not see it.

    :param id: the resource's id.
    :param attribute: the attribute that names it; empty if the URL of the request does.
    """

    kind = ""
    message = "%(kind)s %(id)s could not be found."

    def __init__(self, id: str, attribute: str = "") -> None:
        named = f", which {attribute} names," if attribute else ""
        super().__init__(kind=self.kind, id=f"{id}{named}")


class FlowClassifierNotFound(_NotFound):
    """404: a flow classifier does not exist, or the caller may not see it."""

    kind = "Flow classifier"


class PortPairNotFound(_NotFound):
    """404: a port pair does not exist, or the caller may not see it."""

    kind = "Port pair"


class PortPairGroupNotFound(_NotFound):
    """404: a port pair group does not exist, or the caller may not see it."""

    kind = "Port pair group"


class PortChainNotFound(_NotFound):
    """404: a port chain does not exist, or the caller may not see it."""

    kind = "Port chain"


class ServiceGraphNotFound(_NotFound):
    """404: a service graph does not exist, or the caller may not see it."""

    kind = "Service graph"


class ResourceInUse(lib.InUse):
    """409: a resource cannot be deleted while another one uses it."""

    message = "%(resource)s %(id)s is in use by %(user)s. Remove it from there first."


class PortInUse(lib.InUse):
    """409: a Neutron port cannot be deleted while a pair or a classifier names it."""

    message = "Port %(id)s is in use by %(user)s. Delete that first."


class NoFreeId(lib.Conflict):
    """409: every number of a range is taken."""

    message = (
        "No %(attribute)s is free: all from %(first)d to %(last)d are taken. Delete resources that "
        "are not needed any more."
    )


class TraceNotFound(_NotFound):
    """404: a trace does not exist, has expired, or the caller may not see it."""

    kind = "Trace"


class ChangedMeanwhile(lib.Conflict):
    """409: another request deleted or used something that this request names, while it ran."""

    message = (
        "Another request changed a resource that this request names, at the same time. "
        "Look at the resource and repeat the request."
    )


class NotStorable(lib.BadRequest):
    """400: the API allows a value that the database's character set or ranges do not."""

    message = (
        "Invalid input for %(attribute)s. Reason: the database cannot store the value; "
        "use other characters or a smaller value."
    )


class DriverNotLoaded(lib.NeutronException):
    """A configured driver cannot be loaded, and so the service plugin does not start."""

    message = "[port_chain] drivers: cannot load '%(name)s': %(reason)s. Available: %(available)s."


_BY_KIND: dict[Kind, type[lib.NeutronException]] = {
    Kind.INVALID: InvalidInput,
    Kind.UNSUPPORTED: NotSupported,
    Kind.CONFLICT: RuleConflict,
}


def from_violation(violation: Violation) -> lib.NeutronException:
    """Return the API's exception for a violation of a rule."""
    return _BY_KIND[violation.kind](attribute=violation.attribute, rule=violation.rule)


def from_data_error(error: Exception) -> NotStorable:
    """Return the API's exception for a value that the database refuses.

    :param error: the database's error, whose message names the column.
    """
    column = re.search(r"for column .*?(\w+)[`'\"]? at row", str(error))
    return NotStorable(attribute=column.group(1) if column else "an attribute")
