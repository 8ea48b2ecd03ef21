"""When to try again after a failure."""

from __future__ import annotations

FIRST = 0.5
LAST = 30.0


def delay(attempt: int, jitter: float) -> float:
    """Return the seconds to wait after the attempt-th failure (from 1); jitter in [0, 1)."""
    return float(min(FIRST * 2 ** min(attempt - 1, 16), LAST) * (1 + jitter / 4))
