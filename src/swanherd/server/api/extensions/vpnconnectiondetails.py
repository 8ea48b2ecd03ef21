"""The extension `vpn-connection-details`."""

from __future__ import annotations

from neutron_lib.api import extensions

from swanherd.server.api.definitions import CONNECTION_DETAILS


class Vpnconnectiondetails(extensions.APIExtensionDescriptor):
    """Our revisions, negotiated details and events."""

    api_definition = CONNECTION_DETAILS
