"""Names and version of the wire between server and agents (docs/rpc.md holds the schema)."""

from __future__ import annotations

SERVER_TOPIC = "swanherd-server"
AGENT_TOPIC = "swanherd-agent"
# What each server and agent of this major version understands.
VERSION = "1.0"
# What the server understands: 1.1 has `known` in `get_router`.
SERVER_VERSION = "1.1"

# Neutron's own topic for the heartbeats of agents (neutron.agent.rpc.PluginReportStateAPI).
REPORTS_TOPIC = "q-reports-plugin"
REPORTS_VERSION = "1.2"

AGENT_TYPE = "Swanherd VPN agent"
AGENT_BINARY = "swanherd-ovn-agent"
