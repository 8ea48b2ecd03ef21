"""The menu's entry for operators."""

from __future__ import annotations

import horizon
from django.utils.translation import gettext_lazy as _


class VpnAgents(horizon.Panel):
    """Which agent serves which router's VPN."""

    name = _("VPN Agents")
    slug = "swanherd_agents"
    permissions = ("openstack.services.network", "openstack.roles.admin")
