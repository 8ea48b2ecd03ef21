"""The extension `vpn-status-reason`."""

from __future__ import annotations

from neutron_lib.api import extensions

from swanherd.server.api.definitions import STATUS_REASON


class Vpnstatusreason(extensions.APIExtensionDescriptor):
    """Our status_code and status_reason."""

    api_definition = STATUS_REASON
