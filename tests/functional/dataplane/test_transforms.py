"""What XFRM has is read and removed; SAs need a kernel with ESP: tests/kernel."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest

from swanherd.agent.node import OvnNode
from swanherd.core import network as net
from swanherd.core.network import Direction, KernelPolicy, Welcome
from swanherd.dataplane import namespace, network, transforms
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


def test_ours_and_charons_stand_beside_each_other():
    """Of equal selectors and directions: what is done to one of them doesn't touch the other."""
    node = OvnNode(MemoryBridge())
    node.apply(ROUTER, net.EnsureNamespace())
    ends = ("src", "10.2.0.0/16", "dst", "10.1.0.0/24", "dir", "in")
    template = ("tmpl", "src", "192.0.2.1", "proto", "esp", "reqid", "7", "mode", "tunnel")
    theirs = KernelPolicy(builders.selector("10.1.0.0/24", "10.2.0.0/16"), Direction.IN)
    ours = dataclasses.replace(theirs, welcome=Welcome(((50, 7),), 9))
    for _ in range(2):
        ip(ROUTER, "xfrm", "policy", "update", *ends, "priority", "10", *template)
        node.apply(ROUTER, net.EnsureKernelPolicy(ours))
    assert {ours, theirs} == node.observe(ROUTER).kernel_policies
    node.apply(ROUTER, net.RemoveKernelPolicy(ours))
    assert {theirs} == node.observe(ROUTER).kernel_policies
    node.apply(ROUTER, net.EnsureKernelPolicy(ours))
    ip(ROUTER, "xfrm", "policy", "delete", *ends)
    assert {ours} == node.observe(ROUTER).kernel_policies


@pytest.mark.parametrize("by", ["us", "others"])
def test_of_a_namespace_that_is_gone_nothing_is_remembered(by):
    """Routers come and go for as long as an agent lives; until then what is known is enough."""
    node, name = OvnNode(MemoryBridge()), namespace.name_of(ROUTER)
    node.apply(ROUTER, net.EnsureNamespace())
    known = node.observe(ROUTER)
    assert known.exists and node.observe(ROUTER, known) is known
    if by == "us":
        node.apply(ROUTER, net.RemoveNamespace())
    else:
        subprocess.run(["ip", "netns", "delete", name], check=True)
        assert not node.observe(ROUTER, known).exists
    assert name not in {*transforms._READ, *network._ROUTING}


def test_one_of_ours_that_somebody_changed_is_no_welcome():
    """So that it is written again."""
    node = OvnNode(MemoryBridge())
    node.apply(ROUTER, net.EnsureNamespace())
    ends = ("src", "10.2.0.0/16", "dst", "10.1.0.0/24", "dir", "in")
    ours = ("mark", "0", "mask", str(1 << 31), "priority", "9")
    named = ("tmpl", "src", "192.0.2.1", "proto", "esp", "reqid", "7", "mode", "tunnel")
    for template in ((), named, (*named, *named)):
        ip(ROUTER, "xfrm", "policy", "update", *ends, *ours, *template)
        (seen,) = node.observe(ROUTER).kernel_policies
        assert seen.welcome == Welcome((), 9)
