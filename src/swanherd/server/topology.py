"""What Neutron's tables say around a router, in few queries: every change of a VPN asks this.

The plugins' own getters take tens of queries for the same.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import l3 as l3_models
from neutron.db.models import subnet_service_type
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib import constants
from neutron_lib.db import api as db_api

from swanherd.core.model import (
    Attachment,
    IPAddress,
    IPInterface,
    IPNetwork,
    PortId,
    RouterId,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Inside:
    """One address of the router on an internal network; mtu in bytes."""

    network_id: str
    subnet_id: str
    cidr: IPNetwork
    address: IPAddress
    mtu: int


@dataclasses.dataclass(frozen=True, slots=True)
class Router:
    """A router: its gateway port and that one's network, and its inside."""

    gateway_port_id: str | None
    gateway_network_id: str | None
    flavor_id: str | None
    inside: tuple[Inside, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Outside:
    """A router's gateway port, and the first address of each family that it has."""

    gateway_port_id: str | None
    v4: str | None
    v6: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class FixedIp:
    """One address of a port, with its subnet's gateway."""

    subnet_id: str
    interface: IPInterface
    gateway: IPAddress | None


@dataclasses.dataclass(frozen=True, slots=True)
class BoundPort:
    """A port, where it is bound and how; mtu of its network in bytes."""

    id: str
    network_id: str
    mac: str
    mtu: int
    host: str
    vif_type: str
    addresses: tuple[FixedIp, ...]

    def address(self, version: int) -> str | None:
        """Return the first address of the IP version."""
        ips = (a.interface.ip for a in self.addresses)
        return next((str(ip) for ip in ips if ip.version == version), None)

    def attachment(self) -> Attachment:
        """Return it as a router's way outside; the first gateway of each IP version counts."""
        gateways: dict[int, IPAddress] = {}
        for each in self.addresses:
            if each.gateway is not None:
                gateways.setdefault(each.gateway.version, each.gateway)
        return Attachment(
            port_id=PortId(self.id),
            mac=self.mac,
            addresses=tuple(each.interface for each in self.addresses),
            gateways=tuple(gateways.values()),
            mtu=self.mtu,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet that may give a port an address."""

    id: str
    version: int
    has_gateway: bool


def router_of(context: Any, router_id: RouterId) -> Router | None:
    """Return the router, if it exists."""
    return routers_of(context, [router_id]).get(router_id)


def routers_of(context: Any, router_ids: Collection[RouterId]) -> Mapping[RouterId, Router]:
    """Return those of the routers that exist, in two queries."""
    router, port = l3_models.Router, models_v2.Port
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(
            sa.select(router.id, router.gw_port_id, port.network_id, router.flavor_id)
            .outerjoin(port, port.id == router.gw_port_id)
            .where(router.id.in_(router_ids))
        ).all()
        inside = _inside(session, [row.id for row in rows]) if rows else {}
    return {
        RouterId(row.id): Router(
            row.gw_port_id, row.network_id, row.flavor_id, tuple(inside.get(row.id, ()))
        )
        for row in rows
    }


def _inside(session: Any, router_ids: Collection[str]) -> Mapping[str, list[Inside]]:
    port, ip = models_v2.Port, models_v2.IPAllocation
    subnet, network = models_v2.Subnet, models_v2.Network
    rows = session.execute(
        sa.select(
            port.device_id,
            subnet.id,
            subnet.network_id,
            subnet.cidr,
            ip.ip_address,
            network.mtu,
        )
        .join(ip, ip.subnet_id == subnet.id)
        .join(port, port.id == ip.port_id)
        .join(network, network.id == port.network_id)
        .where(
            port.device_id.in_(router_ids),
            port.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS),
        )
        .order_by(subnet.id, ip.ip_address)
    )
    found: dict[str, list[Inside]] = {}
    for row in rows:
        found.setdefault(row.device_id, []).append(
            Inside(
                row.network_id,
                row.id,
                ipaddress.ip_network(row.cidr),
                ipaddress.ip_address(row.ip_address),
                row.mtu,
            )
        )
    return found


def attached_of(
    context: Any, router_ids: Collection[RouterId]
) -> Mapping[RouterId, frozenset[str]]:
    """Return in which subnets the routers have an interface, in one query."""
    port, ip = models_v2.Port, models_v2.IPAllocation
    query = (
        sa.select(port.device_id, ip.subnet_id)
        .join(ip, ip.port_id == port.id)
        .where(
            port.device_id.in_(router_ids),
            port.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS),
        )
    )
    found: dict[RouterId, set[str]] = {router_id: set() for router_id in router_ids}
    with db_api.CONTEXT_READER.using(context) as session:
        for router_id, subnet_id in session.execute(query):
            found.setdefault(router_id, set()).add(subnet_id)
    return {router_id: frozenset(subnets) for router_id, subnets in found.items()}


def outside_of(context: Any, router_ids: Collection[RouterId]) -> Mapping[RouterId, Outside]:
    """Return the gateways of those of the routers that exist, in one query."""
    router, port = l3_models.Router, models_v2.Port
    ip, subnet = models_v2.IPAllocation, models_v2.Subnet
    query = (
        sa.select(router.id, router.gw_port_id, subnet.ip_version, ip.ip_address)
        .outerjoin(port, port.id == router.gw_port_id)
        .outerjoin(ip, ip.port_id == port.id)
        .outerjoin(subnet, subnet.id == ip.subnet_id)
        .where(router.id.in_(router_ids))
        .order_by(ip.ip_address)
    )
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(query).all()
    ports = {RouterId(row.id): row.gw_port_id for row in rows}
    addresses: dict[tuple[RouterId, int], str] = {}
    for row in rows:
        addresses.setdefault((row.id, row.ip_version), row.ip_address)
    return {i: Outside(ports[i], addresses.get((i, 4)), addresses.get((i, 6))) for i in ports}


def port_of(context: Any, port_id: str) -> BoundPort | None:
    """Return the port, if it exists."""
    return ports_of(context, [port_id]).get(port_id)


def ports_of(context: Any, port_ids: Collection[str]) -> Mapping[str, BoundPort]:
    """Return those of the ports that exist, in two queries."""
    port, binding = models_v2.Port, ml2_models.PortBinding
    network = models_v2.Network
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(
            sa.select(
                port.id,
                port.network_id,
                port.mac_address,
                network.mtu,
                binding.host,
                binding.vif_type,
            )
            .join(network, network.id == port.network_id)
            .outerjoin(
                binding,
                sa.and_(binding.port_id == port.id, binding.status == constants.ACTIVE),
            )
            .where(port.id.in_(port_ids))
        ).all()
        addresses = _addresses(session, [row.id for row in rows]) if rows else {}
    return {
        row.id: BoundPort(
            id=row.id,
            network_id=row.network_id,
            mac=str(row.mac_address),
            mtu=row.mtu,
            host=row.host or "",
            vif_type=row.vif_type or "",
            addresses=tuple(addresses.get(row.id, ())),
        )
        for row in rows
    }


def _addresses(session: Any, port_ids: Collection[str]) -> Mapping[str, list[FixedIp]]:
    ip, subnet = models_v2.IPAllocation, models_v2.Subnet
    rows = session.execute(
        sa.select(ip.port_id, subnet.id, subnet.cidr, subnet.gateway_ip, ip.ip_address)
        .join(ip, ip.subnet_id == subnet.id)
        .where(ip.port_id.in_(port_ids))
        .order_by(subnet.ip_version, ip.ip_address)
    )
    found: dict[str, list[FixedIp]] = {}
    for row in rows:
        found.setdefault(row.port_id, []).append(
            FixedIp(
                row.id,
                ipaddress.ip_interface(f"{row.ip_address}/{str(row.cidr).partition('/')[2]}"),
                ipaddress.ip_address(row.gateway_ip) if row.gateway_ip else None,
            )
        )
    return found


def subnets_of(
    context: Any, network_ids: Collection[str], device_owner: str
) -> Mapping[str, list[Subnet]]:
    """Return the networks' subnets that may serve the owner, those with a gateway first."""
    subnet, service = models_v2.Subnet, subnet_service_type.SubnetServiceType
    found: dict[str, list[Subnet]] = {network_id: [] for network_id in network_ids}
    with db_api.CONTEXT_READER.using(context) as session:
        reserved = sa.select(service.subnet_id).where(service.subnet_id == subnet.id)
        rows = session.execute(
            sa.select(subnet.id, subnet.network_id, subnet.ip_version, subnet.gateway_ip).where(
                subnet.network_id.in_(network_ids),
                sa.or_(
                    ~reserved.exists(),
                    reserved.where(service.service_type == device_owner).exists(),
                ),
            )
        )
        for row in rows:
            each = Subnet(row.id, row.ip_version, bool(row.gateway_ip))
            found.setdefault(row.network_id, []).append(each)
    return {i: sorted(each, key=lambda s: (not s.has_gateway, s.id)) for i, each in found.items()}
