"""`python -m bench.scale.table FILE…`: runs of `bench.scale --out FILE` as one Markdown table."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What is promised, of a machine's own kernel, with 1,000 connections.
PROMISES: Mapping[str, str] = {
    "edit_cpu_ms": "≤ 50",
    "resync_s": "≤ 10",
    "restart_s": "≤ 10",
    "restart_lost": "0",
    "restart_rebuilt": "0",
    "scrape_s": "≤ 0.5",
}

Run = Mapping[str, Any]


def table(runs: Sequence[Run]) -> str:
    """Return the runs beside each other, and a line with the machine and the load of each."""
    names = dict.fromkeys(name for run in runs for name in run["figures"])
    lines = [["figure", *map(_title, runs), "promise"], ["---"] * (len(runs) + 2)]
    for name in names:
        cells = (_cell(run["figures"].get(name)) for run in runs)
        lines.append([f"`{name}`", *cells, PROMISES.get(name, "")])
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([*rows, "", *map(_about, runs)])


def _title(run: Run) -> str:
    routers = f" on {run['routers']} routers" if run["routers"] > 1 else ""
    return f"{run['connections']}{routers}, {run['plane']} ESP"


def _cell(value: Any) -> str:
    """Return a figure as far as it means something; "" if there is none."""
    if isinstance(value, float):
        return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"
    if isinstance(value, list):
        return f"{value[0]} to {value[-1]}"
    return "" if value is None else str(value)


def _about(run: Run) -> str:
    before, after = run["load"]  # in the kernel lab that of its kernel
    return f"- {_title(run)}: {run['machine']}, load {before:.1f} before and {after:.1f} after."


def main() -> int:
    """Print the table of the files that are named."""
    print(table([json.loads(Path(name).read_text()) for name in sys.argv[1:]]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
