"""The extension `vpnaas`: vpnservices, policies and connections."""

from __future__ import annotations

import copy
from typing import Any

from neutron.api.v2 import resource_helper
from neutron_lib.api import extensions, validators
from neutron_lib.api.definitions import vpn
from neutron_lib.plugins import constants

from swanherd.core import validation
from swanherd.server.api.bodies import guarded
from swanherd.server.api.conversions import naming
from swanherd.server.errors import api_error


def _secret(value: Any, _valid: Any = None) -> str | None:
    """Say what is wrong with a key without a word of it: Neutron logs what a validator says."""
    return None if isinstance(value, str) else "it must be a string"


validators.add_validator("swanherd_secret", _secret)


def _mtu(value: Any) -> int:
    """Return a whole number; neutron-lib would make 1500 of 1500.7 and of any script's digits."""
    try:
        return validation.whole_number("mtu", value)
    except validation.Invalid as invalid:
        raise api_error(invalid) from None


def _attributes() -> dict[str, Any]:
    attributes: dict[str, Any] = copy.deepcopy(vpn.RESOURCE_ATTRIBUTE_MAP)
    # A filter would answer "is the key this?" and put the key into access logs.
    attributes[vpn.IPSEC_SITE_CONNECTIONS]["psk"]["is_filter"] = False
    attributes[vpn.IPSEC_SITE_CONNECTIONS]["psk"]["validate"] = {"type:swanherd_secret": None}
    # Heat's resource has it by this name (OS::Neutron::IPsecSiteConnection).
    dpd = attributes[vpn.IPSEC_SITE_CONNECTIONS]["dpd"]["validate"]["type:dict_or_empty"]
    dpd["actions"] = dpd["action"]
    attributes[vpn.IPSEC_SITE_CONNECTIONS]["mtu"]["convert_to"] = _mtu
    return {name: naming(resource) for name, resource in attributes.items()}


_ATTRIBUTES = _attributes()


class Vpnaas(extensions.APIExtensionDescriptor):
    """neutron-lib's `vpnaas`, with a psk that can't be searched for and Heat's `dpd`."""

    api_definition = vpn

    @classmethod
    def get_extended_resources(cls, version: str) -> dict[str, Any]:
        """Return the attributes; other extensions extend this same object."""
        return _ATTRIBUTES if version == "2.0" else {}

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources under /vpn."""
        resources = resource_helper.build_resource_info(
            resource_helper.build_plural_mappings({}, _ATTRIBUTES),
            _ATTRIBUTES,
            constants.VPN,
            register_quota=True,
            translate_name=True,
        )
        return guarded(resources)
