"""From the rows and the backend's wiring to what a router should be."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from neutron_lib.db import api as db_api

from swanherd.core.model import (
    ConnectionId,
    DesiredRouter,
    Initiator,
    IPAddress,
    Reason,
    Secret,
    Service,
    ServiceId,
    SiteConnection,
    Status,
    TrafficSelector,
)
from swanherd.server.backend import RouterRow, Wiring
from swanherd.server.db import protected, values, vault
from swanherd.server.db.models import (
    IkePolicyRow,
    IpsecPolicyRow,
    SiteConnectionRow,
    StatusRow,
    VpnServiceRow,
)
from swanherd.server.db.status import connection_problem, peer_family


def build(context: Any, row: RouterRow, wiring: Wiring) -> DesiredRouter:
    """Return what the router should be at the row's revision, in a constant number of queries."""
    with db_api.CONTEXT_READER.using(context) as session:
        loaded = protected.load(session, row.router_id)
        connections = protected.connections_of(session, [row.router_id])
        statuses = _by_id(session, StatusRow, [c.id for c in connections])
        ikes = _by_id(session, IkePolicyRow, [c.ikepolicy_id for c in connections])
        ipsecs = _by_id(session, IpsecPolicyRow, [c.ipsecpolicy_id for c in connections])
        services = {service.id: service for service in loaded.services}
        # The agent hears nothing of a connection whose networks another one has.
        wanted = [c for c in connections if not _is_superseded(statuses.get(c.id))]
        problems = _problems(services, connections, statuses, row.problem)
        return DesiredRouter(
            id=row.router_id,
            revision=row.revision,
            epoch=row.epoch,
            naming_key=row.naming_key,
            public=wiring.public,
            transit=wiring.transit,
            router_addresses=wiring.router_addresses,
            services=tuple(
                Service(ServiceId(service.id), up=bool(service.admin_state_up))
                for service in loaded.services
            ),
            connections=tuple(
                _connection(
                    connection,
                    services[connection.vpnservice_id],
                    _local_address(wiring, peer_family(connection, statuses.get(connection.id))),
                    (ikes[connection.ikepolicy_id], ipsecs[connection.ipsecpolicy_id]),
                    loaded.selectors[connection.id],
                )
                for connection in wanted
            ),
            problems=tuple(
                (row_id, reason)
                for row_id, reason in sorted(problems.items())
                if not _is_superseded(statuses.get(row_id))
            ),
            unsettled=tuple(
                ConnectionId(c.id) for c in wanted if not _is_settled(c, statuses.get(c.id))
            ),
        )


def _is_superseded(status: StatusRow | None) -> bool:
    return status is not None and status.superseded_by is not None


def _is_settled(row: SiteConnectionRow, status: StatusRow | None) -> bool:
    """Tell whether a report that says the same as the last one would change nothing.

    What raises a row's revision makes it pending, so ACTIVE says that it is applied. A row of
    neutron-vpnaas that wasn't adopted yet may be ACTIVE too.
    """
    return status is not None and row.status == Status.ACTIVE


def _by_id(session: Any, model: Any, ids: list[str]) -> Mapping[str, Any]:
    if not ids:
        return {}
    rows = session.scalars(sa.select(model).where(model.id.in_(ids)))
    return {row.id: row for row in rows}


def _local_address(wiring: Wiring, family: int | None) -> IPAddress | None:
    """Return the public address of the peer's family; of an unknown family, the first there is."""
    if wiring.public is None:
        return None
    addresses = sorted(
        (interface.ip for interface in wiring.public.addresses),
        key=lambda address: (address.version, address.packed),
    )
    for address in addresses:
        if family in (None, address.version):
            return address
    return None


def _problems(
    services: Mapping[str, VpnServiceRow],
    connections: Iterable[SiteConnectionRow],
    statuses: Mapping[str, StatusRow],
    problem: Reason | None,
) -> Mapping[str, Reason]:
    found: dict[str, Reason] = {}
    if problem is not None:
        found.update(dict.fromkeys(services, problem))
    for row in connections:
        cause = problem or connection_problem(
            row, services[row.vpnservice_id], statuses.get(row.id)
        )
        if cause is not None:
            found[row.id] = cause
    return found


def _connection(
    row: SiteConnectionRow,
    service: VpnServiceRow,
    local_address: IPAddress | None,
    policies: tuple[IkePolicyRow, IpsecPolicyRow],
    selectors: tuple[TrafficSelector, ...],
) -> SiteConnection:
    ike, ipsec = policies
    return SiteConnection(
        id=ConnectionId(row.id),
        service_id=ServiceId(service.id),
        up=bool(row.admin_state_up and service.admin_state_up),
        local_address=local_address,
        local_id=row.local_id or (str(local_address) if local_address else ""),
        peer_address=_canonical(row.peer_address),
        peer_id=row.peer_id,
        psk=Secret(vault.current().read(row)),
        initiator=Initiator(row.initiator),
        mtu=row.mtu,
        dpd=values.dpd(row),
        ike=values.ike_policy(ike),
        ipsec=values.ipsec_policy(ipsec),
        selectors=selectors,
    )


def _canonical(peer_address: str) -> str:
    """Return an IP address in its one spelling, a name as it is."""
    try:
        return str(ipaddress.ip_address(peer_address))
    except ValueError:
        return peer_address
