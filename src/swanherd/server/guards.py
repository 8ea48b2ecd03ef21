"""What a VPN uses can't be taken from under it: Neutron asks before it does.

It asks before it begins, and again in the transaction that makes the change, where that has what
`server.held` holds for a VPN that is being made: one of the two waits for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3 as l3_models
from neutron_lib import constants
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
        (resources.NETWORK, keep_network),
    ):
        registry.subscribe(callback, resource, events.BEFORE_DELETE)
    registry.subscribe(keep_subnet, resources.SUBNET, events.PRECOMMIT_DELETE)
    for event in (events.PRECOMMIT_DELETE, events.PRECOMMIT_UPDATE):
        registry.subscribe(keep_port, resources.PORT, event)
    if not sa.event.contains(models_v2.Port, "before_delete", keep_distributed):
        sa.event.listen(models_v2.Port, "before_delete", keep_distributed)


def keep_router(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to delete a router with a vpnservice, or its gateway.

    Neutron asks this of the gateway within the transaction that takes it.
    """
    router, router_id = l3_models.Router, payload.resource_id
    query = sa.select(VpnServiceRow.id).where(VpnServiceRow.router_id == router_id)
    with db_api.CONTEXT_WRITER.using(payload.context) as session:
        session.execute(sa.select(router.id).where(router.id == router_id).with_for_update())
        services = sorted(session.scalars(_now(query)))
    if services:
        raise l3_exc.RouterInUse(
            router_id=router_id, reason=f"is used by the VPN services {', '.join(services)}"
        )


def keep_interface(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to take a subnet that a VPN of the router protects from the router."""
    with db_api.CONTEXT_WRITER.using(payload.context) as session:
        _keep_attached(session, payload.resource_id, payload.metadata["subnet_id"])


def keep_port(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) a change or the end of a router's port that takes such a subnet from it.

    Neutron lets the port's owner write which device it is of.
    """
    lost = _attached(payload.states[0]) - _attached(payload.desired_state or {})
    if not lost:
        return
    with db_api.CONTEXT_WRITER.using(payload.context) as session:
        _keep_all(session, payload.resource_id, lost)


def keep_distributed(_mapper: Any, connection: Any, port: models_v2.Port) -> None:
    """Refuse (409) the same of a distributed router's port, which no host may have bound yet.

    Neutron asks within the transaction once for each host that has, so perhaps not at all.
    """
    if port.device_owner == constants.DEVICE_OWNER_DVR_INTERFACE:
        lost = {(port.device_id, ip.subnet_id) for ip in port.__dict__.get("fixed_ips", ())}
        _keep_all(connection, port.id, lost)


def _keep_all(session: Any, port_id: str, lost: Iterable[tuple[str, str]]) -> None:
    port = models_v2.Port
    session.execute(sa.select(port.id).where(port.id == port_id).with_for_update())
    for router_id, subnet_id in sorted(lost):
        _keep_attached(session, router_id, subnet_id)


def _attached(port: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return which subnets the port attaches to which router."""
    if port.get("device_owner") not in constants.ROUTER_INTERFACE_OWNERS:
        return frozenset()
    return frozenset((port["device_id"], ip["subnet_id"]) for ip in port["fixed_ips"])


def _keep_attached(session: Any, router_id: str, subnet_id: str) -> None:
    services = sa.select(VpnServiceRow.id).where(
        VpnServiceRow.subnet_id == subnet_id, VpnServiceRow.router_id == router_id
    )
    connections = (
        sa.select(SiteConnectionRow.id)
        .join(VpnServiceRow, VpnServiceRow.id == SiteConnectionRow.vpnservice_id)
        .join(EndpointRow, EndpointRow.endpoint_group_id == SiteConnectionRow.local_ep_group_id)
        .where(EndpointRow.endpoint == subnet_id, VpnServiceRow.router_id == router_id)
    )
    service, connection = session.scalar(_now(services)), session.scalar(_now(connections))
    if service is not None:
        raise vpn_exc.SubnetInUseByVPNService(subnet_id=subnet_id, vpnservice_id=service)
    if connection is not None:
        raise vpn_exc.SubnetInUseByIPsecSiteConnection(
            subnet_id=subnet_id, ipsec_site_connection_id=connection
        )


def keep_subnet(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to delete a subnet that is in an endpoint group."""
    subnet, subnet_id = models_v2.Subnet, payload.resource_id
    with db_api.CONTEXT_WRITER.using(payload.context) as session:
        session.execute(sa.select(subnet.id).where(subnet.id == subnet_id).with_for_update())
        _keep_grouped(session, [subnet_id])


def keep_network(_resource: str, _event: str, _trigger: Any, payload: Any) -> None:
    """Refuse (409) to delete a network with such a subnet, before anything of it has gone."""
    subnet = models_v2.Subnet
    query = sa.select(subnet.id).where(subnet.network_id == payload.resource_id)
    with db_api.CONTEXT_WRITER.using(payload.context) as session:
        _keep_grouped(session, session.scalars(query).all())


def _keep_grouped(session: Any, subnet_ids: Iterable[str]) -> None:
    query = (
        sa.select(EndpointGroupRow.id, EndpointRow.endpoint)
        .join(EndpointRow, EndpointRow.endpoint_group_id == EndpointGroupRow.id)
        .where(
            EndpointGroupRow.endpoint_type == "subnet", EndpointRow.endpoint.in_(list(subnet_ids))
        )
    )
    found = session.execute(_now(query)).first()
    if found is not None:
        raise vpn_exc.SubnetInUseByEndpointGroup(subnet_id=found.endpoint, group_id=found.id)


def _now(query: Any) -> Any:
    """Ask for what is committed now, whatever the transaction has read before."""
    return query.with_for_update(read=True)
