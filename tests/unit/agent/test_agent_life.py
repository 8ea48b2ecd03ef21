import itertools
import threading
import time

import pytest

from swanherd.agent.life import Life
from swanherd.core.failures import Temporary
from swanherd.core.model import Reason, RouterId
from swanherd.reconcile.queue import KeyedQueue


def test_a_failure_is_told_and_the_work_goes_on_until_the_end(caplog):
    """One thread for each work; after the end none is left."""
    life, again = Life(after_failure=0.0), threading.Event()
    turns = itertools.count()

    def work():
        if next(turns):
            again.set()
            return
        raise Temporary(RouterId("r"), Reason("code", "not yet"))

    life.every(0.0, work, "of-this-test")
    assert again.wait(5)
    assert "not yet" in caplog.text
    life.end()
    assert life.wait(0)
    for thread in threading.enumerate():
        if thread.name == "of-this-test":
            thread.join(5)
            assert not thread.is_alive()


def test_failed_work_is_done_again_long_before_its_interval():
    """What the bus lost is asked anew within seconds; the interval is for when all is well."""
    life, again = Life(after_failure=0.0, delay=lambda failures, _jitter: 0.0), threading.Event()
    turns = itertools.count()

    def work():
        if next(turns) == 1:
            again.set()
            return
        raise Temporary(RouterId("r"), Reason("code", "lost"))

    life.every(3600.0, work, "failing")
    assert again.wait(5)
    life.end()


def test_what_failed_is_never_put_off_for_long():
    """A server that comes up after half a minute is asked within seconds."""
    life = Life(jitter=lambda: 1.0)
    assert max(life._pause(20.0, failures) for failures in range(1, 100)) <= 3.0
    assert life._pause(20.0, 0) == 20.0


def test_what_breaks_in_somebody_elses_process_is_done_again(caplog):
    """Nobody starts an L3 agent anew for a thread of ours, and half of us would cost the truth."""
    life, again = Life(after_failure=0.0, goes_on=True), threading.Event()
    turns = itertools.count()

    def work():
        if next(turns):
            again.set()
            return
        raise RuntimeError("a bug")

    life.every(0.0, work, "broken")
    assert again.wait(5)
    assert "a bug" in caplog.text
    life.end()


def test_what_breaks_in_our_own_process_ends_the_thread(monkeypatch):
    """So that the agent ends, and is started anew."""
    broke = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: broke.set())

    def work():
        raise RuntimeError("a bug")

    life = Life(after_failure=0.0)
    life.every(0.0, work, "broken")
    assert broke.wait(5)
    life.end()


@pytest.mark.parametrize(
    "error", [Temporary(RouterId("r"), Reason("code", "lost")), KeyError("a bug")], ids=str
)
def test_what_fails_for_one_key_keeps_no_other_waiting(error, caplog):
    """Whom the neighbours are told of next is none of its matter."""
    keys, done = KeyedQueue(time.monotonic), threading.Event()

    def work(key):
        if key == "bad":
            raise error
        done.set()

    Life(goes_on=True).work_off(keys, work, "announce")
    keys.add("bad")
    keys.add("good")
    assert done.wait(5)
    keys.close()
    assert "announce" in caplog.text
