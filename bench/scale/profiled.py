"""The agent with a profiler in each worker of its wheel; figures go to the file PROFILE."""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
from typing import Any

from swanherd.cmd import ovn_agent
from swanherd.reconcile.wheel import Wheel


def main() -> int:
    """Run the agent; write the figures when it ends."""
    profiles: list[cProfile.Profile] = []
    work: Any = Wheel._work  # noqa: SLF001

    def profiled(wheel: Wheel) -> None:
        profile = cProfile.Profile()
        profiles.append(profile)
        profile.runcall(work, wheel)

    setattr(Wheel, "_work", profiled)  # noqa: B010
    status = ovn_agent.main()
    with open(os.environ["PROFILE"], "w") as file:
        figures = pstats.Stats(*profiles, stream=file)
        figures.sort_stats("cumulative").print_stats(70)
        figures.sort_stats("tottime").print_stats(40)
    return status


if __name__ == "__main__":
    sys.exit(main())
