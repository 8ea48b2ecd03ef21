"""The extension `vpn-aes-ctr`."""

from __future__ import annotations

from neutron_lib.api import extensions
from neutron_lib.api.definitions import vpn_aes_ctr


class Vpnaesctr(extensions.APIExtensionDescriptor):
    """neutron-lib's `vpn-aes-ctr`."""

    api_definition = vpn_aes_ctr
