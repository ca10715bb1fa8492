"""The tabs of the panel's first page: a list each."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from horizon import messages, tabs

from portchain_dashboard import listing
from portchain_dashboard.api import ApiError, Client
from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GRAPH, GROUP, PAIR, TRACE, Kind
from portchain_dashboard.panel import tables


class _ListTab(tabs.TableTab):
    template_name = "horizon/common/_detail_table.html"
    preload = False
    kind: Kind

    def _read(self) -> list[Any]:
        project = self.request.user.tenant_id
        try:
            shown = listing.of_project(Client(self.request), self.kind, project)
        except ApiError as error:
            messages.error(self.request, str(error))
            return []
        return [tables.row(one) for one in shown]


def _tab(kind: Kind, title: Any) -> Any:
    """Return the tab with the list of a kind."""
    table: Any = tables.TABLES[kind]
    members = {
        "kind": kind,
        "name": title,
        "slug": f"{kind.slug}s",
        "table_classes": (table,),
        f"get_{table._meta.name}_data": _ListTab._read,
    }
    return type(f"{kind.slug.title()}sTab", (_ListTab,), members)


class PanelTabs(tabs.TabGroup):
    """All lists."""

    slug = "port_chains"
    tabs = (
        _tab(CHAIN, _("Chains")),
        _tab(GROUP, _("Groups")),
        _tab(PAIR, _("Pairs")),
        _tab(CLASSIFIER, _("Classifiers")),
        _tab(GRAPH, _("Graphs")),
        _tab(TRACE, _("Traces")),
    )
    sticky = True
