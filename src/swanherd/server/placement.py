"""Where VPN agents are, as Neutron knows from their heartbeats."""

from __future__ import annotations

from typing import Any

from neutron.agent.common import utils as agent_utils
from neutron.objects import agent as agent_objects

from swanherd.core.placement import Agents
from swanherd.rpc.topics import AGENT_TYPE


def agents(context: Any) -> Agents:
    """Read the VPN agents that are administratively up.

    Not by the core plugin: with OVN that pings every chassis first.
    """
    rows = agent_objects.Agent.get_objects(
        context.elevated(), agent_type=AGENT_TYPE, admin_state_up=True
    )
    dead = agent_utils.is_agent_down
    return Agents(
        known=frozenset(row.host for row in rows),
        alive=frozenset(row.host for row in rows if not dead(row.heartbeat_timestamp)),
    )
