import dataclasses
import threading

import pytest

from swanherd.core.failures import Temporary
from swanherd.core.model import DataPlane, Initiator, Reason, RouterId, Status
from swanherd.core.news import FEW
from swanherd.core.tunnels import Timing
from swanherd.reconcile.loop import World
from swanherd.reconcile.source import SHORTEST, CachedSource
from swanherd.reconcile.wheel import RECENT, Wheel
from swanherd.testing import builders as make
from swanherd.testing.charon import FakeCharon
from swanherd.testing.node import FakeNode

LIMIT = 5
OTHER = RouterId(make.make_id("other"))


class Server:
    """A source and a reporter whose bus can go away."""

    def __init__(self, *routers):
        self.routers = {r.id: r for r in routers}
        self.away = False
        self.deaf = 0
        self.reports = []
        self.told = threading.Condition()
        self.bus = threading.Event()
        self.bus.set()
        self.asked = threading.Event()
        self.answer = threading.Event()
        self.answer.set()

    def get_router(self, router_id):
        if self.away:
            raise Temporary(router_id, Reason("server_unreachable", "the bus is away"))
        desired = self.routers.get(router_id)
        self.asked.set()
        assert self.answer.wait(LIMIT)
        return desired

    def get_revisions(self):
        return {i: r.revision for i, r in self.routers.items()}

    def report(self, reports):
        assert self.bus.wait(LIMIT)
        if self.deaf:
            self.deaf -= 1
            raise Temporary(make.ROUTER, Reason("server_unreachable", "no answer"))
        with self.told:
            self.reports += reports
            self.told.notify_all()

    def wait_for_report(self, met):
        with self.told:
            assert self.told.wait_for(lambda: any(map(met, self.reports)), LIMIT)


class Stage:
    def __init__(self, *routers, plane=DataPlane.KERNEL):
        self.now = 0.0
        self.server = Server(*routers)
        self.source = CachedSource(self.server, self.clock, max_age=60)
        self.node, self.charon = FakeNode(), FakeCharon(clock=self.clock)
        world = World(self.source, self.node, self.charon, plane)
        self.wheel = Wheel(world, self.server, Timing(0.0), self.clock, lambda: 0.0)

    def clock(self):
        return self.now


@pytest.fixture
def stage():
    stage = Stage(make.desired(), make.desired(id=OTHER))
    stage.wheel.start(1)
    yield stage
    stage.server.bus.set()
    stage.wheel.stop()


def is_active(router_id):
    return lambda report: (
        report.router_id == router_id and report.services[0].status is Status.ACTIVE
    )


def test_what_is_queued_is_done_and_told(stage):
    """A hint leads to a turn, and the turn to a report."""
    stage.wheel.look_again(make.ROUTER)
    stage.server.wait_for_report(is_active(make.ROUTER))


def test_a_report_that_was_not_taken_in_is_told_again(stage):
    """Without a comparison: nobody else would tell of it for its interval."""
    stage.server.deaf = 1
    stage.wheel.look_again(make.ROUTER)
    stage.server.wait_for_report(is_active(make.ROUTER))
    assert not stage.server.deaf


def test_a_bus_that_is_away_keeps_no_worker(stage):
    """While a report waits for the bus, the only worker turns for the next router."""
    stage.server.bus.clear()
    seen = _turn_of(stage, OTHER)
    stage.wheel.look_again(make.ROUTER)
    stage.wheel.look_again(OTHER)
    assert seen.wait(LIMIT / 2)


def _turn_of(stage, router_id):
    """Return what is set when the router's network is looked at."""
    seen, observe = threading.Event(), stage.node.observe

    def watched(looked_at, known=None):
        if looked_at == router_id:
            seen.set()
        return observe(looked_at, known)

    stage.node.observe = watched
    return seen


def test_a_turn_that_breaks_stops_no_other(stage):
    """A bug met in one router's turn leaves the worker to the others."""
    broken = {"left": 1}
    observe = stage.node.observe

    def breaks_once(router_id, known=None):
        if router_id == make.ROUTER and broken["left"]:
            broken["left"] -= 1
            raise ZeroDivisionError
        return observe(router_id, known)

    stage.node.observe = breaks_once
    stage.wheel.look_again(make.ROUTER)
    stage.wheel.look_again(OTHER)
    stage.server.wait_for_report(is_active(OTHER))


def test_a_comparison_queues_what_differs_and_what_is_stale(stage):
    """New, changed and stale routers get a turn; of all others the report is sent again."""
    stage.wheel.compare(stage.source.get_revisions())
    stage.server.wait_for_report(is_active(OTHER))
    stage.server.wait_for_report(is_active(make.ROUTER))
    del stage.server.routers[OTHER]
    removed = threading.Event()
    apply = stage.node.apply

    def watched(router_id, action):
        apply(router_id, action)
        if router_id == OTHER:
            removed.set()

    stage.node.apply = watched
    with stage.server.told:
        stage.server.reports.clear()
    stage.wheel.compare(stage.source.get_revisions())
    stage.server.wait_for_report(is_active(make.ROUTER))
    assert removed.wait(LIMIT)
    assert OTHER not in stage.node.routers()


def test_no_turn_begins_for_what_is_ignored_whoever_asks(stage):
    """Another's turn comes after it would have; heeded again it has its own."""
    stage.wheel.ignore(make.ROUTER)
    stage.wheel.look_again(make.ROUTER)
    stage.wheel.compare({make.ROUTER: 1, OTHER: 1})
    stage.server.wait_for_report(is_active(OTHER))
    assert make.ROUTER not in stage.node.routers()
    stage.wheel.heed(make.ROUTER)
    stage.wheel.look(make.ROUTER)
    stage.server.wait_for_report(is_active(make.ROUTER))


def test_drift_is_repaired_without_the_server(stage):
    """What is known is looked at also while the bus is away, however long that lasts."""
    stage.wheel.look_again(make.ROUTER)
    stage.server.wait_for_report(is_active(make.ROUTER))
    stage.server.away = True
    stage.now = 10_000.0
    stage.node.lose_namespace(make.ROUTER)
    repaired, apply = threading.Event(), stage.node.apply

    def watched(router_id, action):
        apply(router_id, action)
        if stage.node.observe(router_id).exists:
            repaired.set()

    stage.node.apply = watched
    stage.wheel.look_at_known()
    assert repaired.wait(LIMIT)


def test_the_network_is_looked_at_unless_only_charon_or_the_server_tells_something():
    """An event of charon, or a hint, within the time needs no new look; drift, a failure do."""
    desired = make.desired(make.connection(initiator=Initiator.RESPONSE_ONLY))
    stage = Stage(desired, plane=DataPlane.USERSPACE)
    looks = []
    seen = stage.node.observe
    stage.node.observe = lambda *at: looks.append(at) or seen(*at)

    def turn(queue, router_id=make.ROUTER):
        looks.clear()
        queue(router_id)
        stage.wheel._settle(router_id, stage.wheel.turn(router_id))
        return len(looks)

    turn(stage.wheel.look_again)
    stage.node.add_device(make.ROUTER, "ipsec0")
    assert turn(stage.wheel.look_again) > 0
    assert turn(stage.wheel.look_again) == 1
    stage.now += RECENT - 1
    assert turn(stage.wheel.look) == 0
    other = (make.selector("10.1.0.0/24", "198.18.0.0/24"),)
    wider = make.connection(initiator=Initiator.RESPONSE_ONLY, selectors=other)
    stage.server.routers[make.ROUTER] = make.desired(wider, revision=2)
    stage.source.forget(make.ROUTER)
    assert turn(stage.wheel.look) > 0, "what it has become is looked at"
    stage.now += 1
    assert turn(stage.wheel.look) == 1
    stage.node.lose_namespace(make.ROUTER)
    assert turn(lambda _: stage.wheel.look_at_known()) > 1
    stage.wheel._retry(make.ROUTER)
    assert turn(stage.wheel.look) > 0


def test_a_hint_during_a_fetch_is_not_lost():
    """What was fetched before the hint isn't taken for what is true after it."""
    server = Server(make.desired())
    source = CachedSource(server, lambda: 0.0, max_age=60)
    server.answer.clear()
    fetch = threading.Thread(target=source.get_router, args=(make.ROUTER,))
    fetch.start()
    assert server.asked.wait(LIMIT)
    server.routers[make.ROUTER] = make.desired(revision=2)
    source.forget(make.ROUTER)
    server.answer.set()
    fetch.join(LIMIT)
    assert source.get_router(make.ROUTER).revision == 2


def test_a_server_that_does_not_answer_is_not_asked_for_each_look():
    """After a failure the last answer serves for some seconds, then the server is asked again."""
    now = [0.0]
    server = Server(make.desired())
    source = CachedSource(server, lambda: now[0], max_age=60)
    source.get_router(make.ROUTER)
    now[0], server.away = 100.0, True
    assert source.get_router(make.ROUTER).revision == 1
    server.away, server.routers = False, {make.ROUTER: make.desired(revision=2)}
    assert source.get_router(make.ROUTER).revision == 1
    now[0] = 200.0
    assert source.get_router(make.ROUTER).revision == 2


def test_of_a_router_that_another_host_has_nothing_is_kept():
    """Routers go from host to host for weeks; what is wanted of one that is here stays known."""
    server = Server(make.desired(), dataclasses.replace(make.desired(), id=OTHER, services=()))
    source = CachedSource(server, lambda: 0.0, max_age=60)
    for router_id in (make.ROUTER, OTHER):
        source.get_router(router_id)
        source.forget(router_id)
    del server.routers[OTHER], server.routers[make.ROUTER]
    source.get_revisions()
    assert source.recall(make.ROUTER) is not None
    assert source.recall(OTHER) is None
    assert set(source._hints) == {make.ROUTER}
    assert source.get_router(OTHER) is None


def test_who_must_not_wait_can_know_whether_it_would():
    """Neither known nor hinted at, nor old: then the answer comes at once."""
    now = [0.0]
    server = Server(make.desired())
    source = CachedSource(server, lambda: now[0], max_age=60)
    assert not source.is_current(make.ROUTER)
    source.get_router(make.ROUTER)
    assert source.is_current(make.ROUTER)
    source.forget(make.ROUTER)
    assert not source.is_current(make.ROUTER)
    source.get_router(make.ROUTER)
    now[0] = 61.0
    assert not source.is_current(make.ROUTER)
    server.away = True
    source.get_router(make.ROUTER)
    assert source.is_current(make.ROUTER), "a server that doesn't answer isn't asked again"


def test_what_a_hint_told_of_is_asked_for_until_it_comes_and_no_turn_waits_for_it():
    """The hint doesn't come again: without this the old state stayed until a comparison."""
    now = [0.0]
    server = Server(make.desired())
    source = CachedSource(server, lambda: now[0], max_age=60)
    source.get_router(make.ROUTER)
    server.away = True
    source.forget(make.ROUTER)
    assert source.get_router(make.ROUTER).revision == 1
    now[0] = SHORTEST
    assert source.catch_up() == []
    server.away, server.routers = False, {make.ROUTER: make.desired(revision=2)}
    now[0] = SHORTEST * 1.5
    assert source.get_router(make.ROUTER).revision == 1, "a turn asked"
    assert source.catch_up() == [], "the pause grows"
    now[0] = SHORTEST * 3
    assert source.catch_up() == [make.ROUTER]
    assert source.get_router(make.ROUTER).revision == 2
    assert source.catch_up() == []


def test_a_turn_that_an_event_asked_for_makes_no_pause_longer():
    """Ten events in a row whose turns fail are no ten attempts."""
    desired = make.desired()
    stage = Stage(desired, plane=DataPlane.USERSPACE)
    pauses = []
    stage.wheel._queue.add_after = lambda _, delay: pauses.append(delay)
    for _ in range(10):
        stage.wheel._retry(make.ROUTER)
    assert max(pauses) < 2 * min(pauses)
    for _ in range(3):
        stage.now += pauses[-1]
        stage.wheel._retry(make.ROUTER)
    assert max(pauses) > 3 * min(pauses)


def test_a_router_that_was_never_fetched_is_not_made_up():
    """Without any answer there is nothing to work on: the failure is told."""
    server = Server(make.desired())
    server.away = True
    source = CachedSource(server, lambda: 0.0, max_age=60)
    with pytest.raises(Temporary):
        source.get_router(make.ROUTER)


def test_of_many_connections_only_news_is_told_until_the_next_comparison():
    """What a comparison asks for is told whole; after a hint also what the server waits for."""
    names = [f"c{number}" for number in range(FEW + 1)]
    many = [
        make.connection(name, peer_address=f"198.51.100.{n}", peer_id=f"198.51.100.{n}",
                        selectors=(make.selector("10.1.0.0/24", f"10.2.{n}.0/24"),))
        for n, name in enumerate(names)
    ]  # fmt: skip
    stage = Stage(make.desired(*many))
    stage.wheel.start(1)
    try:
        stage.wheel.look_again(make.ROUTER)
        stage.server.wait_for_report(lambda report: len(report.connections) == len(many))
        stage.charon.settle()
        stage.wheel.look_again(make.ROUTER)
        stage.server.wait_for_report(lambda report: is_up(report, many))
        stage.server.reports.clear()
        stage.charon.peer_deletes(make.ROUTER, stage.charon.observe(make.ROUTER).ike_sas[0].config)
        stage.wheel.look_again(make.ROUTER)
        stage.server.wait_for_report(lambda report: len(report.connections) == 1)
        stage.server.reports.clear()
        stage.wheel.compare({make.ROUTER: 1})
        stage.server.wait_for_report(lambda report: len(report.connections) == len(many))
        stage.server.reports.clear()
        for waits, count in ((None, len(many)), ((many[3].id,), 1), ((), 0)):
            stage.server.reports.clear()
            stage.source.forget(make.ROUTER)
            stage.server.routers = {make.ROUTER: make.desired(*many, unsettled=waits)}
            stage.wheel.look_again(make.ROUTER)
            stage.server.wait_for_report(lambda report, n=count: len(report.connections) == n)
    finally:
        stage.wheel.stop()


def test_a_turn_that_has_nothing_new_tells_nothing(stage):
    """The server has it already; what comes after it in the queue is told."""
    stage.wheel.look_again(make.ROUTER)
    stage.server.wait_for_report(is_active(make.ROUTER))
    stage.wheel.look(make.ROUTER)
    stage.wheel.look(OTHER)
    stage.server.wait_for_report(is_active(OTHER))
    assert [report.router_id for report in stage.server.reports] == [make.ROUTER, OTHER]


def is_up(report, connections):
    return sum(row.status is Status.ACTIVE for row in report.connections) == len(connections)
