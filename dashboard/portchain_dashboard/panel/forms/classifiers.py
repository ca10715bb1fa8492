"""The form of flow classifiers, and the fields that say which packets are meant."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from horizon import forms

from portchain_dashboard import values
from portchain_dashboard.kinds import CLASSIFIER
from portchain_dashboard.panel.forms import base

ETHERTYPES = (("IPv4", "IPv4"), ("IPv6", "IPv6"))
PORTS_HINT = _("One or a range, such as 80 or 8000-8080. ICMP: type, code.")
PREFIX_HINT = _("Addresses in CIDR notation, such as 10.0.0.0/24. Empty for any.")


class TrafficFields(forms.Form):
    """Which packets are meant."""

    ethertype = base.choice(_("Ethertype"), ETHERTYPES, initial="IPv4")
    protocol = base.text(_("Protocol"), _("Name or number, such as tcp, udp or icmp."))
    logical_source_port = base.choice(_("Sent by the machine at"), help_text=_("A Neutron port."))
    source_ip_prefix = base.text(_("Source addresses"), PREFIX_HINT)
    source_ports = base.text(_("Source ports"), PORTS_HINT)
    logical_destination_port = base.choice(_("For the machine at"), help_text=_("A Neutron port."))
    destination_ip_prefix = base.text(_("Destination addresses"), PREFIX_HINT)
    destination_ports = base.text(_("Destination ports"), PORTS_HINT)

    cleaned_by: Any

    def clean_source_ports(self) -> str:
        """Check the range."""
        self.cleaned_by("source_ports", values.parse_range)
        return str(self.cleaned_data["source_ports"])

    def clean_destination_ports(self) -> str:
        """Check the range."""
        self.cleaned_by("destination_ports", values.parse_range)
        return str(self.cleaned_data["destination_ports"])

    def offer_ports(self, ports: list[Any]) -> None:
        """Offer these ports as ends of the traffic."""
        for field in ("logical_source_port", "logical_destination_port"):
            self.fields[field].choices = [base.NONE, *ports]


def traffic(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a classifier for the fields of `TrafficFields`."""
    plain = (
        *("ethertype", "protocol", "logical_source_port", "logical_destination_port"),
        *("source_ip_prefix", "destination_ip_prefix"),
    )
    return {name: data.get(name) for name in plain} | values.classifier_ranges(data)


class ClassifierForm(TrafficFields, base.ResourceForm):
    """Creates a flow classifier, or changes its name."""

    kind = CLASSIFIER
    create_only = tuple(TrafficFields.base_fields)
    defaults: ClassVar[Mapping[str, Any]] = {"ethertype": "IPv4"}
    intro = _(
        "A flow classifier says which packets enter a chain. What is left empty matches everything."
    )
    field_order = ("name", "description")

    def prepare(self) -> None:
        """Fill the lists of the form."""
        if not self.resource:
            self.offer_ports(self.own_ports())

    def attributes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a request."""
        named = {name: data[name] for name in ("name", "description")}
        return named if self.resource else named | traffic(data)
