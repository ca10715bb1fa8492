"""The form of port pair groups."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from horizon import forms

from portchain_dashboard import values
from portchain_dashboard.kinds import GROUP, PAIR
from portchain_dashboard.panel.forms import base
from portchain_dashboard.panel.widgets import OrderedField

HEALTH_CHECKS = (
    ("none", _("None: it works while it is plugged in")),
    ("icmp", _("ICMP through the function")),
    ("l2", _("Frames through the function (it must bridge)")),
    ("ping", _("Ask its ingress port for its address")),
)
FAILURE_MODES = (
    ("closed", _("Drop the packets")),
    ("open", _("Skip the group")),
)
ON_FAILURE = (
    ("rebalance", _("Move to other pairs")),
    ("keep", _("Stay")),
)
_CHECKS = [name for name, _words in HEALTH_CHECKS if name != "none"]
_PARAMETERS = ("delay", "timeout", "max_retries", "max_retries_down", "destination")


def _checked(label: Any) -> dict[str, str]:
    """Return what makes Horizon show a field only if functions are checked."""
    shown = {f"data-health-{name}": str(label) for name in _CHECKS}
    return {"class": "switched", "data-switch-on": "health", **shown}


def _seconds(label: Any, help_text: Any) -> Any:
    return forms.FloatField(
        label=label,
        min_value=0.1,
        max_value=3600,
        required=False,
        help_text=help_text,
        widget=forms.NumberInput(attrs={"step": "any", **_checked(label)}),
    )


def _retries(label: Any, help_text: Any) -> Any:
    widget = forms.NumberInput(attrs=_checked(label))
    return base.number(label, 1, 10, help_text, widget=widget)


class GroupForm(base.ResourceForm):
    """Creates or updates a port pair group."""

    kind = GROUP
    create_only = ("tap_enabled", "lb_fields", "mapping")
    defaults: ClassVar[Mapping[str, Any]] = {
        "health_check": "none",
        "failure_mode": "closed",
        "on_failure": "rebalance",
        "min_healthy": 1,
        "tap_enabled": False,
    }
    intro = _("A port pair group holds interchangeable functions: each flow visits one of them.")

    port_pairs = OrderedField(label=_("Port pairs"), required=False)
    health_check = base.choice(
        _("Health check"),
        HEALTH_CHECKS,
        initial="none",
        widget=forms.Select(attrs={"class": "switchable", "data-slug": "health"}),
    )
    delay = _seconds(_("Seconds between probes"), _("0.1 to 3600; 1 if it is empty."))
    timeout = _seconds(_("Seconds to wait for an answer"), _("Half of the delay if it is empty."))
    max_retries_down = _retries(
        _("Failures until it is out"), _("In a row, 1 to 10; 3 if it is empty.")
    )
    max_retries = _retries(_("Answers until it is back"), _("In a row, 1 to 10; 3 if it is empty."))
    destination = base.text(
        _("Destination of probes"),
        _("For ICMP: one that packets of the chain go to. Empty: the server chooses one."),
        widget=forms.TextInput(attrs=_checked(_("Destination of probes"))),
    )
    failure_mode = base.choice(_("If no function works"), FAILURE_MODES, initial="closed")
    min_healthy = base.number(
        _("Fewest healthy functions"), 1, 65535, _("With fewer, none counts as working."), initial=1
    )
    on_failure = base.choice(_("Flows of a failed function"), ON_FAILURE, initial="rebalance")
    tap_enabled = base.switch(_("Tap"), _("The function gets copies of packets and returns none."))
    lb_fields = base.text(
        _("Balance by"), _("Packet fields such as ip_src, tcp_dst. Empty: addresses and ports.")
    )
    mapping = forms.CharField(
        label=_("Header changes"),
        help_text=_("JSON: what the functions rewrite, as ingress_n_tuple and egress_n_tuple."),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def prepare(self) -> None:
        """Fill the lists of the form."""
        self.fields["port_pairs"].choices = self.resources(PAIR)

    def initial_of(self, resource: Any) -> dict[str, Any]:
        """Return what the fields show of a group."""
        parameters = resource.get("health_check_parameters") or {}
        return super().initial_of(resource) | {name: parameters.get(name) for name in _PARAMETERS}

    def clean_mapping(self) -> dict[str, Any]:
        """Read the JSON object."""
        return dict(self.cleaned_by("mapping", values.parse_object))

    def attributes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a request."""
        found = dict(data)
        checks = {name: found.pop(name) for name in _PARAMETERS}
        given = {name: value for name, value in checks.items() if value not in (None, "")}
        if self.resource and checks["destination"] == "":
            given["destination"] = None
        parameters: dict[str, Any] = {}
        if fields := values.parse_words(found.pop("lb_fields", "")):
            parameters["lb_fields"] = fields
        if mapping := found.pop("mapping", {}):
            parameters["ppg_n_tuple_mapping"] = mapping
        found["health_check_parameters"] = given
        if not self.resource:
            found["port_pair_group_parameters"] = parameters
        return found
