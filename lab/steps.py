"""Work in parallel, in the order that its parts need, with a line of progress for each."""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence

from lab.layout import LabError


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A part of the work and the names of those before it; work may return a note."""

    name: str
    work: Callable[[], object]
    after: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """When a step began and ended, in seconds since the start of all."""

    begin: float
    end: float


def run(steps: Sequence[Step]) -> dict[str, Timing]:
    """Do all steps, each as soon as those before it are done; the first failure ends it all."""
    start = time.monotonic()
    waiting = list(steps)
    timings: dict[str, Timing] = {}
    done: queue.Queue[tuple[Step, float, object]] = queue.Queue()

    def work(step: Step, begin: float) -> None:
        try:
            note = step.work()
        except BaseException as problem:  # noqa: BLE001 - raised again below
            note = problem
        done.put((step, begin, note))

    running = 0
    while waiting or running:
        ready = [s for s in waiting if all(name in timings for name in s.after)]
        for step in ready:
            waiting.remove(step)
            running += 1
            begin = time.monotonic() - start
            threading.Thread(target=work, args=(step, begin), daemon=True).start()
        if not running:
            raise LabError(f"steps wait for each other: {[s.name for s in waiting]}")
        step, begin, note = done.get()
        running -= 1
        if isinstance(note, BaseException):
            raise note
        timings[step.name] = Timing(begin, time.monotonic() - start)
        say(start, step.name, timings[step.name], note)
    return timings


def say(start: float, name: str, timing: Timing, note: object = None) -> None:
    """Print a line of progress: the time since the start, what is done, how long it took."""
    took = timing.end - timing.begin
    comment = f" — {note}" if isinstance(note, str) else ""
    print(f"[{time.monotonic() - start:5.1f} s] {name} ({took:.1f} s){comment}", flush=True)
    sys.stdout.flush()
