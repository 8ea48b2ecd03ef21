"""Definitions of our own extensions, in the shape that neutron-lib's modules have.

They add; nothing here changes the meaning of an attribute that neutron-lib defines.
"""

from __future__ import annotations

import types
from typing import Any

from neutron_lib.api.definitions import vpn

from swanherd.server import compat

_READ_ONLY = {"allow_post": False, "allow_put": False, "is_visible": True, "default": None}
_EVENTS: dict[str, Any] = {**_READ_ONLY, "default": []}
_PROGRESS: dict[str, Any] = {
    "status_since": dict(_READ_ONLY),
    "revision_wanted": dict(_READ_ONLY),
    "revision_applied": dict(_READ_ONLY),
    "events": _EVENTS,
}
_REASON: dict[str, Any] = {"status_code": dict(_READ_ONLY), "status_reason": dict(_READ_ONLY)}


def _definition(alias: str, name: str, description: str, attributes: dict[str, Any]) -> Any:
    return types.SimpleNamespace(
        ALIAS=alias,
        NAME=name,
        DESCRIPTION=description,
        UPDATED_TIMESTAMP="2026-11-23T00:00:00-00:00",
        IS_SHIM_EXTENSION=not attributes,
        IS_STANDARD_ATTR_EXTENSION=False,
        RESOURCE_ATTRIBUTE_MAP=attributes,
        SUB_RESOURCE_ATTRIBUTE_MAP={},
        ACTION_MAP={},
        ACTION_STATUS={},
        REQUIRED_EXTENSIONS=[vpn.ALIAS],
        OPTIONAL_EXTENSIONS=[],
    )


STATUS_REASON = _definition(
    "vpn-status-reason",
    "VPN status reason",
    "Why a VPN service or an IPsec site connection has its status: a code and a sentence",
    {vpn.VPNSERVICES: dict(_REASON), vpn.IPSEC_SITE_CONNECTIONS: dict(_REASON)},
)

CONNECTION_DETAILS = _definition(
    "vpn-connection-details",
    "VPN connection details",
    "What was negotiated, what was applied, and the last changes of the status",
    {
        vpn.VPNSERVICES: dict(_PROGRESS),
        vpn.IPSEC_SITE_CONNECTIONS: {
            **_PROGRESS,
            "effective_mtu": dict(_READ_ONLY),
            "details": dict(_READ_ONLY),
        },
    },
)

_MOVABLE = {
    name: {**vpn.RESOURCE_ATTRIBUTE_MAP[vpn.IPSEC_SITE_CONNECTIONS][name], "allow_put": True}
    for name in ("ikepolicy_id", "ipsecpolicy_id")
}
CONNECTION_MOVE = _definition(
    "vpn-connection-move",
    "VPN connection move",
    "An IPsec site connection may be moved to other policies",
    {vpn.IPSEC_SITE_CONNECTIONS: _MOVABLE},
)

POLICY_UPDATE_IN_USE = _definition(
    "vpn-policy-update-in-use",
    "VPN policy update in use",
    "IKE and IPsec policies may be updated while connections use them",
    {},
)

AES_CTR = compat.vpn_aes_ctr or _definition(
    "vpn-aes-ctr", "VPN AES-CTR", "AES in counter mode", compat.aes_ctr()
)

AGENT_SCHEDULER = _definition(
    "vpn-agent-scheduler",
    "VPN Agent Scheduler",
    "Which VPN agent serves a router, and which stand by for it",
    {},
)
# More than a promise: it has resources, though no attributes.
AGENT_SCHEDULER.IS_SHIM_EXTENSION = False
