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

    @property
    def seconds(self) -> float:
        """For how long to wait for the next answer."""
        return float(min(self._longest, self._first * 2 ** min(self._missed, 16)))

    def answered(self) -> None:
        """Note that an answer has come."""
        self._missed = 0

    def missed(self) -> None:
        """Note that none has."""
        self._missed += 1
