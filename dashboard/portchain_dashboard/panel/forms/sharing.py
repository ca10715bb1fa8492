"""The form that lets another project use a port pair group."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from horizon import messages

from portchain_dashboard.api import ApiError
from portchain_dashboard.panel.forms import base

EVERYBODY = "*"


class ShareForm(base.PortChainForm):
    """Shares a group.

    :param group_id: of the group.
    """

    project = base.text(
        _("Project ID"), _("The project that may use the group in its chains, by its ID.")
    )
    everybody = base.switch(_("All projects"), _("Only administrators may do that."))

    def __init__(self, request: Any, *args: Any, group_id: str, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.group_id = group_id

    def clean(self) -> Any:
        """Check that either is given.

        :raises ValidationError: none is, or both.
        """
        cleaned = super().clean()
        if bool(cleaned.get("project")) == cleaned["everybody"]:
            raise ValidationError(_("Give the ID of a project, or choose all projects."))
        return cleaned

    def handle(self, request: Any, data: Mapping[str, Any]) -> bool:
        """Called by Horizon: create the policy."""
        try:
            self.client.share(self.group_id, EVERYBODY if data["everybody"] else data["project"])
        except ApiError as error:
            self.api_error(str(error))
            return False
        messages.success(request, _("The group is shared."))
        return True
