"""Rows as the API's dictionaries."""

from __future__ import annotations

from typing import Any

from swanherd.server.db import history, vault
from swanherd.server.db.models import (
    EndpointGroupRow,
    IkePolicyRow,
    IpsecPolicyRow,
    SiteConnectionRow,
    StatusRow,
    VpnServiceRow,
)


def _named(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "name": row.name,
        "description": row.description,
    }


def _reason(state: StatusRow | None) -> dict[str, Any]:
    if state is None or state.code is None:
        return {"status_code": None, "status_reason": None}
    sentences = [part for part in (state.text, state.hint) if part]
    return {"status_code": state.code, "status_reason": " ".join(sentences)}


def _progress(state: StatusRow | None) -> dict[str, Any]:
    if state is None:
        return {"status_since": None, "revision_wanted": 0, "revision_applied": 0, "events": []}
    return {
        "status_since": history.iso(state.since),
        "revision_wanted": state.revision,
        "revision_applied": state.applied_revision,
        "events": history.events_of(state),
    }


def vpnservice(row: VpnServiceRow) -> dict[str, Any]:
    """Return a vpnservice."""
    return {
        **_named(row),
        "subnet_id": row.subnet_id,
        "router_id": row.router_id,
        "flavor_id": row.flavor_id,
        "admin_state_up": row.admin_state_up,
        "external_v4_ip": row.external_v4_ip,
        "external_v6_ip": row.external_v6_ip,
        "status": row.status,
        **_reason(row.state),
        **_progress(row.state),
    }


def connection(row: SiteConnectionRow) -> dict[str, Any]:
    """Return a connection, its psk too: the owner may read it back."""
    cidrs = [peer.cidr for peer in row.peer_cidrs]
    return connection_of(row, row.state, vault.current().show(row), cidrs)


def connection_of(row: Any, state: Any, psk: str | None, peer_cidrs: list[str]) -> dict[str, Any]:
    """Return a connection whose parts were read one by one, as lists do."""
    return {
        **_named(row),
        "local_id": row.local_id or "",
        "peer_address": row.peer_address,
        "peer_id": row.peer_id,
        "peer_cidrs": peer_cidrs,
        "local_ep_group_id": row.local_ep_group_id,
        "peer_ep_group_id": row.peer_ep_group_id,
        "route_mode": row.route_mode,
        "mtu": row.mtu,
        "initiator": row.initiator,
        "auth_mode": row.auth_mode,
        "psk": psk,
        "dpd": {
            "action": row.dpd_action,
            "interval": row.dpd_interval,
            "timeout": row.dpd_timeout,
        },
        "admin_state_up": row.admin_state_up,
        "status": row.status,
        "vpnservice_id": row.vpnservice_id,
        "ikepolicy_id": row.ikepolicy_id,
        "ipsecpolicy_id": row.ipsecpolicy_id,
        **_reason(state),
        **_progress(state),
        **history.details_of(state),
    }


def _proposal(row: IkePolicyRow | IpsecPolicyRow) -> dict[str, Any]:
    return {
        **_named(row),
        "auth_algorithm": row.auth_algorithm,
        "encryption_algorithm": row.encryption_algorithm,
        "lifetime": {"units": row.lifetime_units, "value": row.lifetime_value},
        "pfs": row.pfs,
    }


def ikepolicy(row: IkePolicyRow) -> dict[str, Any]:
    """Return an IKE policy."""
    return {
        **_proposal(row),
        "phase1_negotiation_mode": row.phase1_negotiation_mode,
        "ike_version": row.ike_version,
    }


def ipsecpolicy(row: IpsecPolicyRow) -> dict[str, Any]:
    """Return an IPsec policy."""
    return {
        **_proposal(row),
        "transform_protocol": row.transform_protocol,
        "encapsulation_mode": row.encapsulation_mode,
    }


def endpoint_group(row: EndpointGroupRow) -> dict[str, Any]:
    """Return an endpoint group."""
    return {
        **_named(row),
        "type": row.endpoint_type,
        "endpoints": [endpoint.endpoint for endpoint in row.endpoints],
    }
