"""Adds the operators' panel to Admin › Network."""

PANEL = "swanherd_agents"
PANEL_DASHBOARD = "admin"
PANEL_GROUP = "network"
ADD_PANEL = "swanherd_dashboard.agents.panel.VpnAgents"
