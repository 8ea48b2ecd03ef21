"""Waits for an address of a namespace to change (rtnetlink(7)), a process to end, or a notice."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import pathlib
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from swanherd import descriptors
from swanherd.dataplane import frames
from swanherd.dataplane.privileged import default, inside

# linux/rtnetlink.h
_GROUPS = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_TAG = 4  # bytes

# Notices are taken from nowhere else: a redundant router's device on the network of VRRP.
_NOTICES_BY = "ha-"


class _Watched(NamedTuple):
    """The namespace's inode, and the sockets that were opened in it."""

    inode: int
    addresses: socket.socket
    notices: socket.socket

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return self.addresses, self.notices


# By the namespace's name. So nothing is missed between two calls of `wait`.
_watched: dict[str, _Watched] = {}
# By the namespace's name: those of its processes whose end was told.
_ended: dict[str, set[int]] = {}
_lock = threading.Lock()


@default.entrypoint
def wait(pids: Mapping[str, Sequence[int]], seconds: float) -> dict[str, list[bytes]]:
    """Return which of these namespaces changed; those that weren't watched yet, at once.

    One whose name went, or went to another, has changed too; it is told once.
    With each come the notices that were heard there. `pids` are processes whose end is a change
    too, which also is told once. One caller at a time.
    """
    with _lock, contextlib.ExitStack() as stack:
        changed = _sync(pids)
        poll = select.poll()
        names: dict[int, str] = {}
        for name, watched in _watched.items():
            for sock in watched.sockets:
                names[sock.fileno()] = name
                poll.register(sock, select.POLLIN)
        ends: dict[int, int] = {}
        for name, pid in _unended(pids):
            try:
                handle = descriptors.moved(os.pidfd_open(pid))
            except ProcessLookupError:
                _ended[name].add(pid)
                changed.add(name)
                continue
            stack.callback(os.close, handle)
            names[handle], ends[handle] = name, pid
            poll.register(handle, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(0 if changed else seconds * 1000)]
        for handle in ends.keys() & ready:
            _ended[names[handle]].add(ends[handle])
        changed |= {names[descriptor] for descriptor in ready}
        return {name: _take(name) for name in sorted(changed)}


def _unended(pids: Mapping[str, Sequence[int]]) -> list[tuple[str, int]]:
    """Return the processes whose end wasn't told; forget of the others who isn't asked for.

    Who asks may not have taken note yet, and would be answered at once, again and again.
    """
    for name in _ended.keys() - pids.keys():
        del _ended[name]
    for name, numbers in pids.items():
        _ended[name] = _ended.get(name, set()).intersection(numbers)
    return [(n, pid) for n, numbers in pids.items() for pid in numbers if pid not in _ended[n]]


@default.entrypoint
def processes(namespace: str, command: str, known: Sequence[int] = ()) -> list[int]:
    """Return the processes of that name (proc(5), comm) in the namespace.

    If there are `known` ones, all still there, they are the answer.
    """
    inode = inside.inode_of(namespace)
    if inode is None:
        return []
    if known and all(inside.is_process_of(p, inode) and _runs(p, command) for p in known):
        return sorted(known)
    return sorted(pid for pid in inside.processes(inode) if _runs(pid, command))


def _runs(pid: int, command: str) -> bool:
    try:
        return inside.command_of(pid) == command and not _is_dead(inside.PROC / str(pid))
    except OSError:
        return False  # it has ended meanwhile


def _is_dead(entry: pathlib.Path) -> bool:
    return (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")


def _sync(pids: Mapping[str, Sequence[int]]) -> set[str]:
    """Watch exactly these namespaces; return those that are newly watched, or not any more."""
    wanted = {name: inode for name in pids if (inode := inside.inode_of(name)) is not None}
    gone = {name for name in _watched if wanted.get(name) != _watched[name].inode}
    for name in gone:
        for sock in _watched.pop(name).sockets:
            sock.close()
    new = set(wanted) - set(_watched)
    for name in new:
        with contextlib.suppress(FileNotFoundError):  # it went again
            sockets = inside.within(name, functools.partial(_listening, name))
            _watched[name] = _Watched(wanted[name], *sockets)
    return (new & set(_watched)) | (gone & set(pids))


def _listening(name: str) -> tuple[socket.socket, socket.socket]:
    with contextlib.ExitStack() as failed:
        how = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        addresses = descriptors.stays(
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | how, socket.NETLINK_ROUTE)
        )
        failed.callback(addresses.close)
        addresses.bind((0, _GROUPS))
        # Of every device: that of VRRP may be made anew meanwhile.
        protocol = socket.htons(frames.NOTICE)
        notices = descriptors.stays(
            socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | how, protocol)
        )
        failed.callback(notices.close)
        _only(notices, frames.tag(name))
        for _ in _received(notices):  # what came before the filter
            pass
        failed.pop_all()
    return addresses, notices


def _only(sock: socket.socket, tag: int) -> None:
    """Let the kernel drop whatever doesn't begin with that number (linux/filter.h)."""
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    steps = ((load, 0, 0, 0), (equal, 0, 1, tag), (give, 0, 0, 0xFFFFFFFF), (give, 0, 0, 0))
    program = b"".join(struct.pack("=HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(program, len(program))
    attached = struct.pack("@HP", len(steps), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)


def _take(name: str) -> list[bytes]:
    """Read what came to the namespace's sockets; return the notices."""
    watched = _watched.get(name)
    if watched is None:
        return []
    for _ in _received(watched.addresses):
        pass
    return [
        data[_TAG:]
        for data, source in _received(watched.notices)
        if source[0].startswith(_NOTICES_BY)
    ]


def _received(sock: socket.socket) -> Iterator[tuple[bytes, Any]]:
    """Yield what is there; that some was lost (ENOBUFS) is a change too."""
    while True:
        try:
            yield sock.recvfrom(65536)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                return
