"""The pages of the panel."""

import contextlib
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET
from horizon import exceptions, forms, messages, tabs, views

from portchain_dashboard import listing, names
from portchain_dashboard.api import ApiError, Client
from portchain_dashboard.drawing.picture import picture_of
from portchain_dashboard.drawing.svg import to_svg
from portchain_dashboard.kinds import CHAIN, CLASSIFIER, GROUP, KINDS, TRACE, Kind
from portchain_dashboard.panel import details, tables
from portchain_dashboard.panel.forms.chains import ChainForm
from portchain_dashboard.panel.forms.classifiers import ClassifierForm
from portchain_dashboard.panel.forms.graphs import GraphForm
from portchain_dashboard.panel.forms.groups import GroupForm
from portchain_dashboard.panel.forms.pairs import PairForm
from portchain_dashboard.panel.forms.sharing import EVERYBODY, ShareForm
from portchain_dashboard.panel.forms.traces import TraceForm, packet_of
from portchain_dashboard.panel.forms.wizard import WizardForm
from portchain_dashboard.panel.tabs import PanelTabs

FORMS = {
    form.kind: form
    for form in (ChainForm, GroupForm, PairForm, ClassifierForm, GraphForm, TraceForm)
}


class IndexView(tabs.TabbedTableView):
    """All lists."""

    tab_group_class = PanelTabs
    template_name = "portchain/index.html"
    page_title = _("Port Chains")


class _OfKind:
    """A page about one kind of resources, which its address names."""

    kwargs: dict[str, Any]
    request: Any

    @property
    def kind(self) -> Kind:
        """The kind.

        :raises Http404: there is no such kind.
        """
        try:
            return KINDS[self.kwargs["slug"]]
        except KeyError:
            raise Http404 from None

    @property
    def client(self) -> Client:
        """Neutron as the user sees it."""
        return Client(self.request)

    def shown(self) -> dict[str, Any]:
        """Return the resource that the address names; without it, go back to the list.

        :raises Http302: there is none.
        """
        try:
            return self.client.show(self.kind, str(self.kwargs["id"]))
        except ApiError as error:
            raise self.back(error) from error

    def back(self, error: ApiError) -> Exception:
        """Return what leads back to the list, where the page says why."""
        messages.error(self.request, str(error))
        return exceptions.Http302(tables.list_address(self.kind))


class _FormView(_OfKind, forms.ModalFormView):
    template_name = "portchain/form.html"
    form_id = "portchain-form"
    modal_id = "portchain-modal"

    def get_form_class(self) -> Any:
        """Called by Django: return the form of the kind."""
        return FORMS[self.kind]

    def get_success_url(self) -> str:
        """Called by Django: return where to go from here."""
        return tables.list_address(self.kind)

    def get_cancel_url(self) -> str:
        """Called by Horizon: return where to go without a change."""
        return self.get_success_url()

    def get_context_data(self, **kwargs: Any) -> Any:
        """Called by Django: return what the template shows."""
        context = super().get_context_data(**kwargs)
        return context | {"intro": self.get_form_class().intro, "submit_url": self.request.path}


class CreateView(_FormView):
    """Creates a resource."""

    submit_label = _("Create")

    @property
    def page_title(self) -> str:
        """The title of the page."""
        return f"Create {self.kind.words.title()}"

    def get_success_url_from_handled(self, handled: Any) -> str:
        """Called by Horizon: return the page to show next. A trace's steps are what it is for."""
        if self.kind in (CHAIN, TRACE):
            return tables.address(self.kind, "detail", handled["id"])
        return self.get_success_url()

    def get_initial(self) -> Any:
        """Called by Django: return what is filled in: for a trace, a packet of a chain."""
        initial = super().get_initial()
        chain_id = self.request.GET.get("chain")
        if self.kind is TRACE and chain_id:
            with contextlib.suppress(ApiError):  # it stays empty
                chain = self.client.show(CHAIN, chain_id)
                found = self.client.by_id(CLASSIFIER, chain["flow_classifiers"][:1])
                initial = initial | packet_of(next(found, {}))
        return initial


class UpdateView(_FormView):
    """Changes a resource."""

    submit_label = _("Save")

    @property
    def page_title(self) -> str:
        """The title of the page."""
        return f"Edit {self.kind.words.title()}"

    def get_form_kwargs(self) -> Any:
        """Called by Django: give the form the resource."""
        return super().get_form_kwargs() | {"resource": self.shown()}


class WizardView(forms.ModalFormView):
    """Makes a whole chain."""

    form_class = WizardForm
    template_name = "portchain/wizard.html"
    form_id = "portchain-form"
    page_title = _("Send Traffic Through Machines")
    submit_label = _("Create")

    def get_success_url_from_handled(self, handled: Any) -> str:
        """Called by Horizon: return the page with the picture of the chain."""
        return tables.address(CHAIN, "detail", handled["id"])

    def get_cancel_url(self) -> str:
        """Called by Horizon: return where to go without a change."""
        return tables.list_address(CHAIN)

    def get_context_data(self, **kwargs: Any) -> Any:
        """Called by Django: return what the template shows."""
        context = super().get_context_data(**kwargs)
        return context | {"submit_url": self.request.path}

    def form_invalid(self, form: Any) -> Any:
        """Called by Django: show the form with what is wrong."""
        return self.render_to_response(self.get_context_data(form=form))


class ShareView(forms.ModalFormView):
    """Shares a port pair group."""

    form_class = ShareForm
    template_name = "portchain/form.html"
    form_id = "portchain-form"
    modal_id = "portchain-modal"
    page_title = _("Share Port Pair Group")
    submit_label = _("Share")

    def get_form_kwargs(self) -> Any:
        """Called by Django: give the form the group."""
        return super().get_form_kwargs() | {"group_id": str(self.kwargs["id"])}

    def get_success_url(self) -> str:
        """Called by Django: return where to go from here."""
        return tables.address(GROUP, "detail", str(self.kwargs["id"]))

    def get_cancel_url(self) -> str:
        """Called by Horizon: return where to go without a change."""
        return self.get_success_url()

    def get_context_data(self, **kwargs: Any) -> Any:
        """Called by Django: return what the template shows."""
        intro = _(
            "Another project can then use the group in its chains. It sees the group's status, but "
            "not its pairs."
        )
        context = super().get_context_data(**kwargs)
        return context | {"submit_url": self.request.path, "intro": intro}


class DetailView(_OfKind, views.HorizonTemplateView):
    """All about one resource: of a chain its picture, of a trace its steps."""

    template_name = "portchain/detail.html"
    page_title = "{{ title }}"

    def post(self, request: Any, **_kwargs: str) -> Any:
        """Stop the sharing of a group."""
        group_id = str(self.kwargs["id"])
        try:
            policies = {one["id"]: one for one in self.client.policies(group_id)}
            policy = policies.get(request.POST.get("policy"))
            if policy is None:
                messages.info(request, _("The group was not shared any more."))
            elif request.POST.get("withdraw"):
                self.client.update(GROUP, group_id, {"withdraw_from": policy["target_tenant"]})
                messages.success(request, _("The group is taken out of the project's chains."))
            else:
                self.client.unshare(policy["id"])
                messages.success(request, _("The group is not shared any more."))
        except ApiError as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(request.path)

    def get_context_data(self, **kwargs: Any) -> Any:
        """Called by Django: return what the template shows."""
        context = super().get_context_data(**kwargs)
        kind, resource = self.kind, self.shown()
        try:
            shown = listing.with_names(self.client, kind, [resource])[0]
            policies = self._policies(resource)
        except ApiError as error:
            raise self.back(error) from error
        table: Any = tables.TABLES[kind](self.request)
        return context | {
            "title": f"{kind.words.capitalize()} {names.name_of(shown)}",
            "actions": table.render_row_actions(tables.row(shown)),
            "url": tables.list_address(kind),
            "custom_breadcrumb": [(f"{kind.slug}s".title(), tables.list_address(kind))],
            "kind": kind.slug,
            "facts": details.facts(kind, shown),
            "status": tables.operating_status(shown) if "operating_status" in shown else "",
            "picture_url": _picture_address(shown["id"]) if kind is CHAIN else "",
            "steps": [_step(one) for one in shown.get("steps") or ()] if kind is TRACE else None,
            "outcome": shown.get("outcome"),
            "policies": policies,
        }

    def _policies(self, group: Any) -> list[Any] | None:
        """Return with whom the user's own group is shared; None for all else."""
        if self.kind is not GROUP or group["project_id"] != self.request.user.tenant_id:
            return None
        return [
            one | {"everybody": one["target_tenant"] == EVERYBODY}
            for one in self.client.policies(group["id"])
        ]


def _step(step: Any) -> Any:
    """Return a step of a trace with links to what it names."""
    links = [
        {"words": kind.words, "url": tables.address(kind, "detail", step[name]), "id": step[name]}
        for name, kind in details.STEP_IDS
        if step.get(name)
    ]
    return step | {"links": links}


@require_GET
def picture(request: Any, id: UUID) -> JsonResponse:
    """Return the picture of a chain as HTML, and whether its page should ask again.

    The page asks every two seconds.
    """
    client, chain_id = Client(request), str(id)
    try:
        chain = client.show(CHAIN, chain_id)
        parts = listing.picture_parts(client, chain)
    except ApiError as error:
        return JsonResponse({"error": str(error)}, status=error.status or 502)
    figures: dict[str, Any] = {}
    for name in ("statuses", "stats"):
        with contextlib.suppress(ApiError):  # an older server, or a policy that forbids it
            figures[name] = client.read(CHAIN, chain_id, name)
    drawn = picture_of(chain, **parts, **figures)
    context = {
        "svg": to_svg(drawn, _page),
        "status": tables.realised(chain),
        "operating_status": tables.operating_status(chain),
        "stats": figures.get("stats"),
    }
    return JsonResponse({"html": render_to_string("portchain/_picture.html", context)})


def _picture_address(chain_id: str) -> str:
    return str(reverse(f"{tables.PAGE}picture", args=(chain_id,)))


def _page(slug: str, resource_id: str) -> str:
    return str(reverse(f"{tables.PAGE}detail", args=(slug, resource_id)))
