"""The form that asks what happens to a packet."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _
from horizon import forms

from portchain_dashboard.kinds import TRACE
from portchain_dashboard.panel.forms import base

_PORT_HINT = _("With ICMP: the type here, the code there.")


class TraceForm(base.ResourceForm):
    """Creates a trace, or changes its name."""

    kind = TRACE
    create_only = (
        *("port_id", "destination_ip_address", "source_ip_address", "protocol"),
        *("source_port", "destination_port", "established"),
    )
    intro = _(
        "A trace asks all hosts what would happen to a packet, step by step. It sends none. The "
        "answer takes some seconds."
    )

    port_id = base.choice(_("Sent by the port"), required=True)
    destination_ip_address = forms.CharField(label=_("Destination address"), max_length=64)
    source_ip_address = base.text(_("Source address"), _("The port's first one if it is empty."))
    protocol = base.text(_("Protocol"), _("Name or number; icmp if it is empty."))
    source_port = base.number(_("Source TCP/UDP port"), 0, 65535, _PORT_HINT)
    destination_port = base.number(_("Destination TCP/UDP port"), 0, 65535, _PORT_HINT)
    established = base.switch(
        _("Of an open connection"), _("Not the first packet of its connection.")
    )

    def prepare(self) -> None:
        """Fill the lists of the form."""
        if not self.resource:
            self.fields["port_id"].choices = [("", _("Choose a port")), *self.own_ports()]


def packet_of(classifier: Mapping[str, Any]) -> dict[str, Any]:
    """Return the packet to trace first for a classifier: one that it matches, as far as it says."""
    found = {
        "port_id": classifier.get("logical_source_port"),
        "protocol": classifier.get("protocol"),
        "source_port": classifier.get("source_port_range_min"),
        "destination_port": classifier.get("destination_port_range_min"),
    }
    for side in ("source", "destination"):
        address, _slash, length = (classifier.get(f"{side}_ip_prefix") or "").partition("/")
        if length in ("32", "128"):
            found[f"{side}_ip_address"] = address
    return {name: value for name, value in found.items() if value is not None}
