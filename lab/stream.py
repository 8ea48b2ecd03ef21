"""A stream of packets through a tunnel, and what became of each."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import signal
import subprocess
import time

from lab.boxes import end
from lab.layout import LabError
from lab.processes import wait_for
from lab.sites import Workload

# fping(8) waits between two pings; `ping` looks at the clock all the time when it is to send so
# many and an answer takes a while, and takes half a processor from what is measured.
_COMMAND = "exec fping -l -D -p 10 -t 3000 {address} >{file} 2>&1"
_ANSWER = re.compile(r"^\[(\d+\.\d+)\] .* : \[(\d+)\], \d+ bytes, ", re.MULTILINE)
_SENT = re.compile(r"^.* : xmt/rcv/%loss = (\d+)/", re.MULTILINE)
# Seconds: to what was sent so shortly before the end an answer may still come.
_PATIENCE = 3.0
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What a stream saw: packets sent and unanswered, and the longest time without an answer."""

    sent: int
    lost: int
    outage: float  # seconds


@dataclasses.dataclass(slots=True)
class Stream:
    """100 pings a second from a workload to an address."""

    process: subprocess.Popen[str]
    file: pathlib.Path

    @classmethod
    def start(cls, workload: Workload, address: str) -> Stream:
        """Start it; returns when the first answer has come."""
        name = f"{workload.name}-{next(_numbers)}.ping"
        file = workload.box.lab.directory("streams") / name
        file.touch()
        command = _COMMAND.format(address=address, file=file)
        stream = cls(workload.box.popen(["sh", "-c", command], netns=workload.name), file)
        try:
            wait_for(lambda: _ANSWER.search(file.read_text()), 10, f"answers of {address}")
        except LabError:
            stream.stop()
            raise
        return stream

    def run_for(self, seconds: float) -> None:
        """Let it run."""
        until = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until, seconds + 5, "time", every=0.05)

    def wait_for_answers(self, since: float, limit: float = 60) -> None:
        """Wait until a second of answers has come after `since` (time.time()) without a pause."""

        def steady() -> bool:
            times = [t for t, _ in self._answers() if t > since]
            return len(times) > 50 and times[-1] - times[-51] < 1.5

        wait_for(steady, limit, "answers again", every=0.1)

    def first_answer(self, since: float) -> float:
        """Return when the first answer came after that time (time.time())."""
        return next(t for t, _ in self._answers() if t > since)

    def stop(self) -> Outcome:
        """End it, and return what became of it."""
        ended = time.time()
        end(self.process, signal.SIGINT)
        self.process.communicate(timeout=10)
        return outcome(self.file.read_text(), ended)

    def _answers(self) -> list[tuple[float, int]]:
        return answers(self.file.read_text())


def outcome(text: str, ended: float) -> Outcome:
    """Return what a stream saw that was ended at that time (time.time()).

    What was sent after the last answer is lost only if none came any more.
    """
    found = answers(text)
    times, seen = [at for at, _ in found], {number for _, number in found}
    sent, told = max(seen, default=-1) + 1, _SENT.search(text)
    if not times or ended - times[-1] > _PATIENCE:
        times.append(ended)
        sent = max(sent, int(told[1]) if told else 0)
    outage = max((b - a for a, b in itertools.pairwise(times)), default=0.0)
    return Outcome(sent, sent - len(seen), outage)


def answers(text: str) -> list[tuple[float, int]]:
    """Return when each answer came that fping printed, and its number; the first one is 0."""
    return [(float(at), int(number)) for at, number in _ANSWER.findall(text)]
