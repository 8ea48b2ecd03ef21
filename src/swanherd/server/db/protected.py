"""What the connections of a router protect, read in a constant number of queries."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from sqlalchemy import orm

from swanherd.core.model import RouterId, TrafficSelector
from swanherd.core.validation import make_selectors, parse_network
from swanherd.server.backend import RouterTraffic
from swanherd.server.db.lately import lately
from swanherd.server.db.models import (
    EndpointRow,
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


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """The rows of some routers, of which nothing is parsed yet.

    Services and connections by router, peer CIDRs by connection, endpoints by group, and the
    networks of subnets.
    """

    services: Mapping[str, Sequence[VpnServiceRow]]
    connections: Mapping[str, Sequence[Line]]
    peer_cidrs: Mapping[str, Sequence[str]]
    groups: Mapping[str | None, Sequence[str]]
    cidrs: Mapping[str, str]

    def of(self, router_id: str) -> Protected:
        """Return what one router's connections protect."""
        services = tuple(self.services.get(router_id, ()))
        connections = tuple(self.connections.get(router_id, ()))
        local = _local(services, connections, self.groups)
        return Protected(
            services,
            connections,
            {
                row.id: _selectors(
                    tuple([self.cidrs[s] for s in local[row.id] if s in self.cidrs]),
                    (
                        *self.peer_cidrs.get(row.id, ()),
                        *self.groups.get(row.peer_ep_group_id, ()),
                    ),
                )
                for row in connections
            },
            local,
        )


def load(session: Any, router_id: str) -> Protected:
    """Return what a router's connections protect."""
    return read(session, [router_id]).of(router_id)


def local_subnets(
    session: Any, router_ids: Sequence[RouterId]
) -> Mapping[RouterId, Mapping[str, tuple[str, ...]]]:
    """Return the local subnets of the routers' services and connections, by their ids."""
    services, connections = _lines(session, router_ids)
    groups = _groups(session, connections)
    return {
        i: _local_of_all(
            services.get(i, ()), _local(services.get(i, ()), connections.get(i, ()), groups)
        )
        for i in router_ids
    }


def read(session: Any, router_ids: Sequence[str]) -> Rows:
    """Read what tells it, of many routers in as many queries as of one."""
    services, connections = _lines(session, router_ids)
    peer_cidrs = _peer_cidrs(session, router_ids)
    groups = _groups(session, connections)
    subnets = {
        subnet
        for router_id, rows in connections.items()
        for each in _local(services[router_id], rows, groups).values()
        for subnet in each
    }
    return Rows(services, connections, peer_cidrs, groups, _cidrs(session, subnets))


def _lines(
    session: Any, router_ids: Sequence[str]
) -> tuple[Mapping[str, Sequence[VpnServiceRow]], Mapping[str, Sequence[Line]]]:
    """Return the routers' services and connections, by router."""
    services: dict[str, list[VpnServiceRow]] = {}
    home = {}
    for service in services_of(session, router_ids):
        services.setdefault(service.router_id, []).append(service)
        home[service.id] = service.router_id
    lines = session.execute(_on(router_ids, sa.select(*_LINE)).order_by(SiteConnectionRow.id))
    connections: dict[str, list[Line]] = {}
    for line in lines:
        row = Line(*line)
        if row.vpnservice_id in home:
            connections.setdefault(home[row.vpnservice_id], []).append(row)
    return services, connections


def traffic_of(loaded: Protected) -> RouterTraffic:
    """Return what must be steered into the router's namespace."""
    selectors = {pair for pairs in loaded.selectors.values() for pair in pairs}
    return RouterTraffic(
        tuple(sorted(selectors, key=lambda pair: pair.sort_key)),
        tuple(sorted({row.peer_address for row in loaded.connections})),
        tuple(sorted({subnet for subnets in loaded.local_subnets.values() for subnet in subnets})),
        loaded.selectors,
        _local_of_all(loaded.services, loaded.local_subnets),
    )


def _local(
    services: Iterable[VpnServiceRow],
    connections: Iterable[Line],
    groups: Mapping[str | None, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Return the subnets behind each connection's local side."""
    subnet_of = {service.id: service.subnet_id for service in services}
    return {
        row.id: (subnet,)
        if (subnet := subnet_of[row.vpnservice_id]) is not None
        else tuple(sorted(groups.get(row.local_ep_group_id, ())))
        for row in connections
    }


def _local_of_all(
    services: Iterable[VpnServiceRow], local: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Add the services' subnets to those of connections."""
    return {**{s.id: (s.subnet_id,) for s in services if s.subnet_id is not None}, **local}


def _peer_cidrs(session: Any, router_ids: Sequence[str]) -> Mapping[str, list[str]]:
    mine = SiteConnectionRow.id == PeerCidrRow.ipsec_site_connection_id
    query = sa.select(PeerCidrRow.ipsec_site_connection_id, PeerCidrRow.cidr)
    found: dict[str, list[str]] = {}
    for connection_id, cidr in session.execute(
        _on(router_ids, query.join(SiteConnectionRow, mine))
    ):
        found.setdefault(connection_id, []).append(cidr)
    return found


# A change of a router asks for those of all its connections, of which nearly all are as before.
@lately(_KEPT)
def _selectors(local: tuple[str, ...], remote: tuple[str, ...]) -> tuple[TrafficSelector, ...]:
    return make_selectors(map(parse_network, local), map(parse_network, remote))


def _groups(
    session: Any, connections: Mapping[str, Sequence[Line]]
) -> Mapping[str | None, list[str]]:
    """Return the endpoints of every group that one of the connections has."""
    lines = [row for rows in connections.values() for row in rows]
    ids = {i for row in lines for i in (row.local_ep_group_id, row.peer_ep_group_id) if i}
    found: dict[str | None, list[str]] = {}
    if ids:
        row = EndpointRow
        query = sa.select(row.endpoint_group_id, row.endpoint)
        for group_id, endpoint in session.execute(query.where(row.endpoint_group_id.in_(ids))):
            found.setdefault(group_id, []).append(endpoint)
    return found


def _cidrs(session: Any, subnet_ids: set[str]) -> Mapping[str, str]:
    if not subnet_ids:
        return {}
    query = sa.select(models_v2.Subnet.id, models_v2.Subnet.cidr).where(
        models_v2.Subnet.id.in_(subnet_ids)
    )
    return {subnet_id: str(cidr) for subnet_id, cidr in session.execute(query)}
