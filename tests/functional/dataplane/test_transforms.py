"""What XFRM has is read and removed; SAs need a kernel with ESP: tests/kernel."""

from __future__ import annotations

import pytest

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.network import Direction, KernelPolicy
from swanherd.testing import builders
from swanherd.testing.node_contract import ROUTER, apply_all
from tests.functional.dataplane.stand import MemoryBridge, ip


@pytest.mark.parametrize("ends", [("10.1.0.0/24", "10.2.0.0/16"), ("fd01::/64", "::/0")])
def test_policies_are_seen_and_removed(ends):
    """Each of the three directions is seen from here, and removed without touching others."""
    node = OvnNode(MemoryBridge())
    node.apply(ROUTER, net.EnsureNamespace())
    here, there = ends
    for direction in Direction:
        source, destination = ends if direction is Direction.OUT else ends[::-1]
        ip(ROUTER, "xfrm", "policy", "add", "src", source, "dst", destination, "dir", direction)
    policies = {KernelPolicy(builders.selector(here, there), d) for d in Direction}
    assert policies == node.observe(ROUTER).kernel_policies
    gone = KernelPolicy(builders.selector(here, there), Direction.IN)
    apply_all(node, ROUTER, [net.RemoveKernelPolicy(gone), net.RemoveKernelPolicy(gone)])
    assert policies - {gone} == node.observe(ROUTER).kernel_policies
    assert node.observe(ROUTER).kernel_sas == frozenset()
