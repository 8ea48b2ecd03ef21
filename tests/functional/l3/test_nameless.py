"""A router's own namespace that somebody deleted lives on with charon, and gets its name again."""

from __future__ import annotations

import os
import signal
import time

import pytest

from swanherd.agent.homes import HomeSource
from swanherd.core.model import HomeNamespace, Role, Status
from swanherd.dataplane import homes, namespace
from swanherd.dataplane.privileged import inside, namespaces
from swanherd.testing import builders as make
from tests.functional.l3.stand import (
    EAST,
    WEST,
    Capture,
    desired,
    detours,
    distributed,
    every_firewall,
    legacy,
    run,
)


def connected(stand, router=legacy, home=None):
    """Bring both sides up; west's router is of that kind."""
    west, east = stand.site(WEST, router), stand.site(EAST, legacy)
    west.source.desired = desired(WEST, EAST, home or make.home())
    east.source.desired = desired(EAST, WEST, make.home())
    east.turn()
    west.until(Status.ACTIVE)
    east.until(Status.ACTIVE)
    west.settle()
    return west, east


def charons(west, stand):
    """Return the processes with the configuration of west's router, wherever they are."""
    conf = f"STRONGSWAN_CONF={stand.state}/{WEST.name}/{west.key}/".encode()
    return sorted(
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _has(pid, conf)
    )


def _has(pid, text):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return text in file.read()
    except OSError:
        return False


def lose_name(west):
    run("ip", "netns", "del", west.key)


@every_firewall
def test_the_tunnel_never_stops(stand):
    """The same daemon in the same namespace, with nothing to do; status says what is."""
    west, _ = connected(stand)
    before = namespace.namespace_inode(west.key), charons(west, stand)
    with Capture() as seen:
        lose_name(west)
        assert west.ping(EAST.inner(5)[0])
        report = west.turn().report
        assert west.ping(EAST.inner(5)[0])
    assert {row.status for row in (*report.services, *report.connections)} == {Status.ACTIVE}
    west.settle()
    assert (namespace.namespace_inode(west.key), charons(west, stand)) == before
    assert not seen.between(WEST.networks[0], EAST.networks[0])
    assert WEST.qg in run("ip", "-n", west.key, "link")


def test_the_central_part_of_a_distributed_router_too(stand):
    """Its namespace has the device on the external network as well."""
    home = make.home(HomeNamespace.CENTRAL, distributed=True, detours=detours(WEST))
    west, _ = connected(stand, distributed, home)
    west.settle(west.steering)
    lose_name(west)
    assert west.turn().report.connections[0].status is Status.ACTIVE
    assert west.ping(EAST.inner(5)[0])


def test_charon_ends_in_a_namespace_that_neutron_removed(stand):
    """Without a device outside nothing passes, and the router may be elsewhere by now."""
    west, _ = connected(stand)
    run("ip", "-n", west.key, "link", "del", WEST.qg)
    lose_name(west)
    assert west.turn().failed.code == "router_namespace_missing"
    assert not charons(west, stand)
    assert west.key not in os.listdir("/run/netns")


def test_charon_ends_if_the_router_is_no_longer_here(stand):
    """Whatever its namespace has: a name isn't given to what isn't wanted."""
    west, _ = connected(stand)
    lose_name(west)
    west.source.desired = None
    west.turn()
    assert not charons(west, stand)
    assert west.key not in os.listdir("/run/netns")


def test_of_two_namespaces_the_one_with_the_name_has_the_only_charon(stand):
    """Neutron has been faster: the daemon of the old one ends before another begins."""
    west, _ = connected(stand)
    (old,) = charons(west, stand)
    lose_name(west)
    run("ip", "netns", "add", west.key)
    west.turn()
    (new,) = charons(west, stand)
    assert new != old
    assert inside.is_process_of(new, namespace.namespace_inode(west.key))


def test_a_name_that_is_taken_by_now_stays_with_who_has_it(stand):
    """Between a look and what follows from it Neutron may have made another."""
    west, _ = connected(stand)
    lose_name(west)
    lost = west.node.nameless(west.key)
    run("ip", "netns", "add", west.key)
    made = namespace.namespace_inode(west.key)
    with pytest.raises(FileExistsError):
        namespaces.name_again(west.key, lost.pid, lost.inode)
    assert namespace.namespace_inode(west.key) == made


def test_no_other_namespace_gets_the_name(stand):
    """A process id may have come to mean another process."""
    west, _ = connected(stand)
    lose_name(west)
    with pytest.raises(FileNotFoundError):
        namespaces.name_again(west.key, os.getpid(), west.node.nameless(west.key).inode)
    assert west.key not in os.listdir("/run/netns")


def test_without_charon_the_namespace_is_waited_for(stand):
    """Nothing of ours holds it any more."""
    west, _ = connected(stand)
    lose_name(west)
    for pid in charons(west, stand):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while west.lost(west.key):
        assert time.monotonic() < deadline
    assert west.turn().failed.code == "router_namespace_missing"


@pytest.fixture
def redundant(both, keepalived):
    """West's router, which its node serves."""
    west, east = both
    west.source.desired = desired(WEST, EAST, make.home(redundant=True))
    east.source.desired = desired(EAST, WEST, make.home())
    east.turn()
    west.until(Status.ACTIVE)
    return west


def test_a_redundant_router_is_served_on(redundant, stand):
    """Its keepalived and its address are there all the time; also for an agent that begins."""
    west = redundant
    homes.wait(west.homes.redundant(), 0.0)
    before, told = charons(west, stand), []
    lose_name(west)
    another = HomeSource(west.source, lambda _: (), time.monotonic, lost=west.lost)
    assert another.get_router(west.key).role is Role.ACTIVE
    assert homes.wait(west.homes.redundant(), 5.0).keys() == {west.key}
    told.append(west.turn().report)
    assert homes.wait(west.homes.redundant(), 5.0).keys() == {west.key}
    told.append(west.turn().report)
    assert {each.role for each in told} == {Role.ACTIVE}
    assert {row.status for each in told for row in each.connections} == {Status.ACTIVE}
    assert charons(west, stand) == before
    assert west.ping(EAST.inner(5)[0])


def test_a_redundant_router_whose_address_goes_meanwhile_is_silent(redundant, stand):
    """What has lost its name has a role too, and keeps it by the same sign."""
    west = redundant
    lose_name(west)
    inside.within(inside.of_process(charons(west, stand)[0]), _take_address)
    assert west.turn().report.role is Role.STANDBY
    west.turn()
    assert not west.swan.observe(west.key).ike_sas


def _take_address():
    run("ip", "address", "flush", "dev", WEST.qg)
