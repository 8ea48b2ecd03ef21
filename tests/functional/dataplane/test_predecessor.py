"""A namespace that neutron-vpnaas' OVN agent made is left alone until its router is taken over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from swanherd.core.network import EnsureNamespace, RemoveNamespace
from swanherd.dataplane import namespace
from swanherd.dataplane.privileged import inside
from swanherd.testing.node_contract import OTHER, ROUTER, apply_all, assert_whole, build
from tests.functional.dataplane.stand import RealHands, ip, open_up

OUTSIDE, INSIDE = "vg0f3a1c2d-77b", "vr9b8a7c6d-01e"


@pytest.fixture
def daemon() -> Iterator[subprocess.Popen[bytes]]:
    """What its agent leaves: the namespace, two devices, one of them a veth pair, and a daemon."""
    name = namespace.name_of(ROUTER)
    subprocess.run(["ip", "netns", "add", name], check=True)
    ip(ROUTER, "link", "add", OUTSIDE, "type", "veth", "peer", "name", "wire")
    subprocess.run(
        ["ip", "link", "add", f"tap{INSIDE[2:]}", "type", "veth", "peer", INSIDE, "netns", name],
        check=True,
    )
    command = ["ip", "netns", "exec", name, "sleep", "600"]
    with subprocess.Popen(command) as process:
        yield process
        process.kill()


def test_it_isnt_stale(node, daemon):
    """The comparison with the server doesn't find it: nobody plans it away."""
    assert ROUTER not in node.routers()
    assert not node.observe(ROUTER).exists
    assert daemon.poll() is None


def test_a_bare_namespace_isnt_ours_to_remove(node):
    """A router has gone back, and the old agent has just made its namespace again."""
    other = OTHER
    subprocess.run(["ip", "netns", "add", namespace.name_of(other)], check=True)
    assert other not in node.routers()
    ip(other, "link", "set", "lo", "up")
    assert other not in node.routers()


def test_what_is_left_of_ours_is_stale(node, bridge, firewall):
    """Closed and without a device, as when making or removing it was interrupted; or a file."""
    namespace.ensure(ROUTER, firewall)
    (inside.DIRECTORY / namespace.name_of(OTHER)).touch()
    assert node.routers() == {ROUTER, OTHER}
    for router_id in (ROUTER, OTHER):
        node.apply(router_id, RemoveNamespace())
    assert node.routers() == frozenset()


def test_what_is_ours_is_stale(node, firewall):
    """A namespace of ours is found, whatever it lacks."""
    build(node, RealHands(firewall))
    assert ROUTER in node.routers()


def test_it_is_replaced_when_the_router_is_ours(node, bridge, daemon, firewall):
    """Its daemon ends, its ports leave the bridge, and the namespace is a new one, built whole."""
    before = namespace.namespace_inode(ROUTER)
    build(node, RealHands(firewall))
    assert daemon.wait(timeout=5) == -9
    assert sorted(bridge.evicted) == sorted(
        [OUTSIDE, f"tap{OUTSIDE[2:]}", INSIDE, f"tap{INSIDE[2:]}"]
    )
    assert namespace.namespace_inode(ROUTER) != before
    assert_whole(node.observe(ROUTER))
    assert ROUTER in node.routers()


def test_an_interrupted_take_over_is_finished(node, daemon, firewall):
    """Closed by our guard, but with its devices still there, it doesn't count as ours."""
    namespace.ensure(ROUTER, firewall)
    assert not node.observe(ROUTER).exists
    apply_all(node, ROUTER, [EnsureNamespace()])
    assert daemon.wait(timeout=5) == -9
    assert node.observe(ROUTER).exists


def test_a_router_of_ours_is_never_cleared(node, bridge, firewall):
    """EnsureNamespace of one that is ours, and open, ends nothing in it."""
    build(node, RealHands(firewall))
    open_up(firewall, ROUTER)
    name = namespace.name_of(ROUTER)
    with subprocess.Popen(["ip", "netns", "exec", name, "sleep", "600"]) as ours:
        apply_all(node, ROUTER, [EnsureNamespace()])
        assert ours.poll() is None
        ours.kill()
    assert bridge.evicted == []
