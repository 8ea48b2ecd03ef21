"""The operators' pages: agents, the routers that each serves, standbys, draining."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django import http, shortcuts
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from horizon import messages, views

from swanherd_dashboard import neutron
from swanherd_dashboard.pages import PageOfOne

INDEX = "horizon:admin:swanherd_agents:index"
AGENT = "horizon:admin:swanherd_agents:agent"
AGENTS = "agents"
KIND = "Swanherd VPN agent"
MOST = 50  # routers whose standbys are asked for: a request each


class IndexView(views.HorizonTemplateView):
    """All VPN agents."""

    template_name = "swanherd_dashboard/agents.html"
    page_title = gettext_lazy("VPN Agents")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the agents and the routers that each serves: a request each."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        try:
            cloud = neutron.of(self.request)
            context["agents"] = [
                {**row, "routers": served(cloud, row["id"])} for row in agents_of(cloud)
            ]
        except neutron.Refused as error:
            messages.error(self.request, error.text)
        return context


def agents_of(cloud: neutron.Neutron) -> Sequence[Mapping[str, Any]]:
    """Return the VPN agents by host."""
    found = cloud.get(AGENTS, agent_type=KIND)
    return sorted(found, key=lambda row: str(row["host"]))


def served(cloud: neutron.Neutron, agent_id: str) -> Sequence[Mapping[str, Any]]:
    """Return the routers whose VPN the agent serves."""
    found: Sequence[Mapping[str, Any]] = cloud.get(f"{AGENTS}/{agent_id}/vpn-routers")
    return sorted(found, key=lambda row: (row["name"], row["id"]))


class AgentView(PageOfOne):
    """An agent, its routers, and who stands by for each."""

    template_name = "swanherd_dashboard/agent.html"
    index = INDEX
    page_title = "{{ agent.host }}"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the agent and its routers."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        cloud = neutron.of(self.request)
        agent_id = str(kwargs["agent_id"])
        routers = served(cloud, agent_id)
        context["agent"] = cloud.get(f"{AGENTS}/{agent_id}")
        context["left_out"] = max(0, len(routers) - MOST)
        context["routers"] = [
            {
                **router,
                "standbys": [
                    each
                    for each in cloud.get(f"routers/{router['id']}/vpn-agents")
                    if each.get("ha_state") == "standby"
                ],
            }
            for router in routers[:MOST]
        ]
        return context


@require_POST
def drain(request: http.HttpRequest, agent_id: uuid.UUID) -> http.HttpResponse:
    """Disable an agent, so that its routers move to others, or enable it again."""
    enable = request.POST.get("enable") == "yes"
    try:
        neutron.of(request).update(AGENTS, str(agent_id), {"admin_state_up": enable})
    except neutron.Refused as error:
        messages.error(request, error.text)
    else:
        said = _("The agent takes routers again.") if enable else _("The agent is being drained.")
        messages.success(request, said)
    return shortcuts.redirect(INDEX)


@require_POST
def move(
    request: http.HttpRequest, agent_id: uuid.UUID, router_id: uuid.UUID
) -> http.HttpResponse:
    """Move a router's VPN to the next candidate."""
    try:
        neutron.of(request).delete(f"{AGENTS}/{agent_id}/vpn-routers", str(router_id))
    except neutron.Refused as error:
        messages.error(request, error.text)
    else:
        messages.success(request, _("The router's VPN moves to the next candidate."))
    return shortcuts.redirect(AGENT, agent_id=agent_id)
