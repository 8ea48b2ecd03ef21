"""Processes of this machine as /proc shows them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from lab.layout import LabError

PROC = pathlib.Path("/proc")
T = TypeVar("T")

_spawned: set[int] = set()


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process that can't be mistaken for a later one of the same id (start in clock ticks)."""

    pid: int
    start: int
    parent: int
    session: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the process of that id, or None if there is none or it is a zombie."""
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, parent, session, start = fields[0], fields[1], fields[3], fields[19]
        return None if state in "ZX" else cls(pid, int(start), int(parent), int(session))

    @property
    def inner(self) -> int:
        """Its id in the box that it runs in."""
        status = (PROC / str(self.pid) / "status").read_text()
        return int(status.partition("\nNSpid:")[2].partition("\n")[0].split()[-1])

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        now = Process.of(self.pid)
        return now is not None and now.start == self.start

    @property
    def argv(self) -> list[str]:
        """Its arguments; empty if it's gone."""
        try:
            raw = (PROC / str(self.pid) / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return []
        return raw.decode(errors="replace").rstrip("\0").split("\0")

    def send(self, sig: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.alive:
            try:
                os.kill(self.pid, sig)
            except ProcessLookupError:
                return

    def children(self) -> list[Process]:
        """Return the processes that it started."""
        return [p for p in processes() if p.parent == self.pid]

    def workers(self) -> list[Process]:
        """Return those of its children that run the same program: it forked them for its work."""
        own = self.program
        return [child for child in self.children() if own and child.program == own]

    @property
    def program(self) -> str:
        """The file that it runs; empty if it's gone, or none of ours to look at."""
        try:
            return str((PROC / str(self.pid) / "exe").readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return ""


def processes() -> Iterator[Process]:
    """Yield every process of the machine."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (process := Process.of(int(entry.name))):
            yield process


def beside(pid: int, name: str) -> list[int]:
    """Return the ids of the processes of that program which are in the same box as `pid`.

    Any of them may end while it is looked at.
    """
    space = os.readlink(PROC / str(pid) / "ns/mnt")
    found = []
    for process in processes():
        if process.program.endswith(f"/{name}"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if os.readlink(PROC / str(process.pid) / "ns/mnt") == space:
                    found.append(process.pid)
    return found


def wait_gone(gone: Iterable[Process], limit: float) -> bool:
    """Wait until all of them have ended; False if some haven't within the limit (seconds)."""
    deadline = time.monotonic() + limit
    for process in gone:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if process.alive:
                select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)
        if process.alive:
            return False
    return True


def kill(victims: Iterable[Process], limit: float = 10) -> None:
    """End processes at once and wait until they are gone."""
    listed = list(victims)
    for process in listed:
        process.send(signal.SIGKILL)
    if not wait_gone(listed, limit):
        raise LabError(f"processes {[p.pid for p in listed if p.alive]} don't die")


def spawn(argv: Sequence[str], environment: Mapping[str, str], log: pathlib.Path) -> Process:
    """Start a program in a session of its own, its output appended to the log file.

    It outlives us; nobody has to wait for it.
    """
    pid = os.posix_spawnp(
        argv[0],
        list(argv),
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT],
    )
    _spawned.add(pid)
    return Process.of(pid) or Process(pid, -1, os.getpid(), pid)


def reap() -> None:
    """Collect those of our own dead children that nobody else waits for."""
    for pid in list(_spawned):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                _spawned.discard(pid)
        except ChildProcessError:
            _spawned.discard(pid)


def wait_for(condition: Callable[[], T | None], limit: float, what: str, every: float = 0.1) -> T:
    """Ask until the answer is true and return it; LabError after the limit (seconds)."""
    deadline = time.monotonic() + limit
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {limit:.0f} s")
        time.sleep(every)
