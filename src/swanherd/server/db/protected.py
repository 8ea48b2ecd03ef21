"""What the connections of a router protect, read in a constant number of queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from sqlalchemy import orm

from swanherd.core.model import TrafficSelector
from swanherd.core.validation import make_selectors, parse_network
from swanherd.server.backend import RouterTraffic
from swanherd.server.db.lately import lately
from swanherd.server.db.models import (
    EndpointGroupRow,
    PeerCidrRow,
    SiteConnectionRow,
    VpnServiceRow,
)

# Networks and pairs of them: 40 MB or so.
_KEPT = 2**17

_LINE = (
    SiteConnectionRow.id,
    SiteConnectionRow.vpnservice_id,
    SiteConnectionRow.status,
    SiteConnectionRow.peer_address,
    SiteConnectionRow.local_ep_group_id,
    SiteConnectionRow.peer_ep_group_id,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What tells which networks a connection has: some columns of its row.

    A request reads those of all connections of its router; whole rows would cost it ten times
    as much.
    """

    id: str
    vpnservice_id: str
    status: str
    peer_address: str
    local_ep_group_id: str | None
    peer_ep_group_id: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Protected:
    """A router's services and connections, and what each connection protects, by its id."""

    services: tuple[VpnServiceRow, ...]
    connections: tuple[Line, ...]
    selectors: Mapping[str, tuple[TrafficSelector, ...]]
    local_subnets: Mapping[str, tuple[str, ...]]


def services_of(session: Any, router_ids: Sequence[str]) -> tuple[VpnServiceRow, ...]:
    """Return the routers' vpnservices, by id."""
    query = sa.select(VpnServiceRow).where(VpnServiceRow.router_id.in_(router_ids))
    return tuple(session.scalars(query.order_by(VpnServiceRow.id)))


def connections_of(
    session: Any, router_ids: Sequence[str], among: Collection[str] | None = None
) -> tuple[SiteConnectionRow, ...]:
    """Return the connections of all the routers' vpnservices, by id; `among` chooses by id.

    What belongs to them is read when it is asked for: nobody here does, but for the key.
    """
    unasked = (SiteConnectionRow.peer_cidrs, SiteConnectionRow.state)
    query = _on(router_ids, sa.select(SiteConnectionRow)).order_by(SiteConnectionRow.id)
    query = query.options(*map(orm.lazyload, unasked))
    if among is not None:
        query = query.where(SiteConnectionRow.id.in_(among))
    return tuple(session.scalars(query))


def _on(router_ids: Sequence[str], query: Any) -> Any:
    service = VpnServiceRow.id == SiteConnectionRow.vpnservice_id
    return query.join(VpnServiceRow, service).where(VpnServiceRow.router_id.in_(router_ids))


def load(session: Any, router_id: str) -> Protected:
    """Return what a router's connections protect."""
    services = services_of(session, [router_id])
    lines = session.execute(_on([router_id], sa.select(*_LINE)).order_by(SiteConnectionRow.id))
    connections = tuple(Line(*line) for line in lines)
    remotes = _peer_cidrs(session, router_id)
    groups = _groups(session, connections)
    subnet_of = {service.id: service.subnet_id for service in services}
    local = {
        row.id: _local_subnets(subnet_of[row.vpnservice_id], groups.get(row.local_ep_group_id))
        for row in connections
    }
    cidrs = _cidrs(session, {subnet for subnets in local.values() for subnet in subnets})
    return Protected(
        services,
        connections,
        {
            row.id: _selectors(
                tuple([cidrs[subnet] for subnet in local[row.id] if subnet in cidrs]),
                _remotes(remotes.get(row.id, ()), groups.get(row.peer_ep_group_id)),
            )
            for row in connections
        },
        local,
    )


def traffic_of(session: Any, router_id: str) -> RouterTraffic:
    """Return what must be steered into the router's namespace."""
    loaded = load(session, router_id)
    selectors = {pair for pairs in loaded.selectors.values() for pair in pairs}
    return RouterTraffic(
        tuple(sorted(selectors, key=lambda pair: pair.sort_key)),
        tuple(sorted({row.peer_address for row in loaded.connections})),
        tuple(sorted({subnet for subnets in loaded.local_subnets.values() for subnet in subnets})),
        loaded.selectors,
    )


def _local_subnets(subnet_id: str | None, group: EndpointGroupRow | None) -> tuple[str, ...]:
    if subnet_id is not None:
        return (subnet_id,)
    return tuple(sorted(row.endpoint for row in group.endpoints)) if group is not None else ()


def _peer_cidrs(session: Any, router_id: str) -> Mapping[str, list[str]]:
    mine = SiteConnectionRow.id == PeerCidrRow.ipsec_site_connection_id
    query = sa.select(PeerCidrRow.ipsec_site_connection_id, PeerCidrRow.cidr)
    found: dict[str, list[str]] = {}
    for connection_id, cidr in session.execute(
        _on([router_id], query.join(SiteConnectionRow, mine))
    ):
        found.setdefault(connection_id, []).append(cidr)
    return found


def _remotes(peer_cidrs: Iterable[str], group: EndpointGroupRow | None) -> tuple[str, ...]:
    more = () if group is None else [endpoint.endpoint for endpoint in group.endpoints]
    return (*peer_cidrs, *more)


# A change of a router asks for those of all its connections, of which nearly all are as before.
@lately(_KEPT)
def _selectors(local: tuple[str, ...], remote: tuple[str, ...]) -> tuple[TrafficSelector, ...]:
    return make_selectors(map(parse_network, local), map(parse_network, remote))


def _groups(session: Any, connections: Iterable[Line]) -> Mapping[str | None, EndpointGroupRow]:
    ids = {i for row in connections for i in (row.local_ep_group_id, row.peer_ep_group_id) if i}
    if not ids:
        return {}
    query = sa.select(EndpointGroupRow).where(EndpointGroupRow.id.in_(ids))
    return {group.id: group for group in session.scalars(query)}


def _cidrs(session: Any, subnet_ids: set[str]) -> Mapping[str, str]:
    if not subnet_ids:
        return {}
    query = sa.select(models_v2.Subnet.id, models_v2.Subnet.cidr).where(
        models_v2.Subnet.id.in_(subnet_ids)
    )
    return {subnet_id: str(cidr) for subnet_id, cidr in session.execute(query)}
