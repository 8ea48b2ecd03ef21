"""Which VPN agent serves a router: shown, and moved among the candidates by an operator."""

from __future__ import annotations

from typing import Any

from neutron_lib import exceptions as lib_exc
from neutron_lib.exceptions import agent as agent_exc
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from oslo_log import log as logging

from swanherd.core.model import RouterId
from swanherd.rpc.topics import AGENT_TYPE
from swanherd.server.backend import RouterRow
from swanherd.server.resources.room import Room

LOG = logging.getLogger(__name__)


class InvalidVPNAgent(agent_exc.AgentNotFound):
    """The agent is of another kind."""

    message = "Agent %(id)s is not a VPN agent"


class RouterNotHostedByVPNAgent(lib_exc.NotFound):
    """The agent has nothing of the router."""

    message = "The VPN of router %(router_id)s isn't on VPN agent %(agent_id)s"


class RouterSchedulingFailed(lib_exc.Conflict):
    """The agent can't serve the router."""

    message = "The VPN of router %(router_id)s can't go to VPN agent %(agent_id)s: %(why)s"


class RouterReschedulingFailed(lib_exc.Conflict):
    """There is nowhere to go."""

    message = "The VPN of router %(router_id)s can't leave VPN agent %(agent_id)s: %(why)s"


class AgentScheduling(Room):
    """The requests of `vpn-agent-scheduler`; only the candidates of a router's gateway count."""

    def list_routers_on_vpn_agent(self, context: Any, agent_id: str) -> dict[str, Any]:
        """Return the routers whose VPN the agent serves."""
        host = _agent(context, agent_id)["host"]
        rows = self.store.list_rows_of_host(context, host)
        ids = [row.router_id for row in rows if row.host == host and row.services]
        l3 = directory.get_plugin(plugin_const.L3)
        return {"routers": l3.get_routers(context, filters={"id": ids}) if ids else []}

    def list_vpn_agents_hosting_router(self, context: Any, router_id: str) -> dict[str, Any]:
        """Return the agent that serves the router and those that stand by, with `ha_state`."""
        directory.get_plugin(plugin_const.L3).get_router(context, router_id)
        row = self.store.get_router_row(context, RouterId(router_id))
        hosts = row.hosts if row is not None and row.services else ()
        found = {agent["host"]: agent for agent in _agents(context)}
        agents = [
            {
                **found[host],
                "ha_state": "active" if row and host == row.host else "standby",
                "vpn_ready": bool(row and host in row.ready),
            }
            for host in hosts
            if host in found
        ]
        return {"agents": agents}

    def add_router_to_vpn_agent(self, context: Any, agent_id: str, router_id: str) -> None:
        """Pin the router to the agent, which must be a live candidate."""
        agent = _agent(context, agent_id)
        row = self._served(context, router_id, agent_id)
        host = agent["host"]
        if host not in row.hosts:
            why = "its chassis may not host the router's gateway, or it is disabled"
            raise RouterSchedulingFailed(router_id=router_id, agent_id=agent_id, why=why)
        if not agent["alive"]:
            raise RouterSchedulingFailed(
                router_id=router_id, agent_id=agent_id, why="it doesn't answer"
            )
        if not self._pin(context, row.router_id, host):
            raise RouterSchedulingFailed(
                router_id=router_id, agent_id=agent_id, why="it is no candidate any more"
            )

    def remove_router_from_vpn_agent(self, context: Any, agent_id: str, router_id: str) -> None:
        """Move the router to another candidate: where its gateway is, else the next live one."""
        host = _agent(context, agent_id)["host"]
        row = self._served(context, router_id, agent_id)
        if host not in row.hosts:
            raise RouterNotHostedByVPNAgent(router_id=router_id, agent_id=agent_id)
        if row.host != host:
            why = "it stands by, as every candidate with an agent does"
            raise RouterReschedulingFailed(router_id=router_id, agent_id=agent_id, why=why)
        if row.pin == host:
            self.store.unpin(context, row.router_id, host)
            self._look(row.router_id)
            row = self._served(context, router_id, agent_id)
            if row.host != host:
                return
        alive = {agent["host"] for agent in _agents(context) if agent["alive"]}
        others = [other for other in row.standbys if other in alive]
        if not any(self._pin(context, row.router_id, other) for other in others):
            why = "no other candidate has an agent that answers"
            raise RouterReschedulingFailed(router_id=router_id, agent_id=agent_id, why=why)

    def _served(self, context: Any, router_id: str, agent_id: str) -> RouterRow:
        """Return the router's row; 404 without such a router, 409 if it has no VPN."""
        directory.get_plugin(plugin_const.L3).get_router(context, router_id)
        row = self.store.get_router_row(context, RouterId(router_id))
        if row is None or not row.services:
            raise RouterSchedulingFailed(
                router_id=router_id, agent_id=agent_id, why="the router has no vpnservice"
            )
        return row

    def _pin(self, context: Any, router_id: RouterId, host: str) -> bool:
        """Pin the router to the host; tell whether it is there now."""
        self.store.pin(context, router_id, host)
        self._look(router_id)
        row = self.store.get_router_row(context, router_id)
        if row is not None and row.host == host:
            LOG.info("Router %s is pinned to %s", router_id, host)
            return True
        self.store.unpin(context, router_id, host)
        return False


def _agents(context: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = directory.get_plugin().get_agents(
        context.elevated(), filters={"agent_type": [AGENT_TYPE]}
    )
    return found


def _agent(context: Any, agent_id: str) -> dict[str, Any]:
    """Return the VPN agent; 404 if there is none of this id."""
    agent: dict[str, Any] = directory.get_plugin().get_agent(context.elevated(), agent_id)
    if agent["agent_type"] != AGENT_TYPE:
        raise InvalidVPNAgent(id=agent_id)
    return agent
