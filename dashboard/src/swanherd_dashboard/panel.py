"""The menu's entry."""

from __future__ import annotations

from typing import Any

import horizon
from django.utils.translation import gettext_lazy as _
from horizon import exceptions
from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions as sdk_exceptions
from openstack_dashboard.api import neutron


class Swanherd(horizon.Panel):
    """The project's VPN."""

    name = _("VPN")
    slug = "swanherd"
    permissions = ("openstack.services.network",)

    def allowed(self, context: Any) -> bool:
        """Show the entry where Neutron has VPNs."""
        request = context["request"]
        if not super().allowed(context):
            return False
        try:
            return bool(neutron.is_extension_supported(request, "vpnaas"))
        except (
            ks_exceptions.ClientException,
            sdk_exceptions.SDKException,
            exceptions.ServiceCatalogException,
        ):
            return False
