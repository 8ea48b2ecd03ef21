"""Runs rows on a stage and counts."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bench.losses.rows import Row
from bench.losses.sites import EAST, FAR_EAST, FAR_WEST, SOUTH, WEST
from bench.losses.stage import Never, Stage
from bench.losses.traffic import Stream
from bench.losses.wires import WIRE
from swanherd.core.model import IkeVersion

BEFORE, AFTER = 20, 50  # packets of each stream before a change and after it has settled

STREAMS: Sequence[Stream] = (
    Stream("own", WEST.workload, "10.1.0.5", EAST.workload, "10.2.0.5"),
    Stream("own 2", WEST.workload, "10.1.0.5", EAST.workload, "10.3.0.5"),
    Stream("beside", WEST.workload, "10.4.0.5", SOUTH.workload, "10.5.0.5"),
    Stream("other", FAR_WEST.workload, "10.6.0.5", FAR_EAST.workload, "10.7.0.5"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What one row cost. `lost` and `clear` are seconds since the row's begin."""

    row: Row
    version: IkeVersion
    sent: int
    lost: Mapping[str, Sequence[float]]
    clear: Sequence[float]
    wrong: str = ""  # what didn't happen as it should

    @property
    def concerned(self) -> int | None:
        """The most that a stream which the change is about has lost; None: it was ended."""
        if self.row.blocks:
            return None
        return max(len(self.lost[name]) for name in self.row.concerned)

    @property
    def others(self) -> int:
        """What all other streams together have lost."""
        return sum(len(at) for name, at in self.lost.items() if name not in self.row.concerned)

    def holds(self, allowed: Mapping[IkeVersion, int] | None = None) -> bool:
        """Tell whether the promise is kept; `allowed` overrides a row's own figure if not 0."""
        limit = self.row.allowed[self.version]
        if limit and allowed is not None:
            limit = allowed[self.version]
        mine = self.concerned is None or self.concerned <= limit
        closed = not self.clear or self.row.frees
        return mine and not self.others and closed and not self.wrong

    def plain(self, plane: str, allowed: Mapping[IkeVersion, int]) -> dict[str, Any]:
        """Return it for a file; `allowed` as in `holds`."""
        return {
            "row": self.row.name,
            "ike": str(self.version),
            "plane": plane,
            "sent": self.sent,
            "lost": {name: list(at) for name, at in self.lost.items()},
            "concerned": self.concerned,
            "others": self.others,
            "clear": len(self.clear),
            "holds": self.holds(allowed),
            "wrong": self.wrong,
        }


class Sender:
    """The traffic's process; a context manager."""

    def __init__(self, streams: Sequence[Stream] = STREAMS) -> None:
        argument = json.dumps([dataclasses.asdict(s) for s in streams])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.losses.traffic", WIRE, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)

    def ask(self, command: str) -> dict[str, Any]:
        """Return the answer to a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def measure(stage: Stage, sender: Sender, row: Row) -> Result:
    """Run one row under traffic."""
    stage.reset()
    sender.ask("begin")
    sender.ask(f"more {BEFORE}")
    wrong = ""
    try:
        row.act(stage)
        stage.settle()
    except Never as never:
        wrong = str(never)
    sender.ask(f"more {AFTER}")
    counted = sender.ask("end")
    version = stage.settings.version
    return Result(row, version, counted["sent"], counted["lost"], counted["clear"], wrong)


def measure_all(stage: Stage, rows: Iterable[Row]) -> Iterator[Result]:
    """Run rows one after another on one stage."""
    with Sender() as sender:
        for row in rows:
            yield measure(stage, sender, row)
