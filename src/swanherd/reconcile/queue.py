"""A queue of keys: equal keys collapse, no key is worked on twice at once, keys can wait.

The shape of client-go's workqueue: `take` hands out a key, `done` gives it back; a key that was
added in between is handed out again.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class KeyedQueue(Generic[K]):
    """Thread-safe; `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: dict[K, None] = {}  # in order of arrival
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._due: dict[K, float] = {}
        self._timers: list[tuple[float, int, K]] = []
        self._count = 0
        self._closed = False

    def add(self, key: K) -> None:
        """Queue the key now; a later due time of it is forgotten."""
        with self._changed:
            self._due.pop(key, None)
            if key in self._working:
                self._again.add(key)
            else:
                self._ready[key] = None
                self._changed.notify()

    def add_after(self, key: K, delay: float) -> None:
        """Queue the key in `delay` seconds, unless it is queued for an earlier time."""
        with self._changed:
            at = self._clock() + delay
            if key in self._ready or key in self._again or self._due.get(key, at + 1) <= at:
                return
            self._due[key] = at
            self._count += 1
            heapq.heappush(self._timers, (at, self._count, key))
            self._changed.notify()

    def take(self) -> K | None:
        """Wait for a key and hand it out; None when the queue is closed."""
        with self._changed:
            while not self._closed:
                wait = self._release_due()
                if self._ready:
                    key = next(iter(self._ready))
                    del self._ready[key]
                    self._working.add(key)
                    return key
                self._changed.wait(wait)
            return None

    def seize(self, key: K, limit: float) -> bool:
        """Take a key out of turn, and forget that it is queued; False if it is worked on so long.

        Until it is given back by `done` nobody else works on it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: key not in self._working, limit):
                return False
            self._ready.pop(key, None)
            self._due.pop(key, None)
            self._working.add(key)
            return True

    def done(self, key: K) -> None:
        """Give a key back after work."""
        with self._changed:
            self._working.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._ready[key] = None
            # Also who wants to seize it.
            self._changed.notify_all()

    def close(self) -> None:
        """Let every `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return how many keys are ready or worked on."""
        with self._changed:
            return len(self._ready) + len(self._working)

    def _release_due(self) -> float | None:
        """Move due keys to ready; return the seconds until the next one is due."""
        now = self._clock()
        while self._timers:
            at, _, key = self._timers[0]
            if self._due.get(key) != at:  # superseded
                heapq.heappop(self._timers)
                continue
            if at > now:
                return at - now
            heapq.heappop(self._timers)
            del self._due[key]
            if key in self._working:
                self._again.add(key)
            else:
                self._ready[key] = None
        return None
