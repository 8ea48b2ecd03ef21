"""Routers' own namespaces in a network and a /run/netns of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from swanherd.dataplane import home_guards, homes
from swanherd.dataplane.home_guards import RouterFirewall
from swanherd.dataplane.privileged import iptables
from tests.functional.dataplane.conftest import own_mounts, own_network  # noqa: F401
from tests.functional.l3.stand import EAST, WEST, Site, Stand, legacy, vrrp_daemon

FIREWALLS: dict[str, type[RouterFirewall]] = {
    "nft": home_guards.Nft,
    "iptables": home_guards.Iptables,
}


@pytest.fixture
def router_firewall(request: pytest.FixtureRequest) -> RouterFirewall:
    """What the kernel has, or the one that a test names."""
    chosen = home_guards.choose()
    kind = getattr(request, "param", chosen.kind)
    if kind == "nft" and chosen.kind != "nft":
        pytest.skip("this kernel has no nft")
    if kind == "iptables" and not iptables.is_there():
        pytest.skip("iptables-legacy isn't installed")
    return FIREWALLS[kind]()


@pytest.fixture
def stand(own_network: None, router_firewall: RouterFirewall) -> Iterator[Stand]:  # noqa: F811
    """Two sites whose gateways are Neutron routers, and an internet between them."""
    # pytest's own directories make too long a path for unix sockets.
    state = Path(tempfile.mkdtemp(prefix="swan-"))
    made = Stand(state, router_firewall)
    try:
        yield made
    finally:
        made.close()
        homes.wait({}, 0.0)  # nothing is watched any more: its sockets are closed
        for name in os.listdir("/run/netns"):
            found = subprocess.run(
                ("ip", "netns", "pids", name), capture_output=True, text=True, check=True
            )
            for pid in map(int, found.stdout.split()):
                os.kill(pid, signal.SIGKILL)
        _end_daemons(state)
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture
def both(stand: Stand) -> tuple[Site, Site]:
    """Two legacy routers, each of its own agent."""
    return stand.site(WEST, legacy), stand.site(EAST, legacy)


@pytest.fixture
def keepalived(both: tuple[Site, Site], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """What gives the first of them its address, so that it is redundant."""
    with vrrp_daemon(both[0].key, tmp_path) as process:
        yield process


def _end_daemons(state: Path) -> None:
    """End those whose namespace a test has removed: no name leads to them."""
    for record in state.rglob("charon.json"):
        pid = int(json.loads(record.read_text())["pid"])
        with contextlib.suppress(OSError):
            if str(state) in Path(f"/proc/{pid}/environ").read_text():
                os.kill(pid, signal.SIGKILL)
