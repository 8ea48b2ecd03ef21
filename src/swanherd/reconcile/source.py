"""Desired state that outlives a server that doesn't answer for a while."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping, Sequence

from swanherd.core.failures import Failure
from swanherd.core.model import DesiredRouter, RouterId
from swanherd.reconcile.ports import Source

LOG = logging.getLogger(__name__)

# Seconds for which a server that didn't answer isn't asked again about what is known: unless it
# has sent a hint or told revisions, which is asked for periodically and holds up no router.
QUIET = 60.0
# What is known to be old is asked for again after pauses that grow with the time that it is: these
# are the shortest and the longest, in seconds.
SHORTEST, LONGEST = 1.0, 15.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Answer:
    desired: DesiredRouter
    asked: float
    hints: int  # how many hints had come when it was asked for


@dataclasses.dataclass(frozen=True, slots=True)
class _Overdue:
    """Since when a router's answer is known to be old, and when to ask for a newer one again."""

    since: float
    ask_at: float


class CachedSource:
    """Remembers what the server said until a hint, a differing revision or age makes it old.

    So an event of charon is handled without asking the server. What is old still serves while
    the server doesn't answer: the node is then kept as it was last wanted.
    A newer answer that couldn't be had is asked for again by `catch_up`, so that no turn waits for
    it. `max_age` in seconds, `clock` in monotonic seconds.
    """

    def __init__(self, source: Source, clock: Callable[[], float], max_age: float) -> None:
        self._source = source
        self._clock = clock
        self._max_age = max_age
        self._lock = threading.Lock()
        self._answers: dict[RouterId, _Answer] = {}
        self._hints: dict[RouterId, int] = {}
        self._late: dict[RouterId, _Overdue] = {}
        self._quiet_until = float("-inf")

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be; Failure only if that was never told."""
        asked = self._clock()
        with self._lock:
            known = self._answers.get(router_id)
            hints = self._hints.get(router_id, 0)
            if known is not None and not self._is_due(router_id, known, hints, asked):
                return known.desired
        return self._ask(router_id, known, hints, asked)

    def catch_up(self) -> Sequence[RouterId]:
        """Ask again, where it is time, for what is known to be old; return whose answer has come.

        The server that misses one answer is given a rest until the next call.
        """
        now = self._clock()
        with self._lock:
            due = sorted((late.ask_at, i) for i, late in self._late.items() if late.ask_at <= now)
        come = []
        for _, router_id in due:
            with self._lock:
                known, hints = self._answers.get(router_id), self._hints.get(router_id, 0)
            if known is not None:
                self._ask(router_id, known, hints, self._clock())
            with self._lock:
                if router_id in self._late:
                    break
            come.append(router_id)
        return come

    def _ask(
        self, router_id: RouterId, known: _Answer | None, hints: int, asked: float
    ) -> DesiredRouter | None:
        try:
            desired = self._source.get_router(router_id)
        except Failure as failure:
            with self._lock:
                self._quiet_until = self._clock() + QUIET
            if known is None:
                raise
            if known.hints != hints:
                self._put_off(router_id, asked)
            LOG.warning("Router %s: going on with what was wanted before: %s", router_id, failure)
            return known.desired
        with self._lock:
            self._late.pop(router_id, None)
            if desired is None:
                self._answers.pop(router_id, None)
                self._hints.pop(router_id, None)
            else:
                # A hint that came meanwhile makes this answer old from the start.
                self._answers[router_id] = _Answer(desired, asked, hints)
        return desired

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Ask the server; what differs from its answer is asked for at the next look."""
        revisions = self._source.get_revisions()
        with self._lock:
            self._quiet_until = float("-inf")
            # Of those that another host has nobody tells any more, not even when they are gone.
            elsewhere = [i for i, a in self._answers.items() if not a.desired.services]
            for router_id in set(elsewhere) - revisions.keys():
                for known in (self._answers, self._hints, self._late):
                    known.pop(router_id, None)
            different = [
                router_id
                for router_id, answer in self._answers.items()
                if revisions.get(router_id) != answer.desired.revision
            ]
        for router_id in different:
            self.forget(router_id)
        return revisions

    def recall(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the server said last, without asking it; None if it never said."""
        with self._lock:
            known = self._answers.get(router_id)
        return None if known is None else known.desired

    def is_current(self, router_id: RouterId) -> bool:
        """Tell whether `get_router` would answer without asking the server."""
        with self._lock:
            known = self._answers.get(router_id)
            hints = self._hints.get(router_id, 0)
            now = self._clock()
            return known is not None and not self._is_due(router_id, known, hints, now)

    def forget(self, router_id: RouterId) -> None:
        """Ask the server at the next look; it is there, since it has just spoken."""
        with self._lock:
            self._hints[router_id] = self._hints.get(router_id, 0) + 1
            self._quiet_until = float("-inf")
            self._late.pop(router_id, None)

    def _is_due(self, router_id: RouterId, answer: _Answer, hints: int, now: float) -> bool:
        """Tell whether to ask for a newer answer; with the lock held."""
        if answer.hints != hints:
            return router_id not in self._late
        return now - answer.asked >= self._max_age and now >= self._quiet_until

    def _put_off(self, router_id: RouterId, asked: float) -> None:
        """Ask for a newer answer later: the hint that told of it doesn't come again."""
        now = self._clock()
        with self._lock:
            late = self._late.get(router_id)
            since = asked if late is None else late.since
            pause = min(max((now - since) / 2, SHORTEST), LONGEST)
            self._late[router_id] = _Overdue(since, now + pause)
