"""The thread that hears charons."""

import socket
import threading
from pathlib import Path

from swanherd.core.model import RouterId
from swanherd.swan import sessions
from swanherd.swan.sessions import Listener
from swanherd.swan.settings import Paths

NOWHERE = Paths(Path("/nonexistent"))


class Slow:
    """A socket between whose caller and the kernel the thread has all the time to end."""

    def __init__(self, listener):
        self._real, self._listener = listener._wake, listener

    def send(self, data):
        self._real.send(data)
        self._listener._thread.join(0.1)
        return self._real.send(data)

    def close(self):
        self._real.close()


def test_it_ends_though_an_event_wakes_the_thread_at_that_moment():
    """The thread closes what it is woken by, and not while somebody wakes it."""
    listener = Listener(lambda router_id, events: None)
    listener._wake = Slow(listener)
    listener.close()
    assert not listener._thread.is_alive()
    listener.close()


class Ear:
    """Hears what the test says: anything is an event, an empty word the end."""

    early = ()

    def __init__(self, router_id, paths):
        self.router_id = router_id
        self._heard, self._says = socket.socketpair()

    def say(self):
        self._says.send(b"!")

    def end(self):
        self._says.close()

    def sockets(self):
        return {"vici": self._heard}

    def hear(self, which):
        return self._heard.recv(1) or None

    def close(self):
        self._heard.close()
        self._says.close()


def test_many_that_begin_while_the_thread_is_at_work_do_not_stop_it(monkeypatch):
    """Each wakes it, and what wakes it holds 278 bytes; it may need the lock before it reads them.

    So it is where all daemons of a node end at once: hundreds are let go of and begun anew.
    """
    monkeypatch.setattr(sessions, "_Ear", Ear)
    at_work, go, over = threading.Semaphore(0), threading.Semaphore(0), threading.Event()

    def told(router_id, events):
        if events is None:
            over.set()
        else:
            at_work.release()
            go.acquire(timeout=10)

    listener = Listener(told)
    # The first keeps the thread while the next two become ready: then it is told of both at once.
    for name in ("first", "busy", "ending"):
        listener.attach(RouterId(name), NOWHERE)
    first, busy, ending = listener._ears.values()
    first.say()
    assert at_work.acquire(timeout=5)
    busy.say()
    ending.end()
    go.release()
    assert at_work.acquire(timeout=5)

    def begin():
        for number in range(400):
            listener.attach(RouterId(str(number)), NOWHERE)

    beginning = threading.Thread(target=begin, daemon=True)
    beginning.start()
    beginning.join(1)
    go.release()
    assert over.wait(5)
    beginning.join(5)
    assert not beginning.is_alive()
    listener.close()
