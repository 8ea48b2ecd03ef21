"""Adds the panel to Project › Network."""

PANEL = "swanherd"
PANEL_DASHBOARD = "project"
PANEL_GROUP = "network"
ADD_PANEL = "swanherd_dashboard.panel.Swanherd"
ADD_INSTALLED_APPS = ["swanherd_dashboard"]
