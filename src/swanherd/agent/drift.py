"""What somebody takes away is noticed at once, not only at the next look for drift (ADR 28)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from swanherd.agent.life import Life
from swanherd.core.model import RouterId

# Seconds for which one call waits: so long a new router may go unwatched.
_WATCH = 1.0
# Seconds after which a router is looked at again at the soonest: one that somebody takes from all
# the time, or many removals in a row, shall not keep the agent busy.
_PAUSE = 0.2


class Drift:
    """Has routers looked at from whose namespace something is gone.

    `known` returns those of which something is here, `look` queues one; `wait` returns those from
    which something was removed, after so many seconds at most (dataplane.namespace).
    """

    def __init__(
        self,
        known: Callable[[], Collection[RouterId]],
        look: Callable[[RouterId], None],
        life: Life,
        wait: Callable[[Collection[RouterId], float], Collection[RouterId]],
    ) -> None:
        self._known = known
        self._look = look
        self._life = life
        self._wait = wait

    def start(self) -> None:
        """Begin, in a thread that ends with the agent's life."""
        self._life.every(_PAUSE, self.follow, "swanherd-removals")

    def follow(self) -> None:
        """Wait for a second, or until something is gone; queue the routers that it was of."""
        known = self._known()
        if not known:
            self._life.wait(_WATCH)
            return
        for router_id in self._wait(list(known), _WATCH):
            self._look(router_id)
