"""What an agent without capabilities does; a program, since privsep leaves sockets unclosed."""

from __future__ import annotations

import pathlib
import sys

from oslo_config import cfg

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.failures import Temporary
from swanherd.core.model import RouterId
from swanherd.core.network import ObservedNetwork
from swanherd.dataplane import guards, namespace, predecessor, privileged
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.privileged import iptables
from swanherd.testing.node_contract import OTHER, ROUTER, TRANSIT, assert_whole, build
from tests.functional.dataplane.stand import MemoryBridge, RealHands


def main() -> None:
    """Fail with AssertionError if anything differs from what it is without a helper."""
    cfg.CONF([], project="swanherd-test", default_config_files=[], default_config_dirs=[])
    program = pathlib.Path(sys.executable).parent / "privsep-helper"
    cfg.CONF.set_override("helper_command", str(program), group="swanherd_privileged")
    privileged.default.set_client_mode(True)
    for firewall in _firewalls():
        node = OvnNode(MemoryBridge(), firewall)
        build(node, RealHands(firewall))
        assert_whole(node.observe(ROUTER))
        node.apply(ROUTER, net.RemoveNamespace())
    node = OvnNode(MemoryBridge())
    build(node, RealHands(guards.choose()))
    assert_whole(node.observe(ROUTER))
    assert namespace.spawn(ROUTER, ["/bin/true"], {}) > 0
    assert _is_temporary(lambda: namespace.spawn(ROUTER, ["/no/such"], {}))
    assert _is_temporary(lambda: node.apply(OTHER, net.EnsureLink(TRANSIT)))
    # As before charon starts in a router's own namespace, whose name is the key.
    predecessor.succeed(RouterId(namespace.name_of(ROUTER)))
    node.apply(ROUTER, net.RemoveNamespace())
    assert ObservedNetwork(exists=False) == node.observe(ROUTER)
    assert privileged.default.channel is not None
    privileged.default.stop()


def _firewalls() -> list[Firewall]:
    there = [guards.Iptables()] if iptables.is_there() else []
    return [guards.choose(), *there]


def _is_temporary(work) -> bool:
    try:
        work()
    except Temporary:
        return True
    return False


if __name__ == "__main__":
    main()
