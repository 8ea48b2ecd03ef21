"""Desired state that outlives a server that doesn't answer for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from swanherd.core.model import DesiredRouter, RouterId
from swanherd.reconcile.ports import Source


class CachedSource:
    """Remembers what the server said until a hint, a differing revision or age makes it old.

    So an event of charon is handled without asking the server, also while the bus is away.
    `max_age` in seconds, `clock` in monotonic seconds.
    """

    def __init__(self, source: Source, clock: Callable[[], float], max_age: float) -> None:
        self._source = source
        self._clock = clock
        self._max_age = max_age
        self._lock = threading.Lock()
        self._known: dict[RouterId, tuple[float, DesiredRouter]] = {}

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be, from memory if that is still good."""
        with self._lock:
            known = self._known.get(router_id)
        if known is not None and self._clock() - known[0] < self._max_age:
            return known[1]
        asked = self._clock()
        desired = self._source.get_router(router_id)
        with self._lock:
            if desired is None:
                self._known.pop(router_id, None)
            else:
                self._known[router_id] = (asked, desired)
        return desired

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Ask the server; forget what differs from its answer."""
        revisions = self._source.get_revisions()
        with self._lock:
            for router_id, (_, desired) in list(self._known.items()):
                if revisions.get(router_id) != desired.revision:
                    del self._known[router_id]
        return revisions

    def forget(self, router_id: RouterId) -> None:
        """Ask the server at the next look."""
        with self._lock:
            self._known.pop(router_id, None)
