"""Waits until an address of a namespace changes (rtnetlink(7)) or a process ends."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import select
import socket
import threading
from collections.abc import Mapping, Sequence

from swanherd.dataplane.privileged import default, inside

# linux/rtnetlink.h
_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR

# By the namespace's name: its inode, and the socket that was opened in it. So nothing is missed
# between two calls of `wait`.
_sockets: dict[str, tuple[int, socket.socket]] = {}
_lock = threading.Lock()


@default.entrypoint
def wait(pids: Mapping[str, Sequence[int]], seconds: float) -> list[str]:
    """Return which of these namespaces changed; those that weren't watched yet, at once.

    `pids` are processes whose end is a change too. One caller at a time.
    """
    with _lock, contextlib.ExitStack() as stack:
        changed = _sync(pids)
        poll = select.poll()
        names: dict[int, str] = {}
        for name, (_, sock) in _sockets.items():
            names[sock.fileno()] = name
            poll.register(sock, select.POLLIN)
        for name, numbers in pids.items():
            for pid in numbers:
                try:
                    handle = os.pidfd_open(pid)
                except OSError:
                    changed.add(name)  # it has ended
                    continue
                stack.callback(os.close, handle)
                names[handle] = name
                poll.register(handle, select.POLLIN)
        ready = poll.poll(0 if changed else seconds * 1000)
        changed |= {names[descriptor] for descriptor, _ in ready}
        for name in changed & _sockets.keys():
            _drain(_sockets[name][1])
        return sorted(changed)


@default.entrypoint
def processes(namespace: str, command: str) -> list[int]:
    """Return the processes of that name (proc(5), comm) in the namespace."""
    inode = _inode(namespace)
    if inode is None:
        return []
    found = []
    for pid in inside.processes(inode):
        entry = inside.PROC / str(pid)
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if (entry / "comm").read_text().strip() == command and not _is_dead(entry):
                found.append(pid)
    return sorted(found)


def _is_dead(entry: pathlib.Path) -> bool:
    return (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _sync(pids: Mapping[str, Sequence[int]]) -> set[str]:
    """Watch exactly these namespaces; return those that are newly watched."""
    wanted = {name: inode for name in pids if (inode := _inode(name)) is not None}
    for name in list(_sockets):
        if wanted.get(name) != _sockets[name][0]:
            _sockets.pop(name)[1].close()
    new = set(wanted) - set(_sockets)
    for name in new:
        with contextlib.suppress(FileNotFoundError):  # it went again
            _sockets[name] = (wanted[name], inside.within(name, _listening))
    return new & set(_sockets)


def _inode(namespace: str) -> int | None:
    try:
        if inside.is_there(namespace):
            return os.stat(inside.DIRECTORY / namespace).st_ino
    except FileNotFoundError:
        pass
    return None


def _listening() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    try:
        sock.bind((0, _GROUPS))
    except OSError:
        sock.close()
        raise
    return sock


def _drain(sock: socket.socket) -> None:
    """Read what is there; that some was lost (ENOBUFS) is a change too."""
    while True:
        try:
            sock.recv(65536)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                return
