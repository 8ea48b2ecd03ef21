"""For how long an answer of the server is waited for."""

from __future__ import annotations

FIRST = 3.0  # seconds


class Patience:
    """Short at first and longer after each answer that didn't come, up to `longest` (seconds).

    A bus that has just come back loses what is asked before the server listens again: that is
    asked anew soon. A server that is only slow is given the time that it needs.
    """

    def __init__(self, longest: float, first: float = FIRST) -> None:
        self._longest = longest
        self._first = first
        self._missed = 0
        self._took = 0.0

    @property
    def seconds(self) -> float:
        """For how long to wait for the next answer."""
        least = max(self._first, 2 * self._took)
        return float(min(self._longest, least * 2 ** min(self._missed, 16)))

    def answered(self, took: float) -> None:
        """Note that an answer has come, after so many seconds.

        With those in which the bus was away and nothing could be asked it may be more than was
        allowed: that tells nothing of the server.
        """
        if took <= self.seconds:
            self._took = took
        self._missed = 0

    def missed(self) -> None:
        """Note that none has."""
        self._missed += 1
