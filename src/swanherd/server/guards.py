"""What a VPN uses can't be taken from under it: Neutron asks before it does."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.db import api as db_api
from neutron_lib.exceptions import l3 as l3_exc
from neutron_lib.exceptions import vpn as vpn_exc

from swanherd.server.db.models import (
    EndpointGroupRow,
    EndpointRow,
    SiteConnectionRow,
    VpnServiceRow,
)


def subscribe() -> None:
    """Begin to answer; a repeated subscription is the same one."""
    for resource, callback in (
        (resources.ROUTER_GATEWAY, keep_router),
        (resources.ROUTER, keep_router),
        (resources.ROUTER_INTERFACE, keep_interface),
        (resources.SUBNET, keep_subnet),
    ):
        registry.subscribe(callback, resource, events.BEFORE_DELETE)


def keep_router(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to delete a router with a vpnservice, or its gateway."""
    with db_api.CONTEXT_READER.using(payload.context) as session:
        query = sa.select(VpnServiceRow.id).where(VpnServiceRow.router_id == payload.resource_id)
        services = sorted(session.scalars(query))
    if services:
        raise l3_exc.RouterInUse(
            router_id=payload.resource_id,
            reason=f"is used by the VPN services {', '.join(services)}",
        )


def keep_interface(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to take a subnet that a VPN of the router protects from the router."""
    router_id, subnet_id = payload.resource_id, payload.metadata.get("subnet_id")
    with db_api.CONTEXT_READER.using(payload.context) as session:
        services = sa.select(VpnServiceRow.id).where(
            VpnServiceRow.subnet_id == subnet_id, VpnServiceRow.router_id == router_id
        )
        connections = (
            sa.select(SiteConnectionRow.id)
            .join(VpnServiceRow, VpnServiceRow.id == SiteConnectionRow.vpnservice_id)
            .join(
                EndpointRow, EndpointRow.endpoint_group_id == SiteConnectionRow.local_ep_group_id
            )
            .where(EndpointRow.endpoint == subnet_id, VpnServiceRow.router_id == router_id)
        )
        service, connection = session.scalar(services), session.scalar(connections)
    if service is not None:
        raise vpn_exc.SubnetInUseByVPNService(subnet_id=subnet_id, vpnservice_id=service)
    if connection is not None:
        raise vpn_exc.SubnetInUseByIPsecSiteConnection(
            subnet_id=subnet_id, ipsec_site_connection_id=connection
        )


def keep_subnet(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to delete a subnet that is in an endpoint group."""
    subnet_id = payload.resource_id
    query = (
        sa.select(EndpointGroupRow.id)
        .join(EndpointRow, EndpointRow.endpoint_group_id == EndpointGroupRow.id)
        .where(EndpointGroupRow.endpoint_type == "subnet", EndpointRow.endpoint == subnet_id)
    )
    with db_api.CONTEXT_READER.using(payload.context) as session:
        group = session.scalar(query)
    if group is not None:
        raise vpn_exc.SubnetInUseByEndpointGroup(subnet_id=subnet_id, group_id=group)
