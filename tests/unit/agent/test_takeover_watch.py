"""The agent looks at its routers as soon as the southbound database tells or is away too long."""

import contextlib
import queue
import threading
import time

import pytest

from swanherd.agent.takeover import SOON, TICK, Takeover
from swanherd.core.failures import Temporary
from swanherd.core.model import Reason
from swanherd.core.takeover import Hold

LIMIT = 10.0


class World:
    """A southbound database and a wheel that fail as the test says."""

    def __init__(self):
        self.is_connectable = True
        self.fails = False
        self.complete = threading.Event()
        self.asked_at: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.looks: queue.SimpleQueue[float] = queue.SimpleQueue()

    def connect(self):
        self.asked_at.put(time.monotonic())
        if not self.is_connectable:
            raise Temporary("southbound", Reason("southbound_unreachable", "nobody answers"))

    def close(self):
        self.complete.clear()

    def is_complete(self):
        return self.complete.is_set()

    def heard_at(self):
        return None

    def look_at_known(self):
        self.looks.put(time.monotonic())
        if self.fails:
            raise Temporary("southbound", Reason("southbound_unreachable", "nobody answers"))

    @contextlib.contextmanager
    def watching(self, patience=3600.0):
        takeover = Takeover(self, self, self, patience)
        takeover.start(self)
        try:
            yield
        finally:
            takeover.stop()


def test_what_is_known_at_once_is_acted_on_at_once():
    """A restart doesn't wait for half a second until the replica is complete."""
    world = World()
    with world.watching():
        world.looks.get(timeout=LIMIT)
        world.complete.set()
        told_at = time.monotonic()
        assert world.looks.get(timeout=LIMIT) - told_at < TICK / 2


def test_while_it_waits_for_the_rest_it_asks_often():
    """What is connected tells all within moments."""
    world = World()
    with world.watching():
        times = [world.asked_at.get(timeout=LIMIT) for _ in range(4)]
    assert times[3] - times[0] >= 3 * SOON
    assert times[3] - times[0] < 3 * TICK


def test_an_agent_that_hears_nothing_is_fenced_though_it_cannot_connect():
    """Its routers are looked at, to serve them no longer."""
    world = World()
    world.is_connectable = False
    with world.watching(patience=0.0):
        world.looks.get(timeout=LIMIT)


@pytest.mark.parametrize("what", ["is_connectable", "fails"])
def test_what_fails_is_tried_again_but_not_all_the_time(what):
    """The log has two lines a second of it, not twenty."""
    world = World()
    setattr(world, what, what == "fails")
    asked = world.asked_at if what == "is_connectable" else world.looks
    with world.watching():
        times = [asked.get(timeout=LIMIT) for _ in range(3)]
    assert times[2] - times[0] >= 2 * TICK * 0.9


def test_a_look_that_failed_is_not_forgotten():
    """The next one that goes well is the last."""
    world = World()
    world.fails = True
    with world.watching():
        world.looks.get(timeout=LIMIT)
        world.fails = False
        went_well_at = world.looks.get(timeout=LIMIT)
        while world.asked_at.get(timeout=LIMIT) < went_well_at + 4 * SOON:
            pass
        assert world.looks.empty()


class Port:
    """A port that is where the test says, of a router that is known or not."""

    def __init__(self):
        self.router, self.where = "router", Hold.COMING
        self.looks, self.announced = queue.SimpleQueue(), []

    def router_of(self, _port_id):
        return self.router

    def hold(self, _router_id, _port_id):
        return self.where

    def look_again(self, router_id):
        self.looks.put(router_id)

    def announce(self, router_id, _device):
        self.announced.append((router_id, self.where))


def test_nothing_is_kept_of_a_port_that_went_and_each_that_comes_is_announced():
    """Routers come and go for months, and one that moves back is told of again."""
    port = Port()
    takeover = Takeover(World(), World(), port, 3600.0)
    takeover.roles = port
    here = [(Hold.COMING, 1), (Hold.COMING, 1), (Hold.HERE, 1), (Hold.ELSEWHERE, 0)]
    for where, kept in [*here, *here]:
        port.where = where
        follow(takeover, port)
        assert len(takeover._holds) == kept
    assert [where for _, where in port.announced] == [Hold.COMING, Hold.HERE] * 2
    port.where = Hold.HERE
    follow(takeover, port)
    port.router = None
    follow(takeover, port)
    assert not takeover._holds


def follow(takeover, wheel):
    """Let it work off one event."""
    takeover.on_port("port")
    takeover._events.put(None)
    takeover._follow(wheel)
