"""What older releases of Neutron and its libraries have elsewhere or not at all: its one home.

Neutron 24 (2024.1, neutron-lib 3.11), 26 (2025.1, neutron-lib 3.18) and 29 are supported.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import vpn
from sqlalchemy import Column, orm


def _either(*names: str) -> Any:
    """Return the first of these modules that is there; None if none is."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return None


# The check strings of the default roles, which Neutron gave to neutron-lib.
rules = _either("neutron_lib.policy.rules", "neutron.conf.policies.base")
wsgi = _either("neutron.api.wsgi", "neutron.wsgi")
vpn_aes_ctr = _either("neutron_lib.api.definitions.vpn_aes_ctr")
# A mapped column, which OpenStack 2024.1's SQLAlchemy (1.4) has no word of its own for.
column: Any = getattr(orm, "mapped_column", Column)
# neutron-lib's older definitions name no filter: to validate filters there would refuse them all.
FILTERS_ARE_NAMED: bool = vpn.RESOURCE_ATTRIBUTE_MAP[vpn.VPNSERVICES]["name"].get(
    "is_filter", False
)

VPN_GATEWAY_OWNER: str = getattr(
    constants, "DEVICE_OWNER_VPN_ROUTER_GW", "network:vpn_router_gateway"
)


def class_of(trigger: Any) -> type:
    """Return the class that a process' event is about: 24 and 26 tell a method of it."""
    if inspect.isclass(trigger):
        return trigger
    return type(trigger.__self__ if inspect.ismethod(trigger) else trigger)


def aes_ctr() -> dict[str, Any]:
    """Return the attributes of `vpn-aes-ctr`, which neutron-lib 3.11 doesn't define."""
    modes = [f"aes-{bits}-ctr" for bits in (128, 192, 256)]
    changed: dict[str, Any] = {}
    for collection in (vpn.IKE_POLICIES, vpn.IPSEC_POLICIES):
        attribute = vpn.RESOURCE_ATTRIBUTE_MAP[collection]["encryption_algorithm"]
        values = [*attribute["validate"]["type:values"], *modes]
        changed[collection] = {
            "encryption_algorithm": {**attribute, "validate": {"type:values": values}}
        }
    return changed
