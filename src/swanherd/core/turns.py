"""How the wheel turns, in figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from swanherd.core.model import RouterId

# Seconds; a turn without actions takes milliseconds, one that waits for the server 15 s.
BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Turns:
    """The turns since the agent began.

    `buckets` counts those that took at most BOUNDS[i] seconds and longer than BOUNDS[i - 1], the
    last one all others; `seconds` is the sum. `running` tells since when those take that haven't
    ended (monotonic seconds), and `ended` when the last one ended, or the wheel began.
    """

    ended: float
    buckets: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    seconds: float = 0.0
    failed: int = 0
    running: Mapping[RouterId, float] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many have ended."""
        return sum(self.buckets)

    def began(self, router_id: RouterId, now: float) -> Turns:
        """Return the figures after a turn has begun."""
        return dataclasses.replace(self, running={**self.running, router_id: now})

    def done(self, router_id: RouterId, now: float, *, failed: bool) -> Turns:
        """Return the figures after it has ended."""
        took = max(0.0, now - self.running.get(router_id, now))
        place = sum(took > bound for bound in BOUNDS)
        return Turns(
            ended=now,
            buckets=tuple(n + (i == place) for i, n in enumerate(self.buckets)),
            seconds=self.seconds + took,
            failed=self.failed + failed,
            running={i: at for i, at in self.running.items() if i != router_id},
        )
