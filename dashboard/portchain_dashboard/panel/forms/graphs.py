"""The form of service graphs."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from portchain_dashboard import values
from portchain_dashboard.kinds import CHAIN, GRAPH
from portchain_dashboard.panel.forms import base
from portchain_dashboard.panel.widgets import EdgesField


class GraphForm(base.ResourceForm):
    """Creates a service graph, or changes its name."""

    kind = GRAPH
    create_only = ("port_chains",)
    intro = _(
        "A service graph links chains: packets that have passed the functions of one are "
        "classified again for those that follow it."
    )

    port_chains = EdgesField(label=_("Which chains follow which"))

    def prepare(self) -> None:
        """Fill the lists of the form."""
        if not self.resource:
            self.fields["port_chains"].set_choices(self.resources(CHAIN))

    def initial_of(self, resource: Any) -> dict[str, Any]:
        """Return what the fields show of a graph."""
        shown = super().initial_of(resource)
        return shown | {"port_chains": values.edges_of(resource["port_chains"])}
