"""Where VPN agents are, as Neutron knows from their heartbeats."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from neutron.agent.common import utils as agent_utils
from neutron.db.models import agent as agent_models
from neutron.objects import agent as agent_objects
from neutron_lib.db import api as db_api

from swanherd.core.model import DataPlane
from swanherd.core.placement import Agents
from swanherd.rpc.topics import AGENT_TYPE


def agents(context: Any) -> Agents:
    """Read the VPN agents that are administratively up.

    Not by the core plugin: with OVN that pings every chassis first.
    """
    row = agent_models.Agent
    # Two columns: this is asked at each look at a router, and of some hundred agents objects cost
    # more than all the rest of it.
    query = sa.select(row.host, row.heartbeat_timestamp).where(
        row.agent_type == AGENT_TYPE, row.admin_state_up.is_(True)
    )
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(query).all()
    return Agents(
        known=frozenset(row.host for row in rows),
        alive=frozenset(row.host for row in rows if _lives(row)),
    )


def answering(context: Any) -> frozenset[str]:
    """Return the hosts of VPN agents that are alive; also of those that are disabled.

    Such a one goes on with what nobody else can have.
    """
    row = agent_models.Agent
    query = sa.select(row.host, row.heartbeat_timestamp).where(row.agent_type == AGENT_TYPE)
    with db_api.CONTEXT_READER.using(context) as session:
        rows = session.execute(query).all()
    return frozenset(row.host for row in rows if _lives(row))


def data_planes(context: Any) -> frozenset[DataPlane | None]:
    """Return the data planes of all VPN agents that are alive; None for one that tells none."""
    told = (row.configurations.get("data_plane") for row in _rows(context) if _lives(row))
    return frozenset(DataPlane(plane) if plane in set(DataPlane) else None for plane in told)


def _rows(context: Any) -> Any:
    return agent_objects.Agent.get_objects(
        context.elevated(), agent_type=AGENT_TYPE, admin_state_up=True
    )


def _lives(row: Any) -> bool:
    return not agent_utils.is_agent_down(row.heartbeat_timestamp)
