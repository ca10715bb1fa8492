"""The lists of the panel."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from horizon import exceptions, messages, tables
from openstack_dashboard.api import base

from portchain_dashboard import listing, names
from portchain_dashboard.api import ApiError, Client
from portchain_dashboard.drawing.colours import colour_of
from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GRAPH, GROUP, PAIR, TRACE, Kind

PAGE = "horizon:project:port_chains:"


def address(kind: Kind, page: str, *arguments: str) -> str:
    """Return the address of a page about a kind of resources."""
    return str(reverse(f"{PAGE}{page}", args=(kind.slug, *arguments)))


def row(shown: Any) -> Any:
    """Return a resource as Horizon's tables want it: with attributes."""
    return base.APIDictWrapper(dict(shown) | {"label": names.name_of(shown)})


def status_text(status: str, reason: str = "") -> Any:
    """Return a status in its colour, with its reason below."""
    if not status:
        return "-"
    shown = format_html(
        '<span class="portchain-status"><span class="portchain-dot" style="background:{}"></span>'
        "{}</span>",
        colour_of(status),
        status,
    )
    below = format_html('<small class="portchain-reason">{}</small>', reason) if reason else ""
    return format_html("{}{}", shown, below)


def operating_status(shown: Any) -> Any:
    """Return whether functions work."""
    return status_text(shown.get("operating_status") or "", names.reason_of(shown))


def realised(shown: Any) -> Any:
    """Return whether a chain is realised."""
    return status_text(shown.get("status") or "", shown.get("status_reason") or "")


class _Create(tables.LinkAction):
    name = "create"
    verbose_name = _("Create")
    icon = "plus"
    classes = ("ajax-modal", "btn-create")
    kind: Kind

    def get_link_url(self, datum: Any = None) -> str:
        """Called by Horizon: return the address of the form."""
        return address(self.kind, "create")


class _Update(tables.LinkAction):
    name = "update"
    verbose_name = _("Edit")
    icon = "pencil"
    classes = ("ajax-modal",)
    kind: Kind

    def get_link_url(self, datum: Any = None) -> str:
        """Called by Horizon: return the address of the form."""
        return address(self.kind, "update", datum["id"])

    def allowed(self, request: Any, datum: Any = None) -> bool:
        """Called by Horizon: only owners change what they share."""
        return _owns(request, datum)


class _Delete(tables.DeleteAction):
    kind: Kind

    def action_present(self, count: int) -> str:
        """Called by Horizon: name the action."""
        return f"Delete {_words(self.kind, count)}"

    def action_past(self, count: int) -> str:
        """Called by Horizon: name the action that was taken."""
        return f"Deleted {_words(self.kind, count)}"

    def allowed(self, request: Any, datum: Any = None) -> bool:
        """Called by Horizon: only owners delete what they share."""
        return datum is None or _owns(request, datum)

    def delete(self, request: Any, obj_id: str) -> None:
        """Called by Horizon: delete a resource, or say why it cannot be deleted.

        :raises HandledException: the server has refused it, and the page says why.
        """
        try:
            Client(request).delete(self.kind, obj_id)
        except ApiError as error:
            messages.error(request, str(error))
            raise exceptions.HandledException([type(error), error, None]) from error

    def get_success_url(self, request: Any = None) -> str:
        """Called by Horizon: return where to go from here."""
        return list_address(self.kind)


def _words(kind: Kind, count: int) -> str:
    return (kind.words if count == 1 else kind.plural_words).title()


def _owns(request: Any, datum: Any) -> bool:
    return bool(datum.get("project_id", request.user.tenant_id) == request.user.tenant_id)


def list_address(kind: Kind) -> str:
    """Return the address of the list of a kind."""
    return f"{reverse(f'{PAGE}index')}?tab=port_chains__{kind.slug}s"


def _of(action: Any, kind: Kind) -> Any:
    """Return an action for a kind of resources."""
    return type(f"{action.__name__}{kind.slug.title()}", (action,), {"kind": kind})


def _for_table(kind: Kind, *more: Any) -> tuple[Any, ...]:
    """Return the actions above a list: a filter, more of them, and those that every kind has."""
    return (_Filter, *more, _of(_Create, kind), _of(_Delete, kind))


def _for_row(kind: Kind, *more: Any) -> tuple[Any, ...]:
    """Return the actions for a resource that can be changed."""
    return (_of(_Update, kind), *more, _of(_Delete, kind))


class _Wizard(tables.LinkAction):
    name = "wizard"
    verbose_name = _("Send Traffic Through Machines")
    icon = "magic"
    url = f"{PAGE}wizard"
    classes = ("btn-primary",)


class _Trace(tables.LinkAction):
    name = "trace"
    verbose_name = _("Trace a Packet")
    icon = "search"
    classes = ("ajax-modal",)

    def get_link_url(self, datum: Any = None) -> str:
        """Called by Horizon: return the address of the form, with the packet of a chain."""
        return f"{address(TRACE, 'create')}?chain={datum['id']}"


class _Share(tables.LinkAction):
    name = "share"
    verbose_name = _("Share")
    icon = "share-alt"
    classes = ("ajax-modal",)

    def get_link_url(self, datum: Any = None) -> str:
        """Called by Horizon: return the address of the form."""
        return str(reverse(f"{PAGE}share", args=(datum["id"],)))

    def allowed(self, request: Any, datum: Any = None) -> bool:
        """Called by Horizon: only owners share."""
        return _owns(request, datum)


class _Filter(tables.FilterAction):
    def filter(self, table: Any, data: Any, filter_string: str) -> Any:
        """Called by Horizon: return the rows whose name or id has the text."""
        wanted = filter_string.casefold()
        return [one for one in data if wanted in one.label.casefold() or wanted in one["id"]]


def _column(name: str, title: Any, read: Any = None, **more: Any) -> Any:
    return tables.Column(read or name, verbose_name=title, empty_value="-", **more)


def _named(kind: Kind) -> Any:
    return tables.Column(
        "label", verbose_name=_("Name"), link=lambda one: address(kind, "detail", one["id"])
    )


class _ChainRow(tables.Row):
    """A row that the page asks for again until its chain is realised."""

    ajax = True

    def get_data(self, request: Any, obj_id: str) -> Any:
        """Called by Horizon: return the chain.

        :raises NotFound: it is gone, or the server does not answer.
        """
        try:
            client = Client(request)
            return row(listing.with_names(client, CHAIN, [client.show(CHAIN, obj_id)])[0])
        except ApiError as error:
            raise exceptions.NotFound(str(error)) from error


class ChainsTable(tables.DataTable):
    """Port chains."""

    label = _named(CHAIN)
    realised = tables.Column(realised, verbose_name=_("Status"))
    status = tables.Column(
        "status",
        hidden=True,
        status=True,
        status_choices=(("ACTIVE", True), ("DOWN", True), ("ERROR", False), ("BUILD", None)),
    )
    operating = _column("operating_status", _("Operating status"), operating_status)
    functions = _column("functions", _("Groups, in order"))
    traffic = _column("traffic", _("Flow classifiers"))

    class Meta:
        name = "chains"
        verbose_name = _("Port Chains")
        row_class = _ChainRow
        status_columns = ("status",)
        table_actions = _for_table(CHAIN, _Wizard)
        row_actions = _for_row(CHAIN, _Trace)


class GroupsTable(tables.DataTable):
    """Port pair groups."""

    label = _named(GROUP)
    operating = _column("operating_status", _("Operating status"), operating_status)
    members = _column("members", _("Port pairs"))
    health_check = _column("health_check", _("Health check"))
    failure_mode = _column("failure_mode", _("Without a working pair"))
    shared = _column("sharing", _("Shared"))

    class Meta:
        name = "groups"
        verbose_name = _("Port Pair Groups")
        table_actions = _for_table(GROUP)
        row_actions = _for_row(GROUP, _Share)


class PairsTable(tables.DataTable):
    """Port pairs."""

    label = _named(PAIR)
    operating = _column("operating_status", _("Operating status"), operating_status)
    ingress = _column("ingress_label", _("Packets enter at"))
    egress = _column("egress_label", _("Packets leave at"))
    function_kind = _column("function_kind", _("Function"))
    weight = _column("weight", _("Weight"))
    state = _column("state", _("State"))

    class Meta:
        name = "pairs"
        verbose_name = _("Port Pairs")
        table_actions = _for_table(PAIR)
        row_actions = _for_row(PAIR)


class ClassifiersTable(tables.DataTable):
    """Flow classifiers."""

    label = _named(CLASSIFIER)
    header = tables.Column(names.header_of, verbose_name=_("Packets"))
    source = _column("source_label", _("From the port"))
    destination = _column("destination_label", _("To the port"))

    class Meta:
        name = "classifiers"
        verbose_name = _("Flow Classifiers")
        table_actions = _for_table(CLASSIFIER)
        row_actions = _for_row(CLASSIFIER)


class GraphsTable(tables.DataTable):
    """Service graphs."""

    label = _named(GRAPH)
    description = _column("description", _("Description"))
    links = _column("links", _("Chains"))

    class Meta:
        name = "graphs"
        verbose_name = _("Service Graphs")
        table_actions = _for_table(GRAPH)
        row_actions = _for_row(GRAPH)


class TracesTable(tables.DataTable):
    """Traces."""

    label = _named(TRACE)
    packet = _column("packet", _("Packet"))
    outcome = _column("outcome", _("Outcome"))
    reason = _column("reason", _("Reason"))
    created_at = _column("created_at", _("Created"))

    class Meta:
        name = "traces"
        verbose_name = _("Traces")
        table_actions = _for_table(TRACE)
        row_actions = (_of(_Delete, TRACE),)


TABLES = {
    CHAIN: ChainsTable,
    GROUP: GroupsTable,
    PAIR: PairsTable,
    CLASSIFIER: ClassifiersTable,
    GRAPH: GraphsTable,
    TRACE: TracesTable,
}
