"""Takes the menu entry of neutron-vpnaas-dashboard away; leave this file out to keep both."""

PANEL = "vpn"
PANEL_DASHBOARD = "project"
PANEL_GROUP = "network"
REMOVE_PANEL = True
