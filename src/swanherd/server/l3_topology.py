"""What Neutron's tables say of a router that L3 agents serve: its kind, its hosts, its parts."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.models import agent as agent_models
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

    distributed: bool
    redundant: bool
    bound: tuple[str, ...]
    masters: frozenset[str]
    detours: tuple[Detour, ...]


def l3_router_of(context: Any, router_id: RouterId) -> L3Router:
    """Return how the router is served; one that doesn't exist is served nowhere."""
    with db_api.CONTEXT_READER.using(context) as session:
        attributes = l3_attrs.RouterExtraAttributes
        kind = session.execute(
            sa.select(attributes.distributed, attributes.ha).where(
                attributes.router_id == router_id
            )
        ).first()
        distributed, redundant = (bool(kind[0]), bool(kind[1])) if kind else (False, False)
        return L3Router(
            distributed,
            redundant,
            _bound(session, router_id),
            _masters(session, router_id) if redundant else frozenset(),
            _detours(session, router_id) if distributed else (),
        )


def _bound(session: Any, router_id: RouterId) -> tuple[str, ...]:
    agent, binding = agent_models.Agent, l3agent.RouterL3AgentBinding
    query = (
        sa.select(agent.host)
        .join(binding, binding.l3_agent_id == agent.id)
        .where(binding.router_id == router_id)
        .order_by(agent.host)
    )
    return tuple(session.scalars(query))


def _masters(session: Any, router_id: RouterId) -> frozenset[str]:
    agent, binding = agent_models.Agent, l3ha.L3HARouterAgentPortBinding
    query = (
        sa.select(agent.host)
        .join(binding, binding.l3_agent_id == agent.id)
        .where(binding.router_id == router_id, binding.state == constants.HA_ROUTER_STATE_ACTIVE)
    )
    return frozenset(session.scalars(query))


def _detours(session: Any, router_id: RouterId) -> tuple[Detour, ...]:
    """Return the ways to the central part, by subnet: those that have one.

    A network's gateway address is the distributed part's; its central part has another.
    """
    port, ip, subnet = models_v2.Port, models_v2.IPAllocation, models_v2.Subnet
    owners = (constants.DEVICE_OWNER_DVR_INTERFACE, constants.DEVICE_OWNER_ROUTER_SNAT)
    rows = session.execute(
        sa.select(port.id, port.device_owner, ip.ip_address, subnet.id, subnet.cidr)
        .join(ip, ip.port_id == port.id)
        .join(subnet, subnet.id == ip.subnet_id)
        .where(port.device_id == router_id, port.device_owner.in_(owners))
        .order_by(subnet.id, ip.ip_address)
    )
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
