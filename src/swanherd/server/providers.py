"""Service providers: the `VPN:` lines that deployers write, and which one each service has.

Whatever driver such a line names, that of neutron-vpnaas too, Swanherd serves it: the lines only
give names, which flavors and Neutron's table of associations refer to.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from neutron.db import servicetype_db
from neutron.db.models import servicetype as servicetype_models
from neutron.services import provider_configuration
from neutron_lib import exceptions as lib_exc
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import flavors as flavor_exc
from neutron_lib.exceptions import vpn as vpn_exc
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from oslo_log import log as logging

from swanherd.server.db.models import VpnServiceRow

LOG = logging.getLogger(__name__)

# Where neutron-vpnaas' lines are if they aren't in neutron.conf: neutron_vpnaas.conf beside it.
MODULE = "neutron_vpnaas"
OURS = {
    "service_type": plugin_const.VPN,
    "name": "swanherd",
    "driver": "swanherd.server.plugin.SwanherdPlugin",
    "default": True,
}
_NO_PROVIDER = (
    flavor_exc.FlavorServiceProfileBindingNotFound,
    flavor_exc.ServiceProfileDriverNotFound,
    flavor_exc.ServiceProfileDisabled,
)


class Providers:
    """The providers of service type VPN, as Neutron's `service-providers` shows them."""

    def __init__(self) -> None:
        self._manager = servicetype_db.ServiceTypeManager.get_instance()
        configured = provider_configuration.ProviderConfiguration(MODULE, plugin_const.VPN)
        if not configured.providers:
            configured.add_provider(OURS)
        self._manager.add_provider_configuration(plugin_const.VPN, configured)
        known = configured.get_service_providers()
        defaults = [provider["name"] for provider in known if provider["default"]]
        self.default: str = (defaults or [provider["name"] for provider in known])[0]
        if not defaults:
            LOG.warning("No VPN service provider is the default: %s is taken.", self.default)

    def of_flavor(self, context: Any, flavor_id: str | None) -> str:
        """Return the provider of a flavor; refuse one that isn't for VPN services or is off."""
        if flavor_id is None:
            return self.default
        flavors = directory.get_plugin(plugin_const.FLAVORS)
        if flavors is None:
            raise vpn_exc.FlavorsPluginNotLoaded
        flavor = flavors.get_flavor(context, flavor_id)
        if flavor["id"] != flavor_id:  # see `reading.Collection.row`
            raise flavor_exc.FlavorNotFound(flavor_id=flavor_id)
        if flavor["service_type"] != plugin_const.VPN or not flavor["enabled"]:
            raise lib_exc.InvalidInput(
                error_message="flavor_id must be an enabled flavor of service type VPN"
            )
        try:
            found = flavors.get_flavor_next_provider(context, flavor_id)
        except _NO_PROVIDER:
            found = []
        names = [each["provider"] for each in found if each.get("provider")]
        if not names:
            raise vpn_exc.NoProviderFoundForFlavor(flavor_id=flavor_id)
        return str(names[0])

    def associate(self, context: Any, service_id: str, provider: str) -> None:
        """Record a service's provider, in the caller's transaction."""
        self._manager.add_resource_association(
            context, plugin_const.VPN, provider, service_id, expire_session=False
        )

    def dissociate(self, context: Any, service_id: str) -> None:
        """Forget a service's provider, in the caller's transaction."""
        self._manager.del_resource_associations(context, [service_id])

    @db_api.retry_if_session_inactive()
    def adopt(self, context: Any) -> None:
        """Give the default provider to services that have none."""
        association = servicetype_models.ProviderResourceAssociation
        with db_api.CONTEXT_WRITER.using(context) as session:
            strangers = session.scalars(
                sa.select(VpnServiceRow.id)
                .outerjoin(association, association.resource_id == VpnServiceRow.id)
                .where(association.resource_id.is_(None))
            ).all()
            for service_id in strangers:
                self.associate(context, service_id, self.default)
