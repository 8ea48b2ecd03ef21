"""The extension `vpn-aes-ccm-gcm`."""

from __future__ import annotations

from neutron_lib.api import extensions
from neutron_lib.api.definitions import vpn_aes_ccm_gcm


class Vpnaesccmgcm(extensions.APIExtensionDescriptor):
    """neutron-lib's `vpn-aes-ccm-gcm`."""

    api_definition = vpn_aes_ccm_gcm
