import itertools
import threading

from swanherd.agent.life import Life
from swanherd.core.failures import Temporary
from swanherd.core.model import Reason, RouterId


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
