"""What neutron-vpnaas' extension of the L3 agent left in a router makes room for ours."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swanherd.core.model import Status
from swanherd.dataplane.predecessor import NO_ROOM
from swanherd.dataplane.privileged.inside import command_of
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, Capture, Site, Stand, desired, legacy, run
from tests.functional.ovn.daemons import until

# As strongSwan's own starter does it with a charon that ends.
STARTER = """\
#!/bin/sh
while :; do "$0".d/charon 600; done
"""
RULE = ("pref", "220", "table", "220")


def commands(site: Site) -> list[str]:
    """Return the names of what runs in the router."""
    return sorted(map(command_of, map(int, run("ip", "netns", "pids", site.key).split())))


@contextlib.contextmanager
def left(site: Site, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have a starter, its charon and a keepalived in the router; routes and a rule of charon's."""
    starter, own = directory / "starter", directory / "starter.d"
    own.mkdir()
    for name in ("charon", "keepalived"):
        shutil.copy("/bin/sleep", own / name)
    starter.write_text(STARTER)
    starter.chmod(0o755)
    inside = ("ip", "netns", "exec", site.key)
    for family, prefix in (("-4", EAST.networks[0]), ("-6", EAST.networks[1])):
        run("ip", family, "-n", site.key, "rule", "add", *RULE)
        way = ("dev", site.plan.qg, "table", "220")
        run("ip", family, "-n", site.key, "route", "add", prefix, *way)
    with (
        subprocess.Popen((*inside, str(starter))) as their,
        subprocess.Popen((*inside, str(own / "keepalived"), "600")) as neutrons,
    ):
        try:
            until(lambda: {"charon", "starter", "keepalived"} <= set(commands(site)), 5)
            yield neutrons
        finally:
            neutrons.kill()
            their.kill()


@pytest.fixture
def both(stand: Stand) -> tuple[Site, Site]:
    return stand.site(WEST, legacy), stand.site(EAST, legacy)


def test_its_daemons_and_routes_go_and_neutrons_own_processes_stay(
    both: tuple[Site, Site], tmp_path: Path
) -> None:
    """As soon as charon is to run there; the guard is in place by then, so nothing is in clear."""
    west, east = both
    with left(west, tmp_path) as keepalived:
        west.source.desired = None
        west.settle()
        assert "charon" in commands(west)
        west.source.desired = desired(WEST, EAST, make.home())
        east.source.desired = desired(EAST, WEST, make.home())
        with Capture() as seen:
            east.turn()
            west.until(Status.ACTIVE)
            east.until(Status.ACTIVE)
            assert west.ping(EAST.inner(5)[0])
        assert not seen.between(WEST.networks[0], EAST.networks[0])
        assert commands(west) == ["charon-systemd", "keepalived"]
        assert keepalived.poll() is None
    for family in ("-4", "-6"):
        assert "220:" not in run("ip", family, "-n", west.key, "rule")


def test_what_others_run_elsewhere_stays(both: tuple[Site, Site], tmp_path: Path) -> None:
    """A process of the same name in the router of somebody else, or in the node's network."""
    west, east = both
    with left(east, tmp_path):
        west.source.desired = desired(WEST, EAST, make.home())
        west.turn()
        assert "charon-systemd" in commands(west)
        assert {"charon", "starter"} <= set(commands(east))


def test_what_has_the_port_and_isnt_known_is_told(both: tuple[Site, Site]) -> None:
    """No second daemon is put beside it; when it has gone, the next look goes on."""
    west, _ = both
    west.source.desired = desired(WEST, EAST, make.home())
    listen = "import socket, sys; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)"
    listen += "; s.bind(('', 500)); print(flush=True); sys.stdin.read()"
    argv = ("ip", "netns", "exec", west.key, sys.executable, "-c", listen)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        failed = west.turn().failed
        assert failed is NO_ROOM
        assert west.firewall.is_there(west.key)
        assert "charon-systemd" not in commands(west)
        other.communicate()
    west.settle()
    assert "charon-systemd" in commands(west)
