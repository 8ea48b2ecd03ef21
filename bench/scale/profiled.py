"""The agent with a profiler of CPU time in each thread; figures go to the file PROFILE."""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import threading
import time
from collections import defaultdict
from typing import Any

from swanherd.cmd import ovn_agent


def main() -> int:
    """Run the agent; write the figures when it ends: by the threads' names, then of all."""
    profiles: list[cProfile.Profile] = []
    spent: defaultdict[str, float] = defaultdict(float)
    run: Any = threading.Thread.run

    def profiled(thread: threading.Thread) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append(profile)
        try:
            profile.runcall(run, thread)
        finally:
            spent[thread.name] += time.thread_time()

    setattr(threading.Thread, "run", profiled)  # noqa: B010
    status = ovn_agent.main()
    with open(os.environ["PROFILE"], "w") as file:
        for name, seconds in sorted(spent.items(), key=lambda item: -item[1]):
            print(f"{seconds:8.3f} s {name}", file=file)
        figures = pstats.Stats(*profiles, stream=file)
        figures.sort_stats("cumulative").print_stats(110)
        figures.sort_stats("tottime").print_stats(60)
    return status


if __name__ == "__main__":
    sys.exit(main())
