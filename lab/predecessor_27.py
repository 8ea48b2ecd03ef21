"""neutron-rpc-server for a cloud with neutron-vpnaas 27: its worker learns of the VPN agents.

As released it doesn't: Neutron 27 lets an RPC worker hear nothing of OVN's southbound database,
where agents tell of themselves, and neutron-vpnaas passes such a worker over. So no agent is ever
given a service, and what is made stays PENDING_CREATE. 29 watches there too, on a Neutron that
hears it; this is the same for 27, and nothing else of it is touched.
"""

from __future__ import annotations

import importlib
from typing import Any


def main() -> None:
    """Put it in its place and be neutron-rpc-server."""
    # It comes first: it chooses threads, which can't be chosen once anything else is loaded.
    server = importlib.import_module("neutron.cmd.server")
    monitor = importlib.import_module("neutron_vpnaas.services.vpn.ovn.agent_monitor")
    released = monitor.OVNVPNAgentMonitor.watch_agent_events

    def watch_agent_events(self: Any) -> None:
        released(self)
        _watch(monitor)

    monitor.OVNVPNAgentMonitor.watch_agent_events = watch_agent_events
    server.main_rpc()


def _watch(monitor: Any) -> None:
    directory = importlib.import_module("neutron_lib.plugins.directory")
    # Where the monitor looks itself.
    idl = directory.get_plugin("L3_ROUTER_NAT")._sb_ovn.ovsdb_connection.idl  # noqa: SLF001
    if hasattr(idl, "notify_handler"):
        return
    written = monitor.ChassisVPNAgentWriteEvent(None)
    handler = importlib.import_module("ovsdbapp.backend.ovs_idl.event").RowEventHandler()
    handler.watch_event(written)
    idl.notify_handler, idl.notify = handler, handler.notify
    # Of those that were there before it tells no more.
    for row in list(idl.tables["Chassis_Private"].rows.values()):
        handler.notify(written.ROW_CREATE, row)


if __name__ == "__main__":
    main()
