"""The extension `vpn-policy-update-in-use`."""

from __future__ import annotations

from neutron_lib.api import extensions

from swanherd.server.api.definitions import POLICY_UPDATE_IN_USE


class Vpnpolicyupdateinuse(extensions.APIExtensionDescriptor):
    """Our promise that policies in use may be updated."""

    api_definition = POLICY_UPDATE_IN_USE
