"""The wheel: workers that turn for queued routers, the periodic comparison, the reports."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from swanherd.core.failures import Failure
from swanherd.core.model import Reason, RouterId, RouterReport
from swanherd.core.news import is_news, news_of
from swanherd.core.tunnels import Timing
from swanherd.core.turns import Turns
from swanherd.reconcile import backoff
from swanherd.reconcile.loop import (
    Look,
    NetworkSeen,
    Outcome,
    World,
    reconcile,
    stale_routers,
)
from swanherd.reconcile.ports import Reporter
from swanherd.reconcile.queue import KeyedQueue

# A router to tell the server of, and whether of all of it.
_Telling = tuple[RouterId, bool]

LOG = logging.getLogger(__name__)

# Seconds for which a network that was right isn't looked at again if only charon tells something,
# or if only what is wanted is new: more than the pause between two looks for drift, which see all.
RECENT = 30.0


class Wheel:
    """Turns for every router that is queued; one worker a router at a time.

    `timing` gives the patience, `clock` the time (monotonic seconds), `jitter` a number in [0, 1).
    """

    def __init__(
        self,
        world: World,
        reporter: Reporter,
        timing: Timing,
        clock: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._world = world
        self._reporter = reporter
        self._timing = timing
        self._clock = clock
        self._jitter = jitter
        self._queue: KeyedQueue[RouterId] = KeyedQueue(clock)
        self._lock = threading.Lock()
        # How often it failed in a row, and when the next turn for that is due.
        self._attempts: dict[RouterId, tuple[int, float]] = {}
        self._failures: dict[RouterId, Reason] = {}
        self._applied: dict[RouterId, Look] = {}
        self._afresh: set[RouterId] = set()
        self._ignored: set[RouterId] = set()
        self._untold: queue.SimpleQueue[_Telling | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.turns = Turns(ended=clock())

    def start(self, workers: int) -> None:
        """Start the workers, and the one thread that sends reports."""
        works = [(f"wheel-{number}", self._work) for number in range(workers)]
        for name, work in (*works, ("reports", self._send_reports)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the workers after their turns; reports that wait for the bus are dropped."""
        self._queue.close()
        self._untold.put(None)
        for thread in self._threads:
            thread.join(timeout=5 if thread.name == "reports" else 30)

    def look_again(self, router_id: RouterId) -> None:
        """Queue a router of which anything may have changed."""
        with self._lock:
            self._afresh.add(router_id)
        self._queue.add(router_id)

    def look(self, router_id: RouterId) -> None:
        """Queue a router of which charon or the server tells: its network is as it was."""
        self._queue.add(router_id)

    @contextlib.contextmanager
    def alone(self, router_id: RouterId, limit: float) -> Iterator[None]:
        """Keep every turn for the router away while in the block; one that takes so long isn't."""
        held = self._queue.seize(router_id, limit)
        try:
            yield
        finally:
            if held:
                self._queue.done(router_id)

    def ignore(self, router_id: RouterId) -> None:
        """Begin no turn for the router, whoever asks for one, until it is to be heeded again."""
        with self._lock:
            self._ignored.add(router_id)

    def heed(self, router_id: RouterId) -> None:
        """Turn for the router again, as soon as anyone asks for it."""
        with self._lock:
            self._ignored.discard(router_id)

    def look_at_known(self) -> None:
        """Queue every router of which something is here; finds drift, needs no server."""
        with self._lock:
            known = set(self._applied)
        for router_id in known | stale_routers(self._world, {}):
            self.look_again(router_id)

    def compare(self, revisions: Mapping[RouterId, int]) -> None:
        """Queue every router whose revision isn't applied and what is stale; tell all again."""
        with self._lock:
            for router_id in set(self._applied) - set(revisions):
                del self._applied[router_id]
            applied = {i: look.report.revision for i, look in self._applied.items()}
        for router_id, revision in revisions.items():
            if applied.get(router_id) != revision:
                self.look_again(router_id)
        for router_id in stale_routers(self._world, revisions):
            self.look_again(router_id)
        for router_id in applied:
            self._untold.put((router_id, True))

    def reports(self) -> tuple[RouterReport, ...]:
        """Return the last report of every router."""
        with self._lock:
            return tuple(look.report for look in self._applied.values())

    def looks(self) -> Mapping[RouterId, Look]:
        """Return what the last turn of every router found."""
        with self._lock:
            return dict(self._applied)

    def failures(self) -> Mapping[RouterId, Reason]:
        """Return why the last turn of a router failed, for those of which it did."""
        with self._lock:
            return dict(self._failures)

    def __len__(self) -> int:
        """Return how many routers wait for a turn or have one."""
        return len(self._queue)

    def _work(self) -> None:
        while (router_id := self._queue.take()) is not None:
            try:
                if router_id not in self._ignored:
                    self._settle(router_id, self.turn(router_id))
            except Exception:
                # The one broad except: a bug in one router's turn must not stop the others.
                LOG.exception("Router %s: the turn broke", router_id)
                self._retry(router_id)
            finally:
                self._queue.done(router_id)

    def turn(self, router_id: RouterId) -> Outcome:
        """Turn once for a router, in the calling thread."""
        timing = replace(self._timing, now=self._clock())
        with self._lock:
            self.turns = self.turns.began(router_id, timing.now)
            known = self._known(router_id, timing.now)
        failed = True
        try:
            outcome = reconcile(router_id, self._world, timing, known)
            failed = outcome.failed is not None
        except Failure as failure:
            LOG.warning("Router %s: %s", router_id, failure)
            outcome = Outcome(failed=failure.reason)
        finally:
            with self._lock:
                self.turns = self.turns.done(router_id, self._clock(), failed=failed)
        return outcome

    def _known(self, router_id: RouterId, now: float) -> NetworkSeen | None:
        """Return the router's network if it is as it was seen; with the lock held."""
        look = self._applied.get(router_id)
        if router_id in self._afresh:
            self._afresh.discard(router_id)
            return None
        if look is None or not look.report.ready or now - look.seen.at >= RECENT:
            return None
        return look.seen

    def _settle(self, router_id: RouterId, outcome: Outcome) -> None:
        if outcome.look is not None:
            with self._lock:
                self._applied[router_id] = outcome.look
            self._untold.put((router_id, False))
        if outcome.failed is not None:
            self._retry(router_id, outcome.failed)
            return
        with self._lock:
            self._attempts.pop(router_id, None)
            self._failures.pop(router_id, None)
        if outcome.look_again is not None:
            self._queue.add_after(router_id, outcome.look_again)

    def _send_reports(self) -> None:
        """Send the newest report of each router that has one to tell, several at once.

        By one thread alone: sending waits until the server has taken in what it was told, so no
        report overtakes another. What a comparison asks for is told whole, so that what was lost
        is told again.
        """
        told: dict[RouterId, Look] = {}
        owed: set[_Telling] = set()
        failures = 0
        while (tellings := self._tellings(failures)) is not None:
            owed |= tellings
            again = {router_id for router_id, whole in owed if whole}
            with self._lock:
                ids = sorted({router_id for router_id, _ in owed})
                looks = {i: self._applied[i] for i in ids if i in self._applied}
                kept = self._applied.keys() - again
            told = {i: look for i, look in told.items() if i in kept}
            news = [_news(look, told.get(i)) for i, look in looks.items()]
            reports = [report for report in news if report is not None]
            try:
                if reports:
                    self._reporter.report(reports)
            except Failure as failure:
                LOG.warning("%d report(s) not taken in: %s", len(reports), failure)
                told.clear()
                failures += 1
            else:
                told |= looks
                owed.clear()
                failures = 0

    def _tellings(self, failures: int) -> set[_Telling] | None:
        """Wait for what is to be told, after failures not for long; None when all is over."""
        pause = backoff.delay(failures, self._jitter()) if failures else None
        tellings: set[_Telling] = set()
        with contextlib.suppress(queue.Empty):
            while (more := self._untold.get(timeout=pause)) is not None:
                tellings.add(more)
                pause = 0
            return None
        return tellings

    def _retry(self, router_id: RouterId, reason: Reason | None = None) -> None:
        with self._lock:
            now = self._clock()
            attempt, due = self._attempts.get(router_id, (0, now))
            # A turn that something else asked for earlier is no attempt of ours: a few events in a
            # row would make the pause long.
            attempt += now >= due
            delay = backoff.delay(attempt, self._jitter())
            self._attempts[router_id] = attempt, now + delay
            self._afresh.add(router_id)
            if reason is not None:
                self._failures[router_id] = reason
        LOG.info("Router %s: again in %.1f s (%s)", router_id, delay, reason and reason.code)
        self._queue.add_after(router_id, delay)


def _news(look: Look, told: Look | None) -> RouterReport | None:
    """Return what to tell, None if nothing; after a new answer also of what the server awaits."""
    if told is None:
        return look.report
    if told.desired is not look.desired:
        return news_of(look.report, told.report, look.desired.unsettled)
    news = news_of(look.report, told.report, ())
    return news if is_news(news, told.report) else None
