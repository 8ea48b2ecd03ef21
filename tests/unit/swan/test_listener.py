"""The thread that hears charons."""

from swanherd.swan.sessions import Listener


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
