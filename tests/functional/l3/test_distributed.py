"""Distributed routers: every workload uses the tunnel, with a floating IP and without."""

from __future__ import annotations

import dataclasses

import pytest

from swanherd.core.model import HomeNamespace, Status
from swanherd.testing import builders as make
from tests.functional.l3.stand import (
    EAST,
    FLOATING,
    INTERNET,
    WEST,
    Capture,
    desired,
    detours,
    distributed,
    every_firewall,
    legacy,
    run,
    within,
)

pytestmark = every_firewall

ICMP = 1


@pytest.fixture
def both(stand):
    return stand.site(WEST, distributed), stand.site(EAST, legacy)


def connect(west, east, families="44"):
    home = make.home(HomeNamespace.CENTRAL, distributed=True, detours=detours(west.plan))
    west.source.desired = desired(west.plan, east.plan, home, families)
    east.source.desired = desired(east.plan, west.plan, make.home(), families)
    west.settle(west.steering)
    east.turn()
    west.until(Status.ACTIVE)
    east.until(Status.ACTIVE)


@pytest.mark.parametrize("families", ["44", "64"])
def test_a_workload_with_a_floating_ip_uses_the_tunnel(both, families):
    """Both ways, with its own address as the source, and nothing in clear."""
    west, east = both
    connect(west, east, families)
    inner = 0 if families[0] == "4" else 1
    program = "iptables" if inner == 0 else "ip6tables"
    with Capture() as seen:
        assert west.ping(EAST.inner(5)[inner], count=3)
        assert east.ping(WEST.inner(5)[inner], count=3)
    assert not seen.between(WEST.networks[inner], EAST.networks[inner])
    assert FLOATING["west"] not in seen.sources(ICMP)
    protocol = "icmp" if inner == 0 else "icmpv6"
    others = ("-p", protocol, "!", "-s", WEST.inner(5)[inner], "-j", "DROP")
    if inner == 0:
        within(east.workload, program, "-A", "INPUT", *others)
    assert west.ping(EAST.inner(5)[inner])


def test_its_other_traffic_leaves_by_the_floating_ip_as_before(both):
    """The internet sees the floating IP, and reaches the workload by it."""
    west, east = both
    connect(west, east)
    with Capture() as seen:
        assert west.ping("198.51.100.7")
    assert FLOATING["west"] in seen.sources(ICMP)
    assert "1 received" in within(INTERNET, "ping", "-n", "-c", "1", "-W", "5", FLOATING["west"])


def test_a_workload_without_a_floating_ip_uses_the_tunnel_too(both):
    """And its other traffic is translated by the central part."""
    west, east = both
    run("ip", "-n", west.steering, "rule", "del", "priority", "57481")
    within(west.steering, "iptables", "-t", "nat", "-F")
    connect(west, east)
    with Capture() as seen:
        assert west.ping(EAST.inner(5)[0])
        assert west.ping("198.51.100.7")
    assert WEST.public[0] in seen.sources(ICMP)


def test_no_workload_is_sent_to_the_central_part_itself(both):
    """It would go there for 300 s, also after the router has become another kind."""
    west, east = both
    for scope in ("all", "default"):
        within(west.steering, "sysctl", "-qw", f"net.ipv4.conf.{scope}.send_redirects=1")
    connect(west, east)
    assert west.ping(EAST.inner(5)[0], count=3)
    route = within(west.workload, "ip", "route", "get", EAST.inner(5)[0])
    assert "redirected" not in route
    assert f"via {WEST.inner(1)[0]} " in route


def test_an_old_flow_of_the_floating_ip_comes_into_the_tunnel(both):
    """conntrack knows it with the floating IP; the pair's packets aren't conntrack's."""
    west, east = both
    assert west.gets_no_answer(EAST.inner(5)[0], "-e", "777")
    assert FLOATING["west"] in within(west.steering, "conntrack", "-L", "-p", "icmp")
    connect(west, east)
    within(east.workload, "iptables", "-A", "INPUT", "!", "-s", WEST.inner(5)[0], "-j", "DROP")
    assert west.ping(EAST.inner(5)[0], "-e", "777")


def test_what_neutron_removes_of_the_steering_is_closed_and_put_again(both):
    """At an update without a gateway it removes rules that look a table up, ours too."""
    west, east = both
    connect(west, east)
    run("ip", "-n", west.steering, "rule", "del", "priority", "3000")
    with Capture() as seen:
        assert west.gets_no_answer(EAST.inner(5)[0])
    assert not [s for s in seen.sources(ICMP) if s == FLOATING["west"]]
    assert west.turn(west.steering).actions == 1
    assert west.ping(EAST.inner(5)[0])


def test_a_clear_packet_from_a_peer_to_the_floating_ip_does_not_arrive(both):
    """Fail closed inwards, also on nodes that only steer: 10.2.0.77 isn't behind the tunnel."""
    west, east = both
    run("ip", "-n", INTERNET, "address", "add", "10.2.0.77/32", "dev", "br0")
    hostile = ("ping", "-n", "-c", "1", "-W", "1", "-I", "10.2.0.77", FLOATING["west"])

    def attack():
        within(INTERNET, *hostile, check=False)

    assert west.arrived("10.2.0.77", attack) == 1
    connect(west, east)
    assert west.arrived("10.2.0.77", attack) == 0


def test_without_a_gateway_nothing_leaves(both):
    """The central part is gone; a route that somebody made to the peers doesn't help."""
    west, _ = both
    home = make.home(None, distributed=True)
    west.source.desired = desired(west.plan, EAST, home)
    west.settle(west.steering)
    with Capture() as seen:
        assert west.gets_no_answer(EAST.inner(5)[0])
    assert not [s for s in seen.sources(ICMP) if s == FLOATING["west"]]


def test_a_charon_whose_namespace_was_removed_is_ended(both):
    """It would live on without a name; Neutron takes the devices out before that."""
    west, east = both
    connect(west, east)
    directory = next((west.swan.life._state).glob("snat-*"))
    assert directory.exists()
    run("ip", "-n", west.key, "link", "del", WEST.qg)
    run("ip", "netns", "del", west.key)
    outcome = west.turn()
    assert outcome.failed is not None
    assert outcome.failed.code == "router_namespace_missing"
    assert west.swan.routers() == frozenset()


def test_from_legacy_to_distributed_and_back(both):
    """What was there as the router was of the other kind goes; the tunnel moves."""
    west, east = both
    connect(west, east)
    central = west.source.desired
    # The router becomes a legacy one: its first namespace is the tunnel's now.
    home = dataclasses.replace(central.home, namespace=HomeNamespace.ROUTER, distributed=False)
    west.source.desired = dataclasses.replace(central, home=dataclasses.replace(home, detours=()))
    west.settle(west.key)
    assert west.swan.routers() == frozenset()
    west.turn(west.steering)
    assert west.swan.routers() == {west.steering}
    west.source.desired = central
    west.settle(west.steering)
    west.until(Status.ACTIVE)
    assert west.swan.routers() == {west.key}
    assert west.ping(EAST.inner(5)[0], count=2)
