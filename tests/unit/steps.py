"""How much work something is, on any machine."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType


def calls_of(work: Callable[[], object], name: str = "") -> int:
    """Return how many calls the work makes, those of C functions included.

    Or how many of Python's functions with a name. What the collector of cycles calls isn't the
    work's: it tells weak references of what other tests have left.
    """
    count = 0

    def counted(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        if name:
            count += event == "call" and frame.f_code.co_name == name
        else:
            count += event in {"call", "c_call"}

    gc.disable()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count
