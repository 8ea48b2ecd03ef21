"""A tunnel in namespaces that are Neutron's: it works, and nothing else is touched."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import signal
import socket
import time

import pytest

from lab import router_rules as rules
from swanherd.agent.homes import HomeNode
from swanherd.core.model import ScopeMark, Status
from swanherd.dataplane.privileged import inside
from swanherd.testing import builders as make
from tests.functional.dataplane.packets import udp
from tests.functional.l3.stand import (
    EAST,
    INTERNET,
    WEST,
    Capture,
    desired,
    every_firewall,
    legacy,
    run,
    within,
)

pytestmark = every_firewall

UDP, ICMP, ICMP6 = 17, 1, 58


@pytest.fixture
def both(stand):
    west, east = stand.site(WEST, legacy), stand.site(EAST, legacy)
    return west, east


def connect(west, east, families="44", **changes):
    west.source.desired = desired(west.plan, east.plan, make.home(), families, **changes)
    east.source.desired = desired(east.plan, west.plan, make.home(), families)
    east.turn()
    west.until(Status.ACTIVE)
    east.until(Status.ACTIVE)


@pytest.mark.parametrize("families", ["44", "46", "64", "66"])
def test_workloads_reach_each_other_and_nothing_is_in_clear(both, families):
    """Inner over outer: pings both ways, and on the wire nothing but what charon sends."""
    west, east = both
    inner = 0 if families[0] == "4" else 1
    connect(west, east, families)
    with Capture() as seen:
        assert west.ping(east.plan.inner(5)[inner], count=3)
        assert east.ping(west.plan.inner(5)[inner], count=3)
    assert not seen.between(WEST.networks[inner], EAST.networks[inner])
    outer = 0 if families[1] == "4" else 1
    assert {WEST.public[outer], EAST.public[outer]} <= seen.sources(UDP)


def test_the_source_is_the_workloads_own_and_other_traffic_is_translated_as_before(both):
    """What answers in the tunnel sees 10.1.0.5; what answers on the internet, the router."""
    west, east = both
    connect(west, east)
    with Capture() as seen:
        assert west.ping("198.51.100.7")
        assert west.ping(EAST.inner(5)[0])
    assert WEST.public[0] in seen.sources(ICMP)
    within(east.workload, "iptables", "-A", "INPUT", "!", "-s", WEST.inner(5)[0], "-j", "DROP")
    assert west.ping(EAST.inner(5)[0])


def test_a_flow_that_is_older_than_the_vpn_is_not_translated_in_it(both):
    """Neutron's floating IP holds for a connection as long as it lives, but not for a pair's."""
    west, east = both
    floating = [("203.0.113.99", WEST.inner(5)[0])]
    run("ip", "-n", west.key, "address", "add", "203.0.113.99/32", "dev", WEST.qg)
    rules.restore(west.key, rules.centralized(WEST.qg, (WEST.qr,), WEST.public[0], floating))
    # The same echo id, so the same connection to conntrack, before and after.
    assert west.gets_no_answer(EAST.inner(5)[0], "-e", "777")
    assert "203.0.113.99" in within(west.key, "conntrack", "-L", "-p", "icmp")
    connect(west, east)
    within(east.workload, "iptables", "-A", "INPUT", "!", "-s", WEST.inner(5)[0], "-j", "DROP")
    assert west.ping(EAST.inner(5)[0], "-e", "777", count=2)


def test_a_pair_is_closed_both_ways_without_the_tunnel(both):
    """Nothing leaves in clear while the connection is down, nothing comes in; the rest works."""
    west, _ = both
    connection = desired(west.plan, EAST, make.home()).connections[0]
    down = dataclasses.replace(connection, up=False)
    west.source.desired = dataclasses.replace(
        desired(west.plan, EAST, make.home()), connections=(down,)
    )
    # A way for the peer's network in clear: what an operator or an attacker may have.
    run("ip", "-n", INTERNET, "route", "add", WEST.networks[0], "via", WEST.public[0])
    run("ip", "-n", INTERNET, "address", "add", "10.2.0.77/32", "dev", "br0")
    assert west.ping("10.2.0.77")
    west.settle()
    with Capture() as seen:
        assert west.gets_no_answer("10.2.0.77")
        assert west.gets_no_answer(EAST.inner(5)[0])
    assert not seen.between(WEST.networks[0], EAST.networks[0])
    inwards = (INTERNET, "10.2.0.77", WEST.inner(5)[0])
    assert west.arrived("10.2.0.77", lambda: _pings(*inwards)) == 0
    assert not _pings(INTERNET, "10.2.0.77", WEST.inner(1)[0])
    assert west.ping("198.51.100.7")


@pytest.mark.parametrize("families", ["44", "64"])
def test_nobody_outside_sends_into_the_tunnel(both, families):
    """A packet that says it is of the local subnet, but comes by the gateway port, ends there."""
    west, east = both
    connect(west, east, families)
    number = "46".index(families[0])
    source, target = WEST.inner(5)[number], EAST.inner(5)[number]
    mac = json.loads(run("ip", "-n", west.key, "-j", "link", "show", WEST.qg))[0]["address"]
    kind = (b"\x08\x00", b"\x86\xdd")[number]
    frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000042") + kind

    def forge():
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.sendto(frame + udp(source, target, b"forged"), ("to-west", 0))

    with Capture(east.workload) as seen:
        inside.within(INTERNET, forge)
        # What was sent before this has come.
        assert west.ping(target)
    assert not [p for p in seen.packets if b"forged" in p]
    assert seen.between(source, target)


def test_a_pair_is_closed_when_charon_is_dead(both):
    """Its device is gone and with it the routes: what is left is the way in clear."""
    west, east = both
    connect(west, east)
    run("ip", "-n", INTERNET, "route", "add", WEST.networks[0], "via", WEST.public[0])
    run("ip", "-n", INTERNET, "address", "add", "10.2.0.77/32", "dev", "br0")
    for pid in run("ip", "netns", "pids", west.key).split():
        os.kill(int(pid), signal.SIGKILL)
    until_gone(west.key, "ipsec0")
    with Capture() as seen:
        assert west.gets_no_answer("10.2.0.77")
    assert not seen.between(WEST.networks[0], EAST.networks[0])
    assert WEST.public[0] not in seen.sources(ICMP)
    inwards = (INTERNET, "10.2.0.77", WEST.inner(5)[0])
    assert west.arrived("10.2.0.77", lambda: _pings(*inwards)) == 0
    assert not _pings(INTERNET, "10.2.0.77", WEST.inner(1)[0])


def until_gone(name, device):
    deadline = time.monotonic() + 5
    while device in run("ip", "-n", name, "-br", "link"):
        assert time.monotonic() < deadline


def _pings(name, source, destination):
    argv = ("ping", "-n", "-c", "1", "-W", "1", "-I", source, destination)
    return "1 received" in within(name, *argv, check=False)


def test_neutrons_rewrites_leave_the_tunnel_alone(both):
    """The L3 agent writes its tables anew, as at each update and at its restart."""
    west, east = both
    connect(west, east)
    within(west.key, "iptables", "-t", "nat", "-F")
    assert west.ping(EAST.inner(5)[0])
    rules.rewrite(west.key, rules.centralized(WEST.qg, (WEST.qr,), WEST.public[0]))
    assert west.ping(EAST.inner(5)[0], count=2)
    assert west.turn().actions == 0


def test_packets_from_the_tunnel_get_their_scopes_mark(both):
    """Without the mark of L's scope Neutron drops them; the node tells which it is."""
    west, east = both
    connect(west, east)
    within(
        west.key, "iptables", "-A", "neutron-l3-agent-scope", "-o", WEST.qr,
        "-m", "mark", "!", "--mark", "0x4010000/0xffff0000", "-j", "DROP",
    )  # fmt: skip
    within(west.key, "iptables", "-D", "neutron-l3-agent-scope", "1")
    assert west.gets_no_answer(EAST.inner(5)[0])
    west.marks = (ScopeMark(ipaddress.ip_network(WEST.networks[0]), 0x4010000),)
    assert west.turn().actions == 1
    assert west.ping(EAST.inner(5)[0])


def test_another_network_of_the_router_goes_its_own_way_to_the_peers(both):
    """Routing is by pair: a network that nobody protects isn't swallowed by charon's route."""
    west, east = both
    connect(west, east)
    run("ip", "-n", west.workload, "address", "add", "10.7.0.5/24", "dev", "eth0")
    run("ip", "-n", west.key, "address", "add", "10.7.0.1/24", "dev", WEST.qr)
    with Capture() as seen:
        west.ping(EAST.inner(5)[0], "-I", "10.7.0.5")
    assert WEST.public[0] in seen.sources(ICMP)


def test_removal_leaves_the_namespace_as_neutron_has_it(both):
    """No table, chain, rule, route or process of ours is left, and Neutron's stand."""
    west, east = both
    before = run("ip", "-n", west.key, "rule")
    neutrons = without_counters(within(west.key, "iptables-save"))
    connect(west, east)
    west.source.desired = None
    west.settle()
    assert west.node.routers() == frozenset()
    assert west.swan.routers() == frozenset()
    assert not west.firewall.is_there(west.key)
    assert neutrons == without_counters(within(west.key, "iptables-save"))
    assert run("ip", "-n", west.key, "rule") == before
    assert not run("ip", "netns", "pids", west.key)


def without_counters(saved):
    lines = (line for line in saved.splitlines() if not line.startswith("#"))
    return [line.partition(" [")[0] for line in lines]


FLUSH = {
    "nft": ("nft", "flush", "chain", "inet", "swanherd", "forward"),
    "iptables": ("iptables-legacy", "-t", "mangle", "-F", "swanherd-forward"),
}


def test_what_is_lost_by_hand_is_put_again(both):
    """The table, a rule, charon: each is noticed and mended, and the tunnel is up again."""
    west, east = both
    connect(west, east)
    west.firewall.remove(west.key)
    west.settle()
    assert west.ping(EAST.inner(5)[0])
    within(west.key, *FLUSH[west.firewall.kind])
    assert west.turn().actions == 1
    run("ip", "-n", west.key, "rule", "del", "from", WEST.networks[0], "to", EAST.networks[0])
    assert west.turn().actions == 1
    assert west.ping(EAST.inner(5)[0])


def test_a_new_agent_finds_what_the_last_one_left(both):
    """After a restart of the L3 agent nothing has to be done, and the tunnel has never stopped."""
    west, east = both
    connect(west, east)
    again = HomeNode(west.firewall)
    again.find_touched()
    assert again.routers() == {west.key, east.key}
    assert west.turn().actions == 0
