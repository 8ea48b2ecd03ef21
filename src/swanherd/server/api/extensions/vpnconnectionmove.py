"""The extension `vpn-connection-move`."""

from __future__ import annotations

from neutron_lib.api import extensions

from swanherd.server.api.definitions import CONNECTION_MOVE


class Vpnconnectionmove(extensions.APIExtensionDescriptor):
    """Our ikepolicy_id and ipsecpolicy_id that may be updated."""

    api_definition = CONNECTION_MOVE
