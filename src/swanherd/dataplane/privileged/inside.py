"""To be in a network namespace for a moment: a thread enters it, works and ends.

No process is forked, and the netlink sockets that the work opens belong to that namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

T = TypeVar("T")

# Where `ip netns` has them (ip-netns(8)).
DIRECTORY = pathlib.Path("/run/netns")
PROC = pathlib.Path("/proc")

CLONE_NEWNET = 0x40000000  # sched.h

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """Raise OSError if a C call of that name returned -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def in_thread(work: Callable[[], T]) -> T:
    """Do the work in a thread of its own and return what it returns, or raise what it raises.

    OSError (EAGAIN) if no thread can be had.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="netns")
    start(thread)
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def start(thread: threading.Thread) -> None:
    """Start a thread; OSError (EAGAIN) if none can be had, which says nothing of our code.

    A container or a unit may have so many processes and threads, those of our daemons among them.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, f"no thread can be had: {error}") from error


def of_process(pid: int) -> str:
    """Return what stands for a name, where one is asked for, of the namespace of a process."""
    return str(PROC / str(pid) / "ns/net")


def within(namespace: str, work: Callable[[], T]) -> T:
    """Do the work inside the named namespace; FileNotFoundError if there is none."""

    def enter() -> T:
        fd = os.open(DIRECTORY / namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_dev != _nsfs():
                raise FileNotFoundError(errno.ENOENT, f"there is no namespace {namespace}")
            check(libc.setns(fd, CLONE_NEWNET), "setns")
        finally:
            os.close(fd)
        return work()

    return in_thread(enter)


def is_there(namespace: str) -> bool:
    """Tell whether there is a namespace of that name, not only a file, as a reboot leaves it."""
    try:
        return os.stat(DIRECTORY / namespace).st_dev == _nsfs()
    except FileNotFoundError:
        return False


def inode_of(namespace: str) -> int | None:
    """Return the number by which the kernel knows the namespace; None if there is none."""
    try:
        return os.stat(DIRECTORY / namespace).st_ino if is_there(namespace) else None
    except FileNotFoundError:
        return None  # it has gone meanwhile


def _nsfs() -> int:
    """Return the device number of the file system that namespaces are files of."""
    return os.stat("/proc/self/ns/net").st_dev


@contextlib.contextmanager
def netlink() -> Iterator[IPRoute]:
    """Give a route netlink socket of the namespace that this thread is in."""
    with errors_of_netlink(), IPRoute(strict_check=True) as ip:
        yield ip


@contextlib.contextmanager
def errors_of_netlink() -> Iterator[None]:
    """Turn the kernel's answers into OSError, which crosses to an unprivileged process."""
    try:
        yield
    except NetlinkError as error:
        raise OSError(error.code, f"netlink: {error.args[-1]}") from error


@contextlib.contextmanager
def ignoring(*numbers: int) -> Iterator[None]:
    """Let errors of these numbers pass: they mean that it is already so."""
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise


def processes(inode: int) -> Iterator[int]:
    """Yield the processes of the namespace with that inode; those that we may not see aren't."""
    for name in os.listdir(PROC):
        if name.isdigit() and is_process_of(int(name), inode):
            yield int(name)


def is_process_of(pid: int, inode: int) -> bool:
    """Tell whether the process is in the namespace with that inode."""
    try:
        # Not by pathlib, which takes ten times as long: a node has thousands of them.
        return os.stat(f"{PROC}/{pid}/ns/net").st_ino == inode
    except OSError:
        return False  # it has ended, or isn't ours to see


def command_of(pid: int) -> str:
    """Return the process' name (proc(5), comm); "" if it has ended."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""
