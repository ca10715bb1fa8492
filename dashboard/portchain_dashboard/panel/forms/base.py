"""What the forms of all resources have in common."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from horizon import forms, messages

from portchain_dashboard import names, values
from portchain_dashboard.api import ApiError, Client, Shown
from portchain_dashboard.kinds import Kind

NONE = ("", "-")
"""The option of a list in which nothing need be chosen."""


def text(label: Any, help_text: Any = "", **more: Any) -> Any:
    """Make a field for a line of text."""
    return forms.CharField(label=label, help_text=help_text, required=False, max_length=255, **more)


def choice(label: Any, choices: Iterable[Any] = (), help_text: Any = "", **more: Any) -> Any:
    """Make a list from which one may be chosen."""
    more.setdefault("required", False)
    return forms.ChoiceField(label=label, choices=list(choices), help_text=help_text, **more)


def switch(label: Any, help_text: Any = "", **more: Any) -> Any:
    """Make a box to tick."""
    return forms.BooleanField(label=label, help_text=help_text, required=False, **more)


def number(label: Any, low: int, high: int, help_text: Any = "", **more: Any) -> Any:
    """Make a field for a whole number that may be left empty."""
    return forms.IntegerField(
        label=label,
        min_value=low,
        max_value=high,
        help_text=help_text,
        required=False,
        **more,
    )


class PortChainForm(forms.SelfHandlingForm):
    """A form whose refusals stay on the page, with everything that was typed."""

    def __init__(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.client = Client(request)

    def offered(self, read: Callable[[], Iterable[names.Choice]]) -> list[names.Choice]:
        """Return what a list offers; nothing, with a message, if the server does not answer."""
        try:
            return list(read())
        except ApiError as error:
            messages.error(self.request, str(error))
            return []

    def own_ports(self) -> list[names.Choice]:
        """Return the ports of the user's project."""
        project = self.request.user.tenant_id
        return self.offered(lambda: names.port_choices(self.client.ports(project_id=project)))

    def resources(self, kind: Kind, **query: Any) -> list[names.Choice]:
        """Return the resources of a kind that the user sees."""
        return self.offered(lambda: names.choices(self.client.list(kind, **query)))

    def cleaned_by(self, field: str, parse: Callable[[str], Any]) -> Any:
        """Return what a text means.

        :raises ValidationError: it means nothing; Django shows the message at the field.
        """
        try:
            return parse(self.cleaned_data.get(field) or "")
        except ValueError as error:
            raise ValidationError(str(error)) from error


class ResourceForm(PortChainForm):
    """A form that creates a resource, or with one updates it.

    :param resource: the one to update, as the server shows it.
    """

    kind: ClassVar[Kind]
    create_only: ClassVar[tuple[str, ...]] = ()
    """Fields that only a new resource has."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """What the server sets if a request does not say it."""
    intro: ClassVar[Any] = ""
    """What the resource is for."""

    name = text(_("Name"))
    description = text(_("Description"))

    def __init__(
        self, request: Any, *args: Any, resource: Shown | None = None, **kwargs: Any
    ) -> None:
        self.resource = resource
        if resource:
            kwargs["initial"] = self.initial_of(resource) | kwargs.get("initial", {})
        super().__init__(request, *args, **kwargs)
        if resource:
            for field in self.create_only:
                del self.fields[field]
        self.prepare()

    def prepare(self) -> None:
        """Fill the lists of the form."""

    def initial_of(self, resource: Shown) -> dict[str, Any]:
        """Return what the fields show of a resource."""
        return {name: resource.get(name) for name in self.base_fields}

    def attributes(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the attributes of a request.

        :param data: what the fields hold; those of an update have no ``create_only`` fields.
        """
        return dict(data)

    def handle(self, _request: Any, data: Mapping[str, Any]) -> Any:
        """Called by Horizon: send the request; return the resource, or False if it is refused."""
        wanted = self.attributes(data)
        try:
            if self.resource:
                changed = values.changes(wanted, self.resource)
                shown = self.resource
                if changed:
                    shown = self.client.update(self.kind, self.resource["id"], changed)
            else:
                sent = values.without_defaults(wanted, self.defaults)
                shown = self.client.create(self.kind, sent)
        except ApiError as error:
            self.api_error(str(error))
            return False
        done = _("Saved") if self.resource else _("Created")
        messages.success(self.request, f"{done}: {self.kind.words} {names.name_of(shown)}")
        return shown
