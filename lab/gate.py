"""`make test`: stages side by side where they don't disturb each other, and what each one took.

Every stage is a target of the Makefile. Those of a lane run one after another; the lanes of a
phase run beside each other. What a stage prints is shown when it ends, whole, and is in
build/gate/ meanwhile; at the end stands a line for each: its name, its seconds, what came of it.

Stages beside each other take each other's time. So what failed runs once more when all others have
ended, by itself: what fails then too isn't the load's doing. Both are printed.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from lab.layout import ROOT

Lane = tuple[str, ...]
Phase = tuple[Lane, ...]

# A kernel in user mode needs one processor for itself; what runs beside it, on the other one, is
# nice and waits for a database. Then the lane of live charons, which mostly wait for a protocol's
# time, and two that need most of a core each.
PHASES: tuple[Phase, ...] = (
    (("check",),),
    (("test-kernel",), ("functional-server",)),
    (
        ("functional-daemons", "oracles"),
        ("scenario-ovs", "scenario-ha", "scenario-failover", "test-dashboard-short"),
        ("scenario",),
    ),
)
LOGS = ROOT / "build" / "gate"
FAILED = ROOT / "build" / "failed"  # the Makefile's: which tests fell, for the second try

_SUMMARY = re.compile(
    r"^=* ?(\d+ (?:passed|failed|error|skipped|deselected)\b.*) in [\d.]+s", re.M
)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What came of a stage: `code` is make's, `output` what it printed."""

    name: str
    seconds: float
    code: int
    output: str

    @property
    def line(self) -> str:
        """Return the line of the summary; a second run of what failed shows in it."""
        tests = ", then ".join(_SUMMARY.findall(self.output))
        verdict = "ok" if self.code == 0 else "FAILED"
        return f"{self.name:<22}{self.seconds:>7.0f} s  {verdict:<8}{tests}".rstrip()


Stage = Callable[[str], Result]


def run(
    phases: Iterable[Phase], stage: Stage, again: Stage, *, side_by_side: bool = True
) -> tuple[Result, ...]:
    """Run all stages, and `again` what failed; return what came of each.

    If a phase of one stage fails, nothing more is run.
    """
    results: list[Result] = []
    for phase in phases:
        lanes = phase if side_by_side else (tuple(name for lane in phase for name in lane),)
        with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
            done = list(pool.map(lambda lane: [stage(name) for name in lane], lanes))
        results += [result for lane in done for result in lane]
        if len(results) == 1 and results[0].code:
            return tuple(results)
    return tuple(_second(first, again) if first.code else first for first in results)


def _second(first: Result, again: Stage) -> Result:
    """Run it again, and return what came of it, with what both printed."""
    second = again(first.name)
    output = first.output + second.output
    return Result(first.name, first.seconds + second.seconds, second.code, output)


def progress(log: pathlib.Path) -> str:
    """Return how far the tests are that print into a file: `, 72 tests [ 13%]`, or nothing."""
    lines = re.findall(r"^([.sFEx]+)(?: +(\[ *\d+%\]))?$", log.read_text(errors="replace"), re.M)
    if not lines:
        return ""
    share = next((f" {share}" for _, share in reversed(lines) if share), "")
    return f", {sum(len(dots) for dots, _ in lines)} tests{share}"


class Make:
    """Runs a stage by make, into a file of its own; `suffix` tells the tries apart."""

    def __init__(
        self,
        logs: pathlib.Path,
        command: Sequence[str],
        now: Callable[[], float],
        interval: float = 60,
        suffix: str = "",
    ):
        self._logs = logs
        self._interval = interval
        self._command = command
        self._now = now
        self._suffix = suffix
        self._printing = threading.Lock()

    def __call__(self, name: str) -> Result:
        """Run it to its end, and show what it printed."""
        path, began = self._logs / f"{name}{self._suffix}.log", self._now()
        with self._printing:
            print(f"{name}: begins", flush=True)
        with path.open("w") as log:
            process = subprocess.Popen(
                (*self._command, name),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            while (code := self._ended(process)) is None:
                with self._printing:
                    print(f"{name}: {self._now() - began:.0f} s{progress(path)}", flush=True)
        result = Result(name, self._now() - began, code, path.read_text(errors="replace"))
        with self._printing:
            print(f"──── {name} ────\n{result.output}", flush=True)
        return result

    def _ended(self, process: subprocess.Popen[bytes]) -> int | None:
        """Wait for a process, and return its code; None if it still runs after a while."""
        try:
            return process.wait(self._interval)
        except subprocess.TimeoutExpired:
            return None


def main(environment: Mapping[str, str]) -> int:
    """Run the gate; LANES=1 runs one stage after another."""
    LOGS.mkdir(parents=True, exist_ok=True)
    # A stage that never came to its tests must not run again what fell in another run, and pass.
    shutil.rmtree(FAILED, ignore_errors=True)
    make = ("make", "--no-print-directory")
    first = Make(LOGS, (*make, "TRY=1"), time.monotonic)
    second = Make(LOGS, (*make, "TRY=2"), time.monotonic, suffix="-again")
    began = time.monotonic()
    results = run(PHASES, first, second, side_by_side=environment.get("LANES") != "1")
    print("──── what each stage took ────")
    for result in results:
        print(result.line)
    print(f"{'all':<22}{time.monotonic() - began:>7.0f} s", flush=True)
    return int(any(result.code for result in results))


if __name__ == "__main__":
    sys.exit(main(os.environ))
