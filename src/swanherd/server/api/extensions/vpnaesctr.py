"""The extension `vpn-aes-ctr`."""

from __future__ import annotations

from neutron_lib.api import extensions

from swanherd.server.api.definitions import AES_CTR


class Vpnaesctr(extensions.APIExtensionDescriptor):
    """neutron-lib's `vpn-aes-ctr`, ours where it has none."""

    api_definition = AES_CTR
