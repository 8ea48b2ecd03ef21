"""Redundant routers: who has the address serves, at once; who hasn't is silent."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from swanherd.agent.homes import HomeSource
from swanherd.core.ike import StopCharon
from swanherd.core.model import Role, Status
from swanherd.core.tenure import Tenure, hear, tell
from swanherd.dataplane import frames, homes
from swanherd.dataplane.privileged import inside, packets
from swanherd.testing import builders as make
from tests.functional.l3.redundancy import address, stand_by, take_over
from tests.functional.l3.stand import (
    EAST,
    WEST,
    Capture,
    desired,
    distributed,
    namespace_of,
    run,
    wire,
)

UDP = 17


def until(met, limit=10):
    deadline = time.monotonic() + limit
    while not met():
        assert time.monotonic() < deadline


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
    assert homes.wait(west.homes.redundant(), 5.0).keys() == {west.key}
    west.until(Status.ACTIVE)
    assert west.ping(EAST.inner(5)[0])
    address(west, "del")
    assert homes.wait(west.homes.redundant(), 5.0).keys() == {west.key}
    assert west.turn().report.role is Role.STANDBY
    assert not west.swan.observe(west.key).ike_sas
    assert west.gets_no_answer(EAST.inner(5)[0])


def test_a_take_over_doesnt_wait_for_the_server(both, keepalived):
    """What is known serves; the server, which may be cut off, is asked beside it."""
    west, east = both
    stand_by(west, east)
    before = west.source.asked
    west.source.current = False
    address(west, "add")
    assert west.turn().report.role is Role.ACTIVE
    address(west, "del")
    assert west.turn().report.role is Role.STANDBY
    assert west.source.asked == before
    assert set(west.questions) == {WEST.router_id}


def test_who_was_known_is_enough_until_it_ends(both, keepalived):
    """A node has thousands of processes; the others are looked at only where one has gone."""
    west, _ = both
    assert homes.processes(west.key, "keepalived", [keepalived.pid]) == {keepalived.pid}
    assert not homes.processes(west.key, "another", [keepalived.pid])
    assert homes.processes(west.key, "keepalived", [keepalived.pid, 1]) == {keepalived.pid}
    keepalived.kill()
    keepalived.wait()
    assert not homes.processes(west.key, "keepalived", [keepalived.pid])


def test_an_address_without_its_keepalived_is_not_ours(both, keepalived):
    """Killed, it leaves its addresses behind, and another node takes them: two would send."""
    west, east = both
    stand_by(west, east)
    address(west, "add")
    west.until(Status.ACTIVE)
    homes.wait(west.homes.redundant(), 0.0)
    keepalived.kill()
    assert homes.wait(west.homes.redundant(), 5.0).keys() == {west.key}
    with Capture() as seen:
        assert west.turn().report.role is Role.STANDBY
        assert west.gets_no_answer(EAST.inner(5)[0])
    assert WEST.public[0] not in seen.sources(UDP)


def test_a_namespace_that_is_made_anew_is_watched_anew(both, keepalived):
    """Its name is the same, its inode isn't."""
    west, east = both
    stand_by(west, east)
    homes.wait(west.homes.redundant(), 0.0)
    assert not homes.wait(west.homes.redundant(), 0.1)
    run("ip", "netns", "del", west.key)
    run("ip", "netns", "add", west.key)
    assert homes.wait({west.key: ()}, 5.0).keys() == {west.key}


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


def test_workloads_switches_are_told_of_the_central_part_of_a_distributed_router(stand):
    """They learn where its MAC is by nothing else, if it was elsewhere too and stays here."""
    west = stand.site(WEST, distributed)
    central = WEST.inner(9)[0]
    with Capture(west.workload) as seen:
        west.node.announce(west.key)
        until(lambda: arp_of(seen, central))


def test_each_address_is_told_once_at_a_time(both, keepalived):
    """Who has just lost it must not go on: switches would send to who speaks last."""
    west, east = both
    stand_by(west, east)
    address(west, "add")
    with Capture() as seen:
        west.node.announce(west.key)
        until(lambda: arp_of(seen, WEST.public[0]))
        assert west.gets_no_answer("192.0.2.1")  # takes a second
        assert arp_of(seen, WEST.public[0]) <= 3  # a broadcast is seen on each device


def arp_of(seen, wanted):
    """Count the announcements of that address (RFC 5227 §3) that were seen."""
    packed = bytes(map(int, wanted.split(".")))
    asked = [p for p in seen.packets if p[:2] == b"\x00\x01"]
    return sum(p[14:18] == packed == p[24:28] for p in asked)


@pytest.fixture
def other_node(both):
    """Where another node's agent of the router speaks: the far end of the device of VRRP."""
    namespace_of("other")
    wire(both[0].key, "ha-1", "other", "ha-2")
    return Other(both[0].key)


class Other:
    """Another agent's notice, sent by whichever device a namespace has."""

    def __init__(self, key):
        self.key = key

    def tells(self, tenure, namespace="other", device="ha-2", key=""):
        notice = tell(key or self.key, tenure, time.monotonic())
        frame = frames.notice("02:00:00:00:00:01", key or self.key, notice)
        packets.send(namespace, device, [frame], ())


def heard(west, limit=5.0):
    """Wait for what others tell; return whether it put the SAs in doubt."""
    return west.homes.hear(west.key, homes.wait(west.homes.redundant(), limit).get(west.key, ()))


def test_sas_that_another_node_has_replaced_meanwhile_are_made_anew(both, keepalived, other_node):
    """The peer has forgotten ours for the other's, and nobody but the other knows."""
    west, east = both
    take_over(west, east)
    began = time.monotonic()
    before = {sa.unique_id for sa in west.swan.observe(west.key).ike_sas}
    east.swan.apply(east.key, StopCharon())  # it forgets all, and says nothing to us
    passed = threading.Event()
    passed.wait(2.5)  # ages are whole seconds
    other_node.tells(Tenure(began, time.monotonic()))
    assert heard(west)
    west.turn()
    east.turn()
    west.until(Status.ACTIVE)
    after = {sa.unique_id for sa in west.swan.observe(west.key).ike_sas}
    assert after.isdisjoint(before)
    assert west.ping(EAST.inner(5)[0])


def test_the_end_of_the_one_from_whom_it_was_taken_over_costs_nothing(
    both, keepalived, other_node
):
    """It tells in the same words that it has the address no more."""
    west, east = both
    take_over(west, east)
    now = time.monotonic()
    other_node.tells(Tenure(now - 600, now - 60))
    assert not heard(west)
    assert west.turn().actions == 0


def test_nobody_is_heard_but_the_routers_own_agents(both, keepalived, other_node):
    """Not a workload of the router, and not the agent of another router of that project."""
    west, east = both
    take_over(west, east)
    now = time.monotonic()
    other_node.tells(Tenure(now, now), west.workload, "eth0")
    assert not heard(west)
    other_node.tells(Tenure(now, now), key="qrouter-another")
    assert not homes.wait(west.homes.redundant(), 0.3)


def test_who_gives_the_address_up_says_since_when_it_had_it(both, keepalived, other_node):
    """By the device of VRRP alone."""
    west, east = both
    take_over(west, east)
    address(west, "del")
    assert west.turn().report.role is Role.STANDBY
    notice = west.homes.notice(west.key)
    key, tenure = hear(notice, time.monotonic())
    assert key == west.key
    assert tenure.began < tenure.ended <= time.monotonic()
    with Listening("other") as listening:
        west.node.tell(west.key, notice)
        assert listening.recv(2048)[4:] == notice


def test_for_how_long_a_node_has_had_the_address_counts_from_when_it_came(both, keepalived):
    """And from the agent's beginning if the address was there before; nothing without it."""
    west, east = both
    stand_by(west, east)
    assert west.homes.held(west.key) is None
    came = time.monotonic()
    address(west, "add")
    west.until(Status.ACTIVE)
    assert 0 < west.homes.held(west.key) <= time.monotonic() - came
    began = time.monotonic()
    another = HomeSource(west.source, lambda _: (), time.monotonic)
    assert another.get_router(west.key).role is Role.ACTIVE
    assert 0 < another.held(west.key) <= time.monotonic() - began
    address(west, "del")
    west.turn()
    assert west.homes.held(west.key) is None


def test_a_router_that_is_redundant_no_more_has_no_tenure(both, keepalived):
    """Neutron may make it a legacy one of the same name: what was before isn't told."""
    west, east = both
    take_over(west, east)
    assert west.homes.held(west.key) is not None
    west.source.desired = desired(west.plan, east.plan, make.home())
    west.until(Status.ACTIVE)
    west.turn()
    assert west.homes.held(west.key) is None
    assert not west.homes.roles() and not west.homes.redundant()


class Listening:
    """A socket for notices in a namespace."""

    def __init__(self, namespace):
        self.socket = inside.within(namespace, self._open)

    @staticmethod
    def _open():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(frames.NOTICE))
        sock.settimeout(5)
        return sock

    def __enter__(self):
        return self.socket

    def __exit__(self, *_):
        self.socket.close()
