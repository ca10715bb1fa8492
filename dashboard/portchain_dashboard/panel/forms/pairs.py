"""The form of port pairs."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from portchain_dashboard.kinds import PAIR
from portchain_dashboard.panel.forms import base

FUNCTION_KINDS = (
    ("l3", _("It routes")),
    ("l2", _("It bridges: MAC addresses stay")),
)
CORRELATIONS = (
    ("", _("None")),
    ("mpls", "MPLS"),
    ("nsh", "NSH"),
    ("vlan", _("None, but it keeps VLAN tags")),
)


class PairForm(base.ResourceForm):
    """Creates or updates a port pair."""

    kind = PAIR
    create_only = ("ingress", "egress", "function_kind", "correlation")
    defaults: ClassVar[Mapping[str, Any]] = {
        "function_kind": "l3",
        "admin_state_up": True,
        "backup": False,
    }
    intro = _(
        "A port pair is a service function: the ports at which a machine takes packets and returns "
        "them. Both can be the same port."
    )

    ingress = base.choice(_("Packets enter at"), required=True)
    egress = base.choice(_("Packets leave at"), required=True)
    function_kind = base.choice(_("Function"), FUNCTION_KINDS, initial="l3")
    correlation = base.choice(
        _("Header it understands"), CORRELATIONS, _("Of the chain; most functions know none.")
    )
    weight = base.number(
        _("Weight"), 0, 65535, _("Its share of new flows. 0 drains it."), initial=1
    )
    admin_state_up = base.switch(_("Administratively up"), initial=True)
    backup = base.switch(_("Backup"), _("It gets flows only while no other one of its group does."))

    def prepare(self) -> None:
        """Fill the lists of the form."""
        if not self.resource:
            ports = [("", _("Choose a port")), *self.own_ports()]
            self.fields["ingress"].choices = self.fields["egress"].choices = ports

    def initial_of(self, resource: Any) -> dict[str, Any]:
        """Return what the fields show of a pair."""
        parameters = resource.get("service_function_parameters") or {}
        return super().initial_of(resource) | {"weight": parameters.get("weight", 1)}

    def attributes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a request."""
        found = dict(data)
        weight, correlation = found.pop("weight"), found.pop("correlation", "")
        parameters = {}
        if weight is not None and (self.resource or weight != 1):
            parameters["weight"] = weight
        if correlation:
            parameters["correlation"] = correlation
        return found | {"service_function_parameters": parameters}
