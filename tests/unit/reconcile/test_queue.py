from swanherd.reconcile.queue import KeyedQueue
from swanherd.reconcile.source import CachedSource
from swanherd.testing import builders as make


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_equal_keys_collapse():
    """A key that is added often is handed out once."""
    queue = KeyedQueue(Clock())
    for _ in range(3):
        queue.add("a")
    assert queue.take() == "a"
    assert len(queue) == 1


def test_a_key_that_is_worked_on_is_handed_out_again_only_after_it_is_done():
    """No key is worked on twice at once, and no event in between is lost."""
    queue = KeyedQueue(Clock())
    queue.add("a")
    queue.take()
    queue.add("a")
    queue.add("b")
    assert queue.take() == "b"
    queue.done("a")
    assert queue.take() == "a"


def test_who_seizes_a_key_is_alone_with_it():
    """It waits for who works on it, forgets that it is queued, and nothing in between is lost."""
    queue = KeyedQueue(Clock())
    queue.add("a")
    queue.take()
    assert not queue.seize("a", 0)
    queue.done("a")
    queue.add("a")
    queue.add("b")
    assert queue.seize("a", 0)
    queue.add("a")
    assert queue.take() == "b"
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    queue.add_after("a", 5)
    assert queue.seize("a", 0)
    queue.done("a")
    assert len(queue) == 1  # b, which is worked on


def test_the_earlier_of_two_due_times_holds():
    """add_after never delays what is due sooner; add makes it due now."""
    clock = Clock()
    queue = KeyedQueue(clock)
    queue.add_after("a", 5)
    queue.add_after("a", 50)
    clock.now = 6
    assert queue.take() == "a"
    queue.done("a")
    queue.add_after("b", 5)
    queue.add("b")
    assert queue.take() == "b"
    queue.done("b")
    clock.now = 20
    queue.close()
    assert queue.take() is None


def test_a_closed_queue_lets_every_worker_go():
    """take returns None once the queue is closed."""
    queue = KeyedQueue(Clock())
    queue.close()
    assert queue.take() is None


class Server:
    def __init__(self, desired):
        self.desired, self.asked = desired, 0

    def get_router(self, _):
        self.asked += 1
        return self.desired

    def get_revisions(self):
        return {self.desired.id: self.desired.revision} if self.desired else {}


class TestCachedSource:
    def test_events_do_not_ask_the_server(self):
        """The same look twice asks once, until a hint or age."""
        clock, server = Clock(), Server(make.desired())
        source = CachedSource(server, clock, max_age=60)
        for expected in (1, 1):
            source.get_router(make.ROUTER)
            assert expected == server.asked
        source.forget(make.ROUTER)
        source.get_router(make.ROUTER)
        clock.now = 61
        source.get_router(make.ROUTER)
        assert server.asked == 3

    def test_a_differing_revision_is_asked_for(self):
        """What the server's comparison says differs, is fetched anew."""
        server = Server(make.desired())
        source = CachedSource(server, Clock(), max_age=60)
        source.get_router(make.ROUTER)
        server.desired = make.desired(revision=2)
        source.get_revisions()
        assert source.get_router(make.ROUTER).revision == 2

    def test_a_router_that_is_gone_is_not_remembered(self):
        """None isn't cached and forgets what was known."""
        server = Server(make.desired())
        source = CachedSource(server, Clock(), max_age=60)
        source.get_router(make.ROUTER)
        server.desired = None
        source.get_revisions()
        assert source.get_router(make.ROUTER) is None
