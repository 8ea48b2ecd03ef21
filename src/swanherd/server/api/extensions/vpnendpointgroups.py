"""The extension `vpn-endpoint-groups`."""

from __future__ import annotations

from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions
from neutron_lib.api.definitions import vpn_endpoint_groups
from neutron_lib.plugins import constants

from swanherd.server.api.bodies import guarded


class Vpnendpointgroups(extensions.APIExtensionDescriptor):
    """neutron-lib's `vpn-endpoint-groups`."""

    api_definition = vpn_endpoint_groups

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resource under /vpn."""
        attributes = vpn_endpoint_groups.RESOURCE_ATTRIBUTE_MAP
        resources = resource_helper.build_resource_info(
            resource_helper.build_plural_mappings({}, attributes),
            attributes,
            constants.VPN,
            register_quota=True,
            translate_name=True,
        )
        return guarded(resources)
