"""Redundant routers: who has the address serves, at once; who hasn't is silent."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from swanherd.core.model import Role, Status
from swanherd.dataplane import homes
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, Capture, desired, legacy, run

UDP = 17


@pytest.fixture
def both(stand):
    return stand.site(WEST, legacy), stand.site(EAST, legacy)


@pytest.fixture
def keepalived(both, tmp_path):
    """A process of that name in the namespace: all that is looked at of it."""
    program = tmp_path / "keepalived"
    shutil.copy(shutil.which("sleep"), program)
    process = subprocess.Popen(("ip", "netns", "exec", both[0].key, program, "600"))
    until(lambda: process.pid in homes.processes(both[0].key, "keepalived"))
    yield process
    process.kill()
    process.wait()


def until(met, limit=10):
    deadline = time.monotonic() + limit
    while not met():
        assert time.monotonic() < deadline


def address(west, verb):
    run("ip", "-n", west.key, "address", verb, f"{WEST.public[0]}/24", "dev", WEST.qg)
    if verb == "add":
        run("ip", "-n", west.key, "route", "replace", "default", "via", "203.0.113.1")


def stand_by(west, east):
    """Bring both sides up with west a standby."""
    run("ip", "-n", west.key, "address", "flush", "dev", WEST.qg)
    west.source.desired = desired(west.plan, east.plan, make.home(redundant=True))
    east.source.desired = desired(east.plan, west.plan, make.home())
    west.settle()
    east.settle()


def test_a_standby_is_ready_and_silent(both, keepalived):
    """All is loaded, nothing is on the wire, and its report says so."""
    west, east = both
    with Capture() as seen:
        stand_by(west, east)
        report = west.turn().report
    assert report.role is Role.STANDBY
    assert report.ready
    assert WEST.public[0] not in seen.sources(UDP)
    assert west.ping("10.1.0.1")


def test_the_address_makes_it_serve_and_its_loss_silences_it(both, keepalived):
    """Seen by netlink, without a callback of Neutron's."""
    west, east = both
    stand_by(west, east)
    homes.wait(west.homes.redundant(), 0.0)
    address(west, "add")
    assert homes.wait(west.homes.redundant(), 5.0) == {west.key}
    west.until(Status.ACTIVE)
    assert west.ping(EAST.inner(5)[0])
    address(west, "del")
    assert homes.wait(west.homes.redundant(), 5.0) == {west.key}
    assert west.turn().report.role is Role.STANDBY
    assert not west.swan.observe(west.key).ike_sas
    assert not west.ping(EAST.inner(5)[0])


def test_an_address_without_its_keepalived_is_not_ours(both, keepalived):
    """Killed, it leaves its addresses behind, and another node takes them: two would send."""
    west, east = both
    stand_by(west, east)
    address(west, "add")
    west.until(Status.ACTIVE)
    homes.wait(west.homes.redundant(), 0.0)
    keepalived.kill()
    assert homes.wait(west.homes.redundant(), 5.0) == {west.key}
    with Capture() as seen:
        assert west.turn().report.role is Role.STANDBY
        assert not west.ping(EAST.inner(5)[0])
    assert WEST.public[0] not in seen.sources(UDP)


def test_a_namespace_that_is_made_anew_is_watched_anew(both, keepalived):
    """Its name is the same, its inode isn't."""
    west, east = both
    stand_by(west, east)
    homes.wait(west.homes.redundant(), 0.0)
    assert homes.wait(west.homes.redundant(), 0.1) == frozenset()
    run("ip", "netns", "del", west.key)
    run("ip", "netns", "add", west.key)
    assert homes.wait({west.key: ()}, 5.0) == {west.key}


def test_neighbours_are_told_of_every_address(both, keepalived):
    """Inside and outside, also of floating IPs: switches may still send to the other node."""
    west, east = both
    stand_by(west, east)
    address(west, "add")
    run("ip", "-n", west.key, "address", "add", "203.0.113.99/32", "dev", WEST.qg)
    run("ip", "-n", "internet", "neigh", "flush", "all")
    with Capture() as seen:
        west.node.announce(west.key)
        until(lambda: arp_of(seen, "203.0.113.99") and arp_of(seen, WEST.public[0]))


def test_each_address_is_told_once_at_a_time(both, keepalived):
    """Who has just lost it must not go on: switches would send to who speaks last."""
    west, east = both
    stand_by(west, east)
    address(west, "add")
    with Capture() as seen:
        west.node.announce(west.key)
        until(lambda: arp_of(seen, WEST.public[0]))
        assert not west.ping("192.0.2.1")  # takes a second
        assert arp_of(seen, WEST.public[0]) <= 3  # a broadcast is seen on each device


def arp_of(seen, wanted):
    """Count the announcements of that address (RFC 5227 §3) that were seen."""
    packed = bytes(map(int, wanted.split(".")))
    asked = [p for p in seen.packets if p[:2] == b"\x00\x01"]
    return sum(p[14:18] == packed == p[24:28] for p in asked)
