"""The form of port chains."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GROUP
from portchain_dashboard.panel.forms import base
from portchain_dashboard.panel.widgets import OrderedField

_CORRELATIONS = (("mpls", "MPLS"), ("nsh", "NSH"))


class ChainForm(base.ResourceForm):
    """Creates or updates a port chain."""

    kind = CHAIN
    create_only = ("correlation", "symmetric", "chain_id")
    intro = _(
        "A port chain sends the packets of its flow classifiers through its groups, in their order."
    )

    port_pair_groups = OrderedField(label=_("Port pair groups"))
    flow_classifiers = OrderedField(label=_("Flow classifiers"), required=False)
    symmetric = base.switch(_("Symmetric"), _("Replies visit the functions in reverse order."))
    correlation = base.choice(_("Header inside the chain"), _CORRELATIONS, initial="mpls")
    chain_id = base.number(
        _("Path identifier"), 1, 65535, _("Unique in the deployment. Empty: the server chooses.")
    )

    def prepare(self) -> None:
        """Fill the lists of the form."""
        self.fields["port_pair_groups"].choices = self.resources(GROUP)
        self.fields["flow_classifiers"].choices = self.resources(CLASSIFIER)

    def attributes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a request."""
        found = dict(data)
        if self.resource:
            return found
        parameters: dict[str, Any] = {}
        if found.pop("symmetric"):
            parameters["symmetric"] = True
        if (correlation := found.pop("correlation")) != "mpls":
            parameters["correlation"] = correlation
        return found | {"chain_parameters": parameters}
