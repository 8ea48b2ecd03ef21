"""The repeated work of an agent: threads that begin together and end together."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from swanherd.core.failures import Failure
from swanherd.reconcile import backoff
from swanherd.reconcile.queue import KeyedQueue

K = TypeVar("K", bound=Hashable)

LOG = logging.getLogger(__name__)

# The longest pause in seconds after a failure: a server that comes up takes half a minute, and
# what isn't known of its routers until the comparison has been answered waits for it.
SOON = 3.0


def _soon(failures: int, jitter: float) -> float:
    return min(backoff.delay(failures, jitter), SOON)


class Life:
    """Ends with `end`; until then each work is done again and again in a thread of its own.

    After a failure it is done again sooner than its interval says: by the `delay` of so many
    failures in a row, but not sooner than `after_failure` seconds later. `jitter` returns a number
    in [0, 1).

    A thread that breaks ends, and with it an agent that is a process of its own (`agent.ovn`). In
    somebody else's process work that breaks is done again: it `goes_on`.
    """

    def __init__(
        self,
        after_failure: float = 1.0,
        jitter: Callable[[], float] = random.random,
        delay: Callable[[int, float], float] = _soon,
        *,
        goes_on: bool = False,
    ) -> None:
        self._over = threading.Event()
        self._after_failure = after_failure
        self._jitter = jitter
        self._delay = delay
        self._goes_on = goes_on

    def end(self) -> None:
        """Let every thread end after what it does now."""
        self._over.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most so long; tell whether it has come."""
        return self._over.wait(seconds)

    def every(self, interval: float, work: Callable[[], None], name: str) -> None:
        """Do `work` now and then every `interval` seconds; a Failure is logged."""

        def loop() -> None:
            failures = 0
            while True:
                try:
                    work()
                    failures = 0
                except Failure as failure:
                    LOG.warning("%s: %s", name, failure)
                    failures += 1
                except Exception:
                    if not self._goes_on:
                        raise
                    LOG.exception("%s broke", name)
                    failures += 1
                if self._over.wait(self._pause(interval, failures)):
                    return

        threading.Thread(target=loop, name=name, daemon=True).start()

    def work_off(self, keys: KeyedQueue[K], work: Callable[[K], None], name: str) -> None:
        """Do `work` for each key of the queue until that is closed; a Failure is logged."""

        def loop() -> None:
            while (key := keys.take()) is not None:
                try:
                    work(key)
                except Failure as failure:
                    LOG.warning("%s: %s", name, failure)
                except Exception:
                    if not self._goes_on:
                        raise
                    LOG.exception("%s broke", name)
                finally:
                    keys.done(key)

        threading.Thread(target=loop, name=name, daemon=True).start()

    def _pause(self, interval: float, failures: int) -> float:
        """Return the seconds until the work is done again, after so many failures in a row."""
        if not failures:
            return interval
        again = self._delay(failures, self._jitter())
        return max(self._after_failure, min(interval, again))
