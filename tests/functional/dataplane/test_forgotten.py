"""Of a router that has gone nothing is kept: a node has others in its place for weeks."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from swanherd.agent.homes import HomeNode
from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.home import key_of
from swanherd.core.model import HomeNamespace
from swanherd.dataplane import guards, home_guards, network, transforms
from swanherd.dataplane.guards import Firewall
from swanherd.testing.node_contract import ROUTER, build
from tests.functional.dataplane.stand import RealHands

KEY = key_of(ROUTER, HomeNamespace.ROUTER)


def kept(firewall: Any) -> set[str]:
    """Return the namespaces of which something is remembered."""
    return {*getattr(firewall, "_read", ()), *network._ROUTING, *transforms._READ}


def test_of_a_namespace_that_is_removed(node: OvnNode, firewall: Firewall) -> None:
    """By us, as its router is no longer on the node."""
    build(node, RealHands(firewall))
    node.observe(ROUTER)
    assert kept(firewall)
    node.apply(ROUTER, net.RemoveNamespace())
    assert not kept(firewall)


def test_of_a_namespace_that_somebody_removed(node: OvnNode, firewall: Firewall) -> None:
    """It is seen at the next look."""
    hands = RealHands(firewall)
    build(node, hands)
    node.observe(ROUTER)
    hands.lose_namespace(ROUTER)
    assert not node.observe(ROUTER).exists
    assert not kept(firewall)


@pytest.mark.skipif(guards.choose().kind != "nft", reason="the kernel has no nf_tables")
def test_of_a_routers_own_namespace_that_neutron_removed() -> None:
    """Ours goes with it."""
    firewall = home_guards.Nft()
    node = HomeNode(firewall)
    subprocess.run(["ip", "netns", "add", KEY], check=True)
    node.apply(KEY, net.EnsureGuard(home_guards._SAMPLE))
    assert node.observe(KEY).guard is not None
    assert kept(firewall) == {KEY}
    subprocess.run(["ip", "netns", "del", KEY], check=True)
    node.apply(KEY, net.RemoveNamespace())
    assert not kept(firewall)
