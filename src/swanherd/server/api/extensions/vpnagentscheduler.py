"""The extension `vpn-agent-scheduler`: agents of a router, routers of an agent."""

from __future__ import annotations

from typing import Any

import webob.exc
from neutron import policy
from neutron.api import extensions as api_extensions
from neutron.api.v2 import resource
from neutron_lib.api import extensions, faults
from neutron_lib.plugins import constants, directory

from swanherd.server.api.bodies import guarded
from swanherd.server.api.definitions import AGENT_SCHEDULER
from swanherd.server.compat import wsgi


class _RoutersOfAgent(wsgi.Controller):
    """`/agents/{agent_id}/vpn-routers`."""

    def index(self, request: Any, *body: Any, agent_id: str, **_: Any) -> Any:
        """List the routers that the agent serves."""
        _refuse(body)
        policy.enforce(request.context, "get_vpn-routers", {})
        return _plugin().list_routers_on_vpn_agent(request.context, agent_id)

    def create(self, request: Any, body: Any = None, *, agent_id: str, **_: Any) -> Any:
        """Pin a router to the agent."""
        policy.enforce(request.context, "create_vpn-router", {})
        if not isinstance(body, dict) or not isinstance(body.get("router_id"), str):
            raise webob.exc.HTTPBadRequest("The body must name a router_id.")
        return _plugin().add_router_to_vpn_agent(request.context, agent_id, body["router_id"])

    def delete(self, request: Any, id: str, agent_id: str, **_: Any) -> Any:
        """Move a router away from the agent."""
        policy.enforce(request.context, "delete_vpn-router", {})
        return _plugin().remove_router_from_vpn_agent(request.context, agent_id, id)


class _AgentsOfRouter(wsgi.Controller):
    """`/routers/{router_id}/vpn-agents`."""

    def index(self, request: Any, *body: Any, router_id: str, **_: Any) -> Any:
        """List the agents that have the router."""
        _refuse(body)
        policy.enforce(request.context, "get_vpn-agents", {})
        return _plugin().list_vpn_agents_hosting_router(request.context, router_id)


class Vpnagentscheduler(extensions.APIExtensionDescriptor):
    """The scheduler's API, by the URLs of neutron-vpnaas."""

    api_definition = AGENT_SCHEDULER

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources under agents and routers."""
        return guarded(
            api_extensions.ResourceExtension(
                collection,
                resource.Resource(controller, faults.FAULT_MAP),
                {"member_name": member, "collection_name": f"{member}s"},
            )
            for collection, controller, member in (
                ("vpn-routers", _RoutersOfAgent(), "agent"),
                ("vpn-agents", _AgentsOfRouter(), "router"),
            )
        )


def _refuse(body: tuple[Any, ...]) -> None:
    """Refuse a PUT, which Neutron (pecan_wsgi) takes for a list, and gives its body."""
    if body:
        raise webob.exc.HTTPMethodNotAllowed("Only GET, POST and DELETE are known here.")


def _plugin() -> Any:
    plugin = directory.get_plugin(constants.VPN)
    if plugin is None:
        raise webob.exc.HTTPNotFound("The resource could not be found.")
    return plugin
