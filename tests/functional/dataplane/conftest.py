"""A place of one's own: no test here touches this machine's network or its /run/netns."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from swanherd.agent.node import OvnNode
from swanherd.dataplane import guards
from swanherd.dataplane.guards import Firewall
from swanherd.dataplane.privileged import iptables

# Before anything imports it.
pytest.register_assert_rewrite("swanherd.testing.node_contract")

from tests.functional.dataplane.stand import MemoryBridge  # noqa: E402

FIREWALLS = {"nft": guards.Nft, "iptables": guards.Iptables}

_NEW_NET, _NEW_MOUNT = 0x40000000, 0x00020000
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Give this process a /run/netns that nobody else sees; it goes with the process."""
    if os.getuid() != 0:
        pytest.skip("needs root")
    assert _libc.unshare(_NEW_MOUNT) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    pathlib.Path("/run/netns").mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=True)


@pytest.fixture(autouse=True)
def own_network(own_mounts: None) -> Iterator[None]:
    """Be in a new network namespace, as the node's own, for the length of a test."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    assert _libc.unshare(_NEW_NET) == 0
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield
    finally:
        for name in os.listdir("/run/netns"):
            subprocess.run(["ip", "netns", "del", name], check=True)
        assert _libc.setns(home, _NEW_NET) == 0
        os.close(home)


@pytest.fixture(params=FIREWALLS)
def firewall(request: pytest.FixtureRequest) -> Firewall:
    """Each of the two, where the kernel has it; a kernel without nft has to have the other."""
    if request.param != guards.choose().kind:
        if request.param == "nft":
            pytest.skip("this kernel has no nft")
        if not iptables.is_there():
            pytest.skip("iptables-legacy isn't installed")
    return FIREWALLS[request.param]()


@pytest.fixture
def bridge() -> MemoryBridge:
    return MemoryBridge()


@pytest.fixture
def node(bridge: MemoryBridge, firewall: Firewall) -> OvnNode:
    return OvnNode(bridge, firewall)
