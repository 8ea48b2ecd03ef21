"""The fake node keeps the contract of the real one."""

from __future__ import annotations

import dataclasses

import pytest

from swanherd.core import network as net
from swanherd.core.failures import Permanent, Temporary
from swanherd.core.network import TUNNEL_DEVICE
from swanherd.testing.node import FakeNode
from swanherd.testing.node_contract import ROUTER, NodeContract


class FakeHands:
    """Loses things of a FakeNode."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self.lose_namespace = node.lose_namespace
        self.lose_link = node.lose_link

    def lose_guard(self, router_id):
        self._node.drift(router_id, guard=None)

    def lose_route(self, router_id, route):
        self._node.drift(router_id, routes=self._node.observe(router_id).routes - {route})

    def lose_rule(self, router_id, rule):
        self._node.drift(router_id, rules=self._node.observe(router_id).rules - {rule})

    def lose_address(self, router_id, name, address):
        seen = self._node.observe(router_id)
        if name == "lo":
            kept = frozenset(a for a in seen.host_addresses if str(a) != address)
            self._node.drift(router_id, host_addresses=kept)
            return
        (link,) = (link for link in seen.links if link.name == name)
        kept = frozenset(a for a in link.addresses if str(a.ip) != address)
        changed = dataclasses.replace(link, addresses=kept)
        self._node.drift(router_id, links=seen.links - {link} | {changed})

    def make_tunnel(self, router_id):
        self._node.add_device(router_id, TUNNEL_DEVICE)

    def remove_tunnel(self, router_id):
        self._node.remove_device(router_id, TUNNEL_DEVICE)


class TestFakeNode(NodeContract):
    """All laws, in memory."""

    @pytest.fixture
    def node(self):
        return FakeNode()

    @pytest.fixture
    def hands(self, node):
        return FakeHands(node)


def test_an_injected_fault_has_no_effect():
    """The nth apply fails as told and changes nothing; the ones around it work."""
    node = FakeNode()
    node.fail(Temporary, calls=(1, 3))
    node.fail(Permanent, calls=(2,))
    for kind in (Temporary, Permanent, Temporary):
        with pytest.raises(kind):
            node.apply(ROUTER, net.EnsureNamespace())
        assert not node.observe(ROUTER).exists
    node.apply(ROUTER, net.EnsureNamespace())
    assert node.observe(ROUTER).exists
    assert [(ROUTER, net.EnsureNamespace())] == node.applied
