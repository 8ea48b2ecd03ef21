"""A charon process as the kernel knows it: is it ours, does it live, end it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

BINARY = "charon-systemd"


class Processes(Protocol):
    """What of daemons only root may do; `dataplane.daemons` fits."""

    def namespace_of(self, pid: int) -> int | None:
        """Return the inode of the process' network namespace; None if that can't be seen."""
        ...

    def send(self, pid: int, started: int, number: int) -> None:
        """Send a signal to the process that began then; none if it has ended."""
        ...

    def configured(self) -> Sequence[tuple[int, Path]]:
        """Return every process with STRONGSWAN_CONF in its environment, and where that is."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process that can't be mistaken for a later one of the same id.

    `started` in clock ticks since boot.
    """

    pid: int
    started: int


def look_up(pid: int) -> Process | None:
    """Return the charon of that id, whoever's it is, or None if none such lives."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
    if _fields(stat)[0] in (b"Z", b"X"):
        return None
    if os.path.basename(command) != BINARY.encode():
        return None
    return Process(pid, _started(stat))


def memory(pid: int) -> int | None:
    """Return the resident memory of a process in bytes (proc(5), statm)."""
    try:
        resident = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
    return int(resident) * os.sysconf("SC_PAGE_SIZE")


def behind(path: Path) -> int | None:
    """Return who listens on a unix socket (SO_PEERCRED), or None if nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])


def end(process: Process, processes: Processes, patience: float) -> bool:
    """Send SIGTERM and, after `patience` seconds, SIGKILL; return whether it is gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        # Looked up again now that the handle can't come to mean another process.
        if look_up(process.pid) != process:
            return True
        for number in (signal.SIGTERM, signal.SIGKILL):
            _send(handle, process, processes, number)
            if has_ended(handle, patience):
                return True
        return False
    finally:
        os.close(handle)


def kill(pid: int, processes: Processes) -> None:
    """Kill a process that we have just started, if it still lives."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            _send(handle, Process(pid, _started(stat)), processes, signal.SIGKILL)
        finally:
            os.close(handle)


def owner(pid: int) -> int | None:
    """Return the user that a process acts as (proc(5), status); None if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(status.split("\nUid:")[1].split()[1])


def wait_ended(pid: int, started: object, patience: float) -> bool:
    """Wait until a process that is on its way out has ended; return whether it has.

    A killed process loses its command line first and its files last: until it has ended, the
    TUN device and the ports that it had aren't free.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return _started(stat) != started or has_ended(handle, patience)
    except (FileNotFoundError, ProcessLookupError):
        return True
    finally:
        os.close(handle)


def _send(handle: int, process: Process, processes: Processes, number: int) -> None:
    """Send a signal to the process of a pidfd, by whoever may."""
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    except PermissionError:
        processes.send(process.pid, process.started, number)


def _fields(stat: bytes) -> list[bytes]:
    # The command's name in brackets may itself contain anything (proc(5)).
    return stat.rpartition(b")")[2].split()


def _started(stat: bytes) -> int:
    return int(_fields(stat)[19])


def has_ended(handle: int, patience: float) -> bool:
    """Wait at most `patience` seconds for the process of a pidfd to end."""
    return bool(readable((handle,), patience))


def readable(descriptors: Iterable[int], seconds: float) -> frozenset[int]:
    """Wait until something can be read, or a process of a pidfd has ended; return where.

    The selector is looked up each time: eventlet, where threads are its own (L3 agents of
    Neutron 24 and 26), puts one there that lets the others work.
    """
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        return frozenset(key.fd for key, _ in selector.select(seconds))
