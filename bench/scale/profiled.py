"""The agent with a profiler of CPU time in each thread; figures go to the file PROFILE.

What was before a file PROFILE.begin came isn't counted.
"""

from __future__ import annotations

import cProfile
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from swanherd.cmd import ovn_agent

T = TypeVar("T")
Key = tuple[str, str]  # a thread's name and where a function is
Figures = defaultdict[Key, float]


class Profiles:
    """The profiles of all threads."""

    def __init__(self) -> None:
        self._all: list[tuple[str, cProfile.Profile]] = []

    def run(self, thread: threading.Thread, run: Any) -> None:
        """Run a thread under a profiler of its own."""
        profile = cProfile.Profile(time.thread_time)
        self._all.append((thread.name, profile))
        profile.runcall(run, thread)

    def taken(self) -> tuple[Figures, Figures, Figures]:
        """Return the seconds within each function, those with what it calls, and the calls."""
        within, with_called, calls = Figures(float), Figures(float), Figures(float)
        for name, profile in list(self._all):
            for entry in profile.getstats():
                key = name, where(entry.code)
                within[key] += entry.inlinetime
                with_called[key] += entry.totaltime
                calls[key] += entry.callcount
        return within, with_called, calls


def where(code: Any) -> str:
    """Return the place of a function in a few words."""
    if isinstance(code, str):
        return code
    path = "/".join(Path(code.co_filename).parts[-3:])
    return f"{path}:{code.co_firstlineno} {code.co_name}"


def main() -> int:
    """Run the agent; write the figures when it ends: threads, then functions."""
    profiles, file = Profiles(), Path(os.environ["PROFILE"])
    before = [profiles.taken()]
    run: Any = threading.Thread.run
    setattr(threading.Thread, "run", lambda thread: profiles.run(thread, run))  # noqa: B010

    def begin() -> None:
        while not file.with_suffix(".begin").exists():
            time.sleep(0.1)  # for as long as the agent may be without work
        before[0] = profiles.taken()

    threading.Timer(0, begin).start()
    status = ovn_agent.main()
    pairs = zip(profiles.taken(), before[0], strict=True)
    after = [{key: now[key] - then[key] for key in now} for now, then in pairs]
    file.write_text("\n".join(lines(*after)) + "\n")
    return status


def lines(
    within: Mapping[Key, float], with_called: Mapping[Key, float], calls: Mapping[Key, float]
) -> list[str]:
    """Return the threads by their CPU, and the functions by both sorts of time."""
    threads: defaultdict[str, float] = defaultdict(float)
    for (thread, _), seconds in within.items():
        threads[thread] += seconds
    found = [f"{seconds:8.3f} s {name}" for name, seconds in most(threads, 30)]
    for title, figures, count in (("with called", with_called, 110), ("within", within, 50)):
        found.append(f"\n{title}: seconds, calls, thread, function")
        found += [
            f"{seconds:8.3f} {calls[key]:8.0f} {key[0]:14} {key[1]}"
            for key, seconds in most(figures, count)
        ]
    return found


def most(figures: Mapping[T, float], count: int) -> list[tuple[T, float]]:
    """Return the largest ones first."""
    return sorted(figures.items(), key=lambda item: -item[1])[:count]


if __name__ == "__main__":
    sys.exit(main())
