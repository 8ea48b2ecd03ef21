"""Figures: printed, and kept in build/bench.json beside those of other commands."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from lab.layout import ROOT

FILE = ROOT / "build" / "bench.json"


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One figure; `limit` is what the project promises."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    # The same of what does the same job on this machine, if that was measured beside it.
    peer: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the peer's figure it is."""
        return None if not self.peer else self.value / self.peer


def versions() -> dict[str, str]:
    """Return what the figures belong to."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("neutron", "swanherd", "vici")},
    }


def write(results: Sequence[Result]) -> int:
    """Print the figures, write the file, and tell whether all promises are kept.

    What an earlier command wrote under other names stays in the file.
    """
    print("\n" + ", ".join(f"{k} {v}" for k, v in versions().items()))
    kept: Callable[[Result], bool] = lambda r: r.limit is None or r.value <= r.limit  # noqa: E731
    for result in results:
        promise = "" if result.limit is None else f"≤ {result.limit:g}"
        mark = "    " if kept(result) else "FAIL"
        beside = "" if result.ratio is None else f"ratio {result.ratio:.2f}"
        print(f"{mark} {result.name:32} {result.value:8.2f} {result.unit:4} {promise:10} {beside}")
    FILE.parent.mkdir(exist_ok=True)
    new = {r.name for r in results}
    rows = [row for row in _earlier() if row["name"] not in new] + [_row(r) for r in results]
    FILE.write_text(json.dumps({"versions": versions(), "results": rows}, indent=2) + "\n")
    return 0 if all(map(kept, results)) else 1


def _earlier() -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads(FILE.read_text())["results"]
    except (OSError, ValueError, KeyError):
        return []
    return rows


def _row(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "value": round(result.value, 3),
        "unit": result.unit,
        "peer": None if result.peer is None else round(result.peer, 3),
        "ratio": None if result.ratio is None else round(result.ratio, 3),
    }
