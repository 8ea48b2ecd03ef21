"""The routers with a VPN as the database has them: neutron-vpnaas' still, or Swanherd's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from neutron.db.models import l3, l3agent
from neutron_lib.db import api as db_api

from swanherd.core.migration import Inherited, Keeper, Objects, Tunnel
from swanherd.core.model import RouterId
from swanherd.server import predecessor
from swanherd.server.db.models import (
    ExternalGatewayRow,
    RouterStateRow,
    SiteConnectionRow,
    VpnServiceRow,
)
from swanherd.server.db.repository import Repository


def inherited(context: Any, store: Repository) -> Iterator[Inherited]:
    """Yield every router that has a vpnservice."""
    with db_api.CONTEXT_READER.using(context) as session:
        query = sa.select(VpnServiceRow.router_id, l3.Router.gw_port_id).join(
            l3.Router, l3.Router.id == VpnServiceRow.router_id
        )
        gateways = dict(session.execute(query.distinct()).all())
        ours = set(session.scalars(sa.select(RouterStateRow.router_id)))
        bound = set(session.scalars(sa.select(l3agent.RouterL3AgentBinding.router_id)))
        objects = {row.router_id: row for row in session.scalars(sa.select(ExternalGatewayRow))}
        connections = _connections(session)
    for router_id, gateway in sorted(gateways.items()):
        row = objects.get(router_id)
        traffic = store.router_traffic(context, RouterId(router_id)).by_connection
        yield Inherited(
            RouterId(router_id),
            _keeper(router_id in ours, row),
            gateway is not None,
            _objects(row) if row else None,
            tuple(_tunnel(c, traffic.get(c.id, ())) for c in connections[router_id]),
            # A cloud that was moved from Open vSwitch to OVN may have bindings left.
            of_l3_agent=router_id in bound and row is None,
        )


def project_of(context: Any, router_id: RouterId) -> str:
    """Return whose the router is."""
    query = sa.select(l3.Router.project_id).where(l3.Router.id == router_id)
    with db_api.CONTEXT_READER.using(context) as session:
        return session.scalar(query) or ""


def _connections(session: Any) -> dict[str, list[SiteConnectionRow]]:
    found: dict[str, list[SiteConnectionRow]] = defaultdict(list)
    query = sa.select(VpnServiceRow.router_id, SiteConnectionRow).join(
        VpnServiceRow, VpnServiceRow.id == SiteConnectionRow.vpnservice_id
    )
    for router_id, row in session.execute(query.order_by(SiteConnectionRow.id)):
        found[router_id].append(row)
    return found


def _keeper(is_ours: bool, row: ExternalGatewayRow | None) -> Keeper:
    if not is_ours:
        return Keeper.THEIRS
    is_returning = row is not None and row.status == predecessor.RETURNING
    return Keeper.RETURNING if is_returning else Keeper.OURS


def _objects(row: ExternalGatewayRow) -> Objects:
    return Objects(
        row.status,
        row.gw_port_id,
        row.transit_port_id,
        row.transit_subnet_id,
        row.transit_network_id,
    )


def _tunnel(row: SiteConnectionRow, selectors: Any) -> Tunnel:
    versions = frozenset(s.remote.version for s in selectors)
    return Tunnel(
        row.id, row.name or "", row.peer_address, row.status, bool(row.admin_state_up), versions
    )
