"""The panel as Horizon knows it."""

import logging
from typing import Any

import horizon
from django.utils.translation import gettext_lazy as _
from openstack_dashboard.api import neutron

LOG = logging.getLogger(__name__)


class PortChains(horizon.Panel):
    """Shown where Neutron has service function chaining."""

    name = _("Port Chains")
    slug = "port_chains"
    permissions = ("openstack.services.network",)

    def allowed(self, context: Any) -> bool:
        """Return whether this user sees the panel."""
        request = context["request"]
        try:
            return bool(
                super().allowed(context)
                and neutron.is_extension_supported(request, extension_alias="sfc")
            )
        except Exception:  # whatever it is, other panels must stay usable
            LOG.exception("Neutron does not say whether it has port chains: the panel is hidden")
            return False
