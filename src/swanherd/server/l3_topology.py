"""What Neutron's tables say of a router that L3 agents serve: its kind, its hosts, its parts."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import agent as agent_models
from neutron.db.models import l3 as l3_models
from neutron.db.models import l3_attrs, l3agent, l3ha
from neutron_lib import constants
from neutron_lib.db import api as db_api

from swanherd.core.model import Detour, IPNetwork, PortId, RouterId


@dataclasses.dataclass(frozen=True, slots=True)
class L3Router:
    """How L3 agents serve a router.

    `bound` are the hosts that have it whole (of a distributed one, its central part), in the
    order of their names; `masters` those of them that say to Neutron that they have its addresses.
    """

    distributed: bool = False
    redundant: bool = False
    bound: tuple[str, ...] = ()
    masters: frozenset[str] = frozenset()


def l3_router_of(context: Any, router_id: RouterId) -> L3Router:
    """Return how the router is served; one that doesn't exist is served nowhere."""
    return l3_routers_of(context, [router_id])[router_id]


def l3_routers_of(context: Any, router_ids: Collection[RouterId]) -> Mapping[RouterId, L3Router]:
    """Return how each of the routers is served, in one query."""
    router, kind = l3_models.Router, l3_attrs.RouterExtraAttributes
    agent, binding = agent_models.Agent, l3agent.RouterL3AgentBinding
    redundancy = l3ha.L3HARouterAgentPortBinding
    query = (
        sa.select(router.id, kind.distributed, kind.ha, agent.host, redundancy.state)
        .outerjoin(kind, kind.router_id == router.id)
        .outerjoin(binding, binding.router_id == router.id)
        .outerjoin(agent, agent.id == binding.l3_agent_id)
        .outerjoin(
            redundancy,
            sa.and_(
                redundancy.router_id == router.id,
                redundancy.l3_agent_id == binding.l3_agent_id,
            ),
        )
        .where(router.id.in_(router_ids))
    )
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(query).all()
    found: dict[RouterId, list[Any]] = {router_id: [] for router_id in router_ids}
    for row in rows:
        found.setdefault(row.id, []).append(row)
    return {router_id: _l3_router(rows) for router_id, rows in found.items()}


def _l3_router(rows: Sequence[Any]) -> L3Router:
    """Return it by its rows, one for each host."""
    if not rows:
        return L3Router()
    masters = {row.host for row in rows if row.state == constants.HA_ROUTER_STATE_ACTIVE}
    return L3Router(
        bool(rows[0].distributed),
        bool(rows[0].ha),
        tuple(sorted({row.host for row in rows if row.host is not None})),
        frozenset(masters) if rows[0].ha else frozenset(),
    )


def detours_of(context: Any, router_id: RouterId) -> tuple[Detour, ...]:
    """Return the ways to a distributed router's central part, by subnet: those that have one.

    A network's gateway address is the distributed part's; its central part has another.
    """
    port, ip, subnet = models_v2.Port, models_v2.IPAllocation, models_v2.Subnet
    owners = (constants.DEVICE_OWNER_DVR_INTERFACE, constants.DEVICE_OWNER_ROUTER_SNAT)
    query = (
        sa.select(port.id, port.device_owner, ip.ip_address, subnet.id, subnet.cidr)
        .join(ip, ip.port_id == port.id)
        .join(subnet, subnet.id == ip.subnet_id)
        .where(port.device_id == router_id, port.device_owner.in_(owners))
        .order_by(subnet.id, ip.ip_address)
    )
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(query).all()
    inside: dict[str, tuple[PortId, IPNetwork]] = {}
    central: dict[str, str] = {}
    for row in rows:
        if row.device_owner == constants.DEVICE_OWNER_DVR_INTERFACE:
            inside.setdefault(row[3], (PortId(row[0]), ipaddress.ip_network(row.cidr)))
        else:
            central.setdefault(row[3], row.ip_address)
    return tuple(
        Detour(network, port_id, ipaddress.ip_address(central[subnet_id]))
        for subnet_id, (port_id, network) in inside.items()
        if subnet_id in central
    )
