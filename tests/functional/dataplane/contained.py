"""What an agent does in its container: two routers' namespaces, a daemon in each, a tunnel.

A program, run with the capabilities of the chart alone; it tells on stdout what it has seen.
"""

from __future__ import annotations

import ipaddress
import subprocess
import sys
import time
from pathlib import Path

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.ike import IkeConfig, Initiate, LoadConfig, LoadSecret, StartCharon
from swanherd.core.model import PortId, RouterId
from swanherd.core.network import Guard, GuardPair, Link
from swanherd.core.peering import ike_config
from swanherd.dataplane import daemons, namespace
from swanherd.dataplane.keeper import Keeper
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings
from swanherd.testing.node_contract import OTHER, ROUTER
from tests.functional.dataplane.stand import MemoryBridge
from tests.functional.swan.stage import BRISK, KEY, OPTIONS, Looks, children_up, pair

STATE = Path("/var/lib/swanherd/routers")
KEEPER = Path("/run/swanherd/keeper.sock")
UNDERLAY = "underlay"


def prepare(node: OvnNode, router: RouterId, config: IkeConfig, mac: str) -> None:
    """Make the router's namespace with a link to the other one's, and the guard."""
    connection = config.connection
    (selector,) = connection.selectors
    guard = Guard("tr0", "ex0", "ipsec0", frozenset({GuardPair(selector, 1300)}))
    address = ipaddress.ip_interface(f"{connection.local_address}/24")
    link = Link("ex0", PortId(f"port of {router}"), mac, 1500, frozenset({address}))
    for action in (
        net.EnsureNamespace(),
        net.EnsureGuard(guard),
        net.EnsureLink(link),
        net.EnsureHostAddress(next(iter(selector.local.hosts()))),
    ):
        node.apply(router, action)


def main() -> None:
    """Fail if anything doesn't work."""
    west, east = (ike_config(connection, KEY) for connection in pair())
    looks = Looks()
    surroundings = Surroundings(
        STATE, namespace.spawn, namespace.namespace_inode, daemons, time.monotonic
    )
    swan = StrongSwan(surroundings, looks, BRISK)
    bridge = MemoryBridge()
    node = OvnNode(bridge, maker=Keeper(KEEPER))
    print("found", *sorted(node.routers()))
    subprocess.run(["ip", "link", "add", UNDERLAY, "type", "bridge"], check=False)
    subprocess.run(["ip", "link", "set", UNDERLAY, "up"], check=True)
    for router, config, mac in (
        (ROUTER, west, "02:00:00:00:00:01"),
        (OTHER, east, "02:00:00:00:00:02"),
    ):
        prepare(node, router, config, mac)
        assert node.observe(router).exists
        swan.apply(router, StartCharon(OPTIONS))
        swan.apply(router, LoadSecret(config.connection))
        swan.apply(router, LoadConfig(config))
    for outer in bridge.ports():
        subprocess.run(["ip", "link", "set", outer, "master", UNDERLAY, "up"], check=True)
    for child, _ in west.children:
        swan.apply(ROUTER, Initiate(west.name, child))
    looks.until(lambda: children_up(west)(swan.observe(ROUTER)))
    print("up")
    sys.stdout.flush()
    if "--then-remove" in sys.argv:
        for router in (ROUTER, OTHER):
            node.apply(router, net.RemoveNamespace())
        print("removed", *sorted(node.routers()))
    swan.close()


if __name__ == "__main__":
    main()
