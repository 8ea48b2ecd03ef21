"""Work in threads of its own: what waits keeps nothing else waiting, and nothing is lost."""

import dataclasses
import threading
import time

import pytest
from neutron_lib import fixture
from neutron_lib.callbacks import events, registry, resources
from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

from swanherd.server.maintenance import Apart, Line, Looks


def test_one_that_waits_keeps_no_other_waiting():
    """A router whose move waits for the bus, eight times over, and another one."""
    bus, done = threading.Event(), threading.Event()

    def move(key):
        if key == "other":
            done.set()
        else:
            bus.wait(10)

    apart = Apart(move, patience=0.05)
    for number in range(8):
        apart.add(f"waiting-{number}")
    apart.add("other")
    assert done.wait(5)
    bus.set()


def test_a_few_threads_do_what_many_are_named_for():
    """Of 200 routers that move at once none is lost, and each is moved once."""
    done, beside, go, over = [], [], threading.Event(), threading.Event()

    def move(key):
        go.wait(10)
        beside.append(sum(t.name.endswith("(_run)") for t in threading.enumerate()) - before)
        done.append(key)
        if len(done) == 200:
            over.set()

    before = sum(t.name.endswith("(_run)") for t in threading.enumerate())
    apart = Apart(move, patience=60)
    for number in range(200):
        apart.add(number)
    go.set()
    assert over.wait(20)
    assert sorted(done) == list(range(200))
    assert max(beside) <= 8


def test_those_that_wait_are_so_many_at_most():
    """Another one begins as soon as one of them has ended."""
    bus, begun = threading.Semaphore(0), []

    def move(key):
        begun.append(key)
        bus.acquire(timeout=10)

    def wait_for(count):
        deadline = time.monotonic() + 5
        while len(begun) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        return sorted(begun)

    apart = Apart(move, patience=0.02, at_once=2, most=4)
    for number in range(5):
        apart.add(number)
    assert wait_for(4) == [0, 1, 2, 3]
    time.sleep(0.1)  # five times as long as it would take
    assert len(begun) == 4
    bus.release()
    assert wait_for(5) == [0, 1, 2, 3, 4]
    bus.release(4)


def test_one_whose_rest_may_wait_keeps_nobody_waiting():
    """What its own key is named for meanwhile neither: it has been recorded elsewhere by then."""
    bus, turns, over = threading.Event(), [], threading.Event()

    def move(key):
        turns.append(key)
        if turns.count("a") == 2 and "b" in turns:
            over.set()
        apart.pass_on(key)
        bus.wait(10)

    apart = Apart(move, patience=60, at_once=1)
    for key in "aba":
        apart.add(key)
    apart.add("a")
    assert over.wait(5)
    bus.set()
    apart.pass_on("of nobody")


def test_what_is_named_while_it_is_worked_on_is_done_again():
    """The last word counts, and equal ones collapse."""
    first, go, turns, over = threading.Event(), threading.Event(), [], threading.Event()

    def work(key):
        turns.append(key)
        if len(turns) == 1:
            first.set()
            go.wait(10)
        else:
            over.set()

    apart = Apart(work)
    apart.add("r")
    assert first.wait(5)
    for _ in range(3):
        apart.add("r")
    go.set()
    assert over.wait(5)
    apart.add("s")
    assert turns[:2] == ["r", "r"]


def test_one_that_waits_keeps_its_own_next_move_waiting_for_patience_at_most():
    """A router whose gateway moves, moves again when the bus is gone, and once more after that."""
    bus, turns, ended = threading.Event(), [], threading.Semaphore(0)

    def move(key):
        turns.append(time.monotonic())
        bus.wait(10)
        ended.release()

    def wait_for_turns(count):
        deadline = time.monotonic() + 5
        while len(turns) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(turns) == count

    apart = Apart(move, patience=0.2)
    apart.add("r")
    wait_for_turns(1)
    for count in (2, 3):
        for _ in range(3):  # however often it is named
            apart.add("r")
        wait_for_turns(count)
        assert turns[-1] - turns[-2] >= 0.19  # a turn begins a moment before its work
    bus.set()
    for _ in turns:
        assert ended.acquire(timeout=5)
    assert len(turns) == 3  # what was overtaken does nothing again
    apart.add("r")
    assert ended.acquire(timeout=5)


def test_what_is_to_wait_waits_and_keeps_its_order():
    """By one thread, however many there are; what is named again meanwhile is done once."""
    done, over, began = [], threading.Event(), time.monotonic()

    def work(key):
        done.append((key, time.monotonic() - began, threading.current_thread()))
        if key == "last":
            over.set()

    line = Line(work, delay=0.2)
    for key in ("first", "next", "first", "last"):
        line.add(key)
    assert over.wait(5)
    assert [key for key, *_ in done] == ["first", "next", "last"]
    assert all(at >= 0.2 for _, at, _ in done)
    assert len({thread for *_, thread in done}) == 1


# A full pool of connections is no DBError.
BROKEN = [db_exc.DBError(), sa_exc.TimeoutError("QueuePool limit reached"), KeyError("a bug")]


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_failure_ends_no_thread(error):
    """The next key is worked on all the same."""
    done = threading.Event()

    def work(key):
        if key == "bad":
            raise error
        done.set()

    line = Line(work)
    line.add("bad")
    line.add("good")
    assert done.wait(5)


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_what_broke_once_is_worked_on_when_it_is_named_again(error):
    """Else this process would follow that router's gateway never again."""
    broke, done = threading.Event(), threading.Event()

    def work(key):
        if broke.is_set():
            done.set()
            return
        broke.set()
        raise error

    apart = Apart(work)
    apart.add("r")
    assert broke.wait(5)
    # Named while its thread still ends it is done again too.
    apart.add("r")
    assert done.wait(5)


@dataclasses.dataclass(frozen=True)
class Row:
    """What `Looks` reads of a router's row."""

    router_id: str


class Rows:
    """One router waits for an address."""

    def list_rows_with_problem(self, context, code):
        return (Row("waiting"),) if code == "no_address" else ()


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("resource", "event"),
    [
        (resources.PORT, events.AFTER_DELETE),
        (resources.SUBNET, events.AFTER_CREATE),
        (resources.SUBNET, events.AFTER_UPDATE),
    ],
    ids=["a port goes", "a subnet comes", "a subnet changes"],
)
def test_who_waits_for_an_address_is_looked_at_when_one_may_be_free(resource, event):
    """At once, not when the sweep comes; and nobody else."""
    looked, done = [], threading.Event()

    def look(router_id):
        looked.append(router_id)
        done.set()

    callbacks = fixture.CallbackRegistryFixture()
    callbacks.setUp()
    try:
        looks = Looks(Rows(), look, "no_address")
        looks.subscribe()
        registry.publish(resource, event, None, payload=events.DBEventPayload(None))
        assert done.wait(5)
    finally:
        callbacks.cleanUp()
    assert looked == ["waiting"]
