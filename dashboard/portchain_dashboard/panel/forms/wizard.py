"""The form "send this traffic through these machines", which makes a whole chain."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from horizon import forms, messages

from portchain_dashboard import names, recipe, values
from portchain_dashboard.api import ApiError
from portchain_dashboard.kinds import CHAIN, GROUP
from portchain_dashboard.panel.forms import base, groups, pairs
from portchain_dashboard.panel.forms.classifiers import TrafficFields, traffic
from portchain_dashboard.panel.widgets import OrderedField

_LINES = (
    ("name",),
    ("ethertype", "protocol"),
    ("logical_source_port", "logical_destination_port"),
    ("source_ip_prefix", "destination_ip_prefix"),
    ("source_ports", "destination_ports"),
)
_FORWARDING = (
    ("l3", _("They route")),
    ("l2", _("They bridge: MAC addresses stay")),
)


class WizardForm(TrafficFields, base.PortChainForm):
    """Makes classifier, pairs, groups, chain and, if it is wanted, graph; or nothing at all."""

    name = forms.CharField(label=_("Name of the chain"), max_length=200)
    functions = OrderedField(
        label=_("Machines, in the order of the packets"),
        help_text=_("Each machine with the port that packets enter, and the port they leave."),
    )
    function_kind = base.choice(_("How they forward"), _FORWARDING, initial="l3")
    health_check = base.choice(_("Health check"), groups.HEALTH_CHECKS, initial="none")
    failure_mode = base.choice(_("If a machine fails"), groups.FAILURE_MODES, initial="closed")
    symmetric = base.switch(
        _("Replies, too"), _("They go through the machines in reverse order."), initial=True
    )
    after = base.choice(
        _("Only behind another chain"),
        help_text=_("Packets have to leave that chain first: a service graph links both."),
    )

    def __init__(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.offer_ports(self.own_ports())
        self.fields["functions"].choices = [*self._machines(), *self._groups()]
        self.fields["after"].choices = [base.NONE, *self.resources(CHAIN)]

    def traffic_lines(self) -> list[list[Any]]:
        """Return the fields about packets as lines of the page: both ends side by side."""
        return [[self[name] for name in line] for line in _LINES]

    def machine_fields(self) -> list[Any]:
        """Return the fields about machines, for the page."""
        shown = {name for line in _LINES for name in line}
        return [self[name] for name in self.fields if name not in shown]

    def _machines(self) -> list[names.Choice]:
        project = self.request.user.tenant_id
        return self.offered(lambda: names.machine_choices(self.client.ports(project_id=project)))

    def _groups(self) -> list[names.Choice]:
        return [
            (recipe.group_choice(group_id), _("Group %s") % label)
            for group_id, label in self.resources(GROUP)
        ]

    def handle(self, request: Any, data: Mapping[str, Any]) -> Any:
        """Called by Horizon: make everything; return the chain, or False if a step fails."""
        wish = recipe.Wish(
            name=data["name"],
            traffic=values.without_defaults(traffic(data), {"ethertype": "IPv4"}),
            functions=data["functions"],
            group=values.without_defaults(
                {name: data[name] for name in ("health_check", "failure_mode")},
                groups.GroupForm.defaults,
            ),
            pair=values.without_defaults(
                {"function_kind": data["function_kind"]}, pairs.PairForm.defaults
            ),
            symmetric=data["symmetric"],
            after=data["after"],
        )
        try:
            made = recipe.make(self.client, recipe.plan(wish), ApiError)
        except recipe.RecipeError as error:
            self.api_error(str(error))
            return False
        messages.success(request, _("Created: %s, and all that it needs") % data["name"])
        return made["chain"]
