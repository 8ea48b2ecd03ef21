"""The extension `vpn-flavors`."""

from __future__ import annotations

from neutron_lib.api import extensions
from neutron_lib.api.definitions import vpn_flavors


class Vpnflavors(extensions.APIExtensionDescriptor):
    """neutron-lib's `vpn-flavors`."""

    api_definition = vpn_flavors
