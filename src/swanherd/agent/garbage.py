"""What the collector of cycles looks at: what is new, and now and then all that there is."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable

from swanherd.agent.life import Life

# Seconds between two looks at what is new since the one before, and of how many one is at all.
INTERVAL = 30.0
ALL = 120


def collecting(life: Life) -> None:
    """Look at what is new every `INTERVAL` seconds; for a process that is the agent's alone."""
    life.every(INTERVAL, collector(), "garbage")


def collector() -> Callable[[], None]:
    """Return what looks at what is new, and lets the interpreter's own collections pass it over.

    These come when so much is new: for the most part in the first changes after a start. With a
    thousand connections one of them took 0.1 s, since it looked at all that there is: that change
    cost three times what others cost (measured: docs/benchmarks.md). Nearly nothing that lives
    here long is in a cycle: it goes with its last user, passed over or not.
    """
    looks = itertools.count(1)

    def look() -> None:
        if next(looks) % ALL == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()

    return look
