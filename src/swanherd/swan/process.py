"""A charon process as the kernel knows it: is it ours, does it live, end it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import selectors
import signal
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

BINARY = "charon-systemd"


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process that can't be mistaken for a later one of the same id.

    `started` in clock ticks since boot; `namespace` is the inode of its network namespace.
    """

    pid: int
    started: int
    namespace: int


def look_up(pid: int) -> Process | None:
    """Return the charon of that id, or None if none such lives."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0", 1)[0]
        namespace = os.stat(f"/proc/{pid}/ns/net").st_ino
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name in brackets may itself contain anything (proc(5)).
    fields = stat.rpartition(b")")[2].split()
    if fields[0] in (b"Z", b"X"):
        return None
    if os.path.basename(command) != BINARY.encode():
        return None
    return Process(pid, int(fields[19]), namespace)


def memory(pid: int) -> int | None:
    """Return the resident memory of a process in bytes (proc(5), statm)."""
    try:
        resident = Path(f"/proc/{pid}/statm").read_bytes().split()[1]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
    return int(resident) * os.sysconf("SC_PAGE_SIZE")


def configured() -> Iterator[tuple[Process, Path]]:
    """Yield every charon that was told by its environment where its configuration is."""
    for entry in Path("/proc").iterdir():
        try:
            found = look_up(int(entry.name)) if entry.name.isdigit() else None
        except PermissionError:
            continue  # another's
        if found is None:
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or isn't ours to look at
        for variable in environment:
            name, _, value = variable.partition(b"=")
            if name == b"STRONGSWAN_CONF":
                yield found, Path(os.fsdecode(value))


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


def end(process: Process, patience: float) -> bool:
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
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if has_ended(handle, patience):
                return True
        return False
    finally:
        os.close(handle)


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
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19]) != started or has_ended(handle, patience)
    except (FileNotFoundError, ProcessLookupError):
        return True
    finally:
        os.close(handle)


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
