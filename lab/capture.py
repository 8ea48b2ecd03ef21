"""What is seen on a wire: tcpdump in a box, read back with filters."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import signal
import subprocess
from types import TracebackType

from lab.boxes import Box, end
from lab.layout import INTERNET_BOX, CloudPlan, Lab, LabError

_numbers = itertools.count(1)


@dataclasses.dataclass(slots=True)
class Capture:
    """A running or ended capture; as a context manager it ends at the end of the block."""

    box: Box
    device: str
    file: pathlib.Path
    process: subprocess.Popen[str]

    @classmethod
    def on_wire(cls, lab: Lab, cloud: CloudPlan, filter: str = "") -> Capture:
        """Capture on the public wire of a cloud, as the internet sees it."""
        return cls.start(Box(lab, INTERNET_BOX), cloud.public_bridge, filter)

    @classmethod
    def start(cls, box: Box, device: str, filter: str = "", netns: str | None = None) -> Capture:
        """Capture on a device of a box; returns when tcpdump listens."""
        name = f"{box.name}-{netns or ''}{device}-{next(_numbers)}-{id(filter):x}.pcap"
        file = box.lab.directory("captures") / name
        argv = ["tcpdump", "-i", device, "-n", "-U", "--immediate-mode", "-Z", "root", "-w"]
        process = box.popen([*argv, str(file), *([filter] if filter else [])], netns=netns)
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "listening on" in line:
                return cls(box, device, file, process)
        end(process)
        raise LabError(f"{box.name}: tcpdump on {device} doesn't start: {said}")

    def stop(self) -> None:
        """End the capture; what was captured can still be read."""
        if self.process.poll() is None:
            end(self.process, signal.SIGINT)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def lines(self, filter: str = "") -> list[str]:
        """Return the packets seen so far that match a filter, a line of tcpdump each."""
        argv = ["tcpdump", "-n", "-r", str(self.file), *([filter] if filter else [])]
        # A running capture may end in half a packet; tcpdump shows what is whole.
        done = self.box.run(argv, check=self.process.poll() is not None)
        return done.stdout.splitlines()

    def seen(self, filter: str = "") -> list[tuple[float, str]]:
        """Return the packets seen so far that match a filter: when (time.time()), and its line."""
        argv = ["tcpdump", "-n", "-tt", "-r", str(self.file), *([filter] if filter else [])]
        done = self.box.run(argv, check=self.process.poll() is not None)
        return [(float(line.split()[0]), line) for line in done.stdout.splitlines()]

    def times(self, filter: str = "") -> list[float]:
        """Return when (time.time()) each packet was seen so far that matches a filter."""
        return [at for at, _ in self.seen(filter)]

    def count(self, filter: str = "") -> int:
        """Return how many packets seen so far match a filter."""
        return len(self.lines(filter))

    def __enter__(self) -> Capture:
        """Return the capture."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the capture."""
        self.stop()
