"""The menu's entry."""

from __future__ import annotations

from typing import Any

import horizon
from django.core.cache import cache
from django.utils.translation import gettext_lazy as _
from horizon import exceptions
from keystoneauth1 import exceptions as ks_exceptions
from openstack import exceptions as sdk_exceptions
from openstack_dashboard import api
from openstack_dashboard.api import neutron

_KNOWN_FOR = 300  # seconds


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
            return _has_vpn(request)
        except (
            ks_exceptions.ClientException,
            sdk_exceptions.SDKException,
            exceptions.ServiceCatalogException,
        ):
            return False


def _has_vpn(request: Any) -> bool:
    """Whether the region's Neutron has VPNs; each page and each live request needs to know."""
    key = f"swanherd-vpnaas-{api.base.url_for(request, 'network')}"
    known: bool | None = cache.get(key)
    if known is None:
        known = bool(neutron.is_extension_supported(request, "vpnaas"))
        if known:
            cache.set(key, known, _KNOWN_FOR)
    return known
