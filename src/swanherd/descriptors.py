"""File descriptors: how many this process may have, and who gets the low numbers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket

# As many as nobody needs: programs that are started look at each up to the limit, some of them.
_MOST_FILES = 1 << 16

# What select(2) takes is below this (FD_SETSIZE); libnftables has it, and ends the process if its
# socket isn't (glibc: "bit out of range 0 - FD_SETSIZE on fd_set").
SELECTABLE = 1024

# Other threads may take so many low numbers between the look and the use.
_RESERVE = 64


def raise_open_files() -> None:
    """Let this process have as many files open as it may (setrlimit(2), RLIMIT_NOFILE).

    systemd gives a service 1,024 of half a million; each router takes eight.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def moved(number: int) -> int:
    """Return another number for an open file that stays, and close this one.

    It is one that select(2) doesn't take: the low ones are left to who needs them. If there is
    none, the file keeps its number (fcntl(2), F_DUPFD_CLOEXEC).
    """
    with contextlib.suppress(OSError):
        raise_open_files()
        high = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, SELECTABLE)
        os.close(number)
        return high
    return number


def stays(sock: socket.socket) -> socket.socket:
    """Return a socket that stays open under another number (`moved`); the one given is closed."""
    kind, timeout = (sock.family, sock.type, sock.proto), sock.gettimeout()
    same = socket.socket(*kind, fileno=moved(sock.detach()))
    same.settimeout(timeout)
    return same


def demand_low() -> None:
    """Raise OSError (EMFILE) if what is opened next could have a number that select(2) can't take.

    Where the numbers can't be moved, that is better than the end of the process.
    """
    number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.close(number)
    if number >= SELECTABLE - _RESERVE:
        raise OSError(errno.EMFILE, "too many open files for select(2)")
