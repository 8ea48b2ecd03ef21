"""What a pure function returned lately, within a bound of memory."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sized
from typing import TypeVar

R = TypeVar("R", bound=Sized)

# One result that has more of it than this part is worked out each time: it would push out all.
_SHARE = 8


def lately(most: int) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Let a function work once for equal arguments, while they and what it returned are kept.

    Of arguments and results together, which users decide how long they are, `most` items are
    kept: those that were asked for last.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        known: OrderedDict[tuple[Sized, ...], R] = OrderedDict()
        lock = threading.Lock()
        kept = 0

        @functools.wraps(function)
        def remembered(*arguments: Sized) -> R:
            nonlocal kept
            with lock:
                if arguments in known:
                    known.move_to_end(arguments)
                    return known[arguments]
            result = function(*arguments)
            size = _size(arguments, result)
            with lock:
                if size <= most // _SHARE and arguments not in known:
                    known[arguments] = result
                    kept += size
                while kept > most:
                    kept -= _size(*known.popitem(last=False))
            return result

        return remembered

    return decorate


def _size(arguments: tuple[Sized, ...], result: Sized) -> int:
    return 1 + len(result) + sum(map(len, arguments))
