"""Waits for something to be taken out of a namespace: rtnetlink(7) and nfnetlink of nf_tables."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from swanherd import descriptors
from swanherd.dataplane import removed
from swanherd.dataplane.privileged import default, inside

_NETLINK_NETFILTER = 12  # linux/netlink.h
# linux/rtnetlink.h: RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR,
# _IPV6_ROUTE, _IPV6_RULE
_ROUTE_GROUPS = (1, 5, 7, 8, 9, 11, 19)
_NFTABLES = (7,)  # linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES


class _Watched(NamedTuple):
    """The namespace's inode, the sockets that were opened in it, and who reads them is alone."""

    inode: int
    sockets: tuple[socket.socket, ...]
    reading: threading.Lock


# By the namespace's name. So nothing is missed between two calls of `wait`.
_watched: dict[str, _Watched] = {}
# What `by_us` read that was somebody else's.
_found: set[str] = set()
_lock = threading.Lock()


@default.entrypoint
def wait(names: Sequence[str], seconds: float) -> list[str]:
    """Return from which of these namespaces something was removed, or that are gone themselves.

    Waits at most so many seconds. What was removed before a namespace was named first isn't told
    of. One caller at a time.
    """
    with _lock:
        changed = _sync(names)
        poll = select.poll()
        owners: dict[int, str] = {}
        for name, watched in _watched.items():
            for sock in watched.sockets:
                owners[sock.fileno()] = name
                poll.register(sock, select.POLLIN)
        ready = {owners[number] for number, _ in poll.poll(0 if changed else seconds * 1000)}
        changed |= set(filter(_is_poorer, ready)) | _found & _watched.keys()
        _found.difference_update(changed)
        return sorted(changed)


@contextlib.contextmanager
def by_us(name: str) -> Iterator[None]:
    """Tell nobody of what is removed in the block: who removes it looks afterwards.

    The kernel tells before a request is answered, so all of it is there to be read at the end.
    """
    watched = _watched.get(name)
    if watched is None:
        yield
        return
    with watched.reading:
        if _read(watched):
            _found.add(name)
        try:
            yield
        finally:
            _read(watched)


def _sync(names: Sequence[str]) -> set[str]:
    """Watch exactly these namespaces; return those that were watched and aren't there any more."""
    wanted = {name: inode for name in names if (inode := inside.inode_of(name)) is not None}
    gone = {name for name in _watched if wanted.get(name) != _watched[name].inode}
    _found.difference_update(gone)
    for name in gone:
        for sock in _watched.pop(name).sockets:
            sock.close()
    for name in wanted.keys() - _watched.keys():
        with contextlib.suppress(FileNotFoundError):  # it went again
            sockets = inside.within(name, _listening)
            _watched[name] = _Watched(wanted[name], sockets, threading.Lock())
    return gone & set(names)


def _listening() -> tuple[socket.socket, ...]:
    with contextlib.ExitStack() as failed:
        routes = _socket(socket.NETLINK_ROUTE, _ROUTE_GROUPS)
        failed.callback(routes.close)
        sockets = [routes]
        with contextlib.suppress(OSError):  # the kernel has no nf_tables
            sockets.append(_socket(_NETLINK_NETFILTER, _NFTABLES))
        failed.pop_all()
    return tuple(sockets)


def _socket(protocol: int, groups: Sequence[int]) -> socket.socket:
    how = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = descriptors.stays(socket.socket(socket.AF_NETLINK, how, protocol))
    try:
        sock.bind((0, sum(1 << (group - 1) for group in groups)))
    except OSError:
        sock.close()
        raise
    return sock


def _is_poorer(name: str) -> bool:
    watched = _watched[name]
    with watched.reading:
        return _read(watched)


def _read(watched: _Watched) -> bool:
    """Read what was told of the namespace, all of it; tell whether something was removed."""
    found = False
    for sock in watched.sockets:
        while True:
            try:
                data = sock.recv(1 << 16)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    break
                found = True  # some of it was lost
                continue
            found = found or removed.tells_of_removal(data)
    return found
