"""Named network namespaces, made as `ip netns` makes them, and processes in them."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from swanherd.dataplane import iptables as chains
from swanherd.dataplane.privileged import default, inside, iptables, nft
from swanherd.dataplane.privileged.inside import CLONE_NEWNET, DIRECTORY, check, libc

# sys/mount.h
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 1 << 20
_MNT_DETACH = 2

# linux/if.h, rtnetlink: the first device of every namespace
_LOOPBACK_INDEX = 1

# Of daemons: before what computes, but not before Open vSwitch, which is at -10 as it comes.
_NICE = -5

# In this order: turning forwarding on resets others (ip-sysctl.rst). `default` is what devices
# that are made later begin with.
SYSCTLS = (
    ("ipv4/ip_forward", "1"),
    *(
        (f"ipv4/conf/{scope}/{name}", value)
        for scope in ("all", "default")
        for name, value in (
            ("rp_filter", "0"),  # a policy decides who may send, not the way back
            ("accept_redirects", "0"),
            ("send_redirects", "0"),
            ("accept_source_route", "0"),
            ("arp_ignore", "1"),  # the router's own addresses on lo are the router's to answer
            ("arp_announce", "2"),
            ("promote_secondaries", "1"),  # a changed address doesn't take the new one with it
        )
    ),
    *(
        (f"ipv6/conf/{scope}/{name}", value)
        for scope in ("all", "default")
        for name, value in (
            ("disable_ipv6", "0"),
            ("forwarding", "1"),
            ("accept_ra", "0"),
            ("autoconf", "0"),
            ("accept_dad", "0"),  # Neutron sees to it that addresses are unique
            ("dad_transmits", "0"),
            ("accept_redirects", "0"),
        )
    ),
)

_NET = pathlib.Path("/proc/sys/net")


@default.entrypoint
def make(namespace: str, firewall: str, closed: Mapping[int, str]) -> None:
    """Make the namespace, or bring one that is there to its shape; idempotent.

    `closed` is a guard that lets nothing through, in the words of the firewall, "nft" or
    "iptables". A new namespace has it, and all else, before it gets its name.
    """
    if inside.is_there(namespace):
        inside.within(namespace, lambda: _prepare(firewall, closed))
        return
    _share_directory()

    def enter_a_new_one() -> None:
        check(libc.unshare(CLONE_NEWNET), "unshare")
        _prepare(firewall, closed)
        path = DIRECTORY / namespace
        path.touch(mode=0o444)
        _mount("/proc/thread-self/ns/net", path, _MS_BIND)

    inside.in_thread(enter_a_new_one)


@default.entrypoint
def delete(namespace: str) -> None:
    """Remove the namespace's name, and with its last process the namespace; idempotent."""
    path = DIRECTORY / namespace
    while inside.is_there(namespace):
        check(libc.umount2(os.fsencode(path), _MNT_DETACH), "umount2")
    path.unlink(missing_ok=True)


@default.entrypoint
def name_again(namespace: str, pid: int, inode: int) -> None:
    """Give a namespace that has lost its name, and in which that process is, this name.

    FileExistsError if there is one of that name by now, FileNotFoundError if the process isn't in
    the namespace with that inode.
    """
    path = DIRECTORY / namespace
    source = os.open(inside.of_process(pid), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(source).st_ino != inode:
            raise FileNotFoundError(errno.ENOENT, "the process is in another namespace")
        _share_directory()
        # As `ip netns` does: of two who make it at the same time one is refused.
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0))
        try:
            _mount(f"/proc/self/fd/{source}", path, _MS_BIND)
        except OSError:
            path.unlink()
            raise
    finally:
        os.close(source)


@default.entrypoint
def never_redirect(namespace: str) -> None:
    """Send no ICMP redirect by any device of the namespace, nor by one that comes later."""
    inside.within(namespace, _never_redirect)


@default.entrypoint
def has_guard(namespace: str, firewall: str) -> bool:
    """Tell whether there is a guard of ours in the namespace, as it was written or not."""
    return inside.within(namespace, _IS_CLOSED[firewall])


@default.entrypoint
def spawn(namespace: str, argv: Sequence[str], env: Mapping[str, str], output: str | None) -> int:
    """Start a daemon inside the namespace and return its process id.

    What it prints is appended to the file `output`, readable by its owner only. It is in a
    session of its own, outlives this process, and comes before others if that is allowed.
    """
    return inside.within(namespace, lambda: _spawn(argv, env, output))


def _prepare(firewall: str, closed: Mapping[int, str]) -> None:
    _CLOSE[firewall](closed)
    for name, value in SYSCTLS:
        path = _NET / name
        # Without IPv6 in the kernel there is nothing to set.
        if path.exists():
            path.write_text(value)
    with inside.netlink() as ip:
        ip.link("set", index=_LOOPBACK_INDEX, state="up")


def _never_redirect() -> None:
    # The kernel sends them if either `all` or the device says so (ip-sysctl.rst).
    for path in (_NET / "ipv4/conf").glob("*/send_redirects"):
        path.write_text("0")


def _close_by_nft(closed: Mapping[int, str]) -> None:
    """Put the guard in, unless there is one."""
    if not nft.list_table():
        nft.run(closed[0])


def _close_by_iptables(closed: Mapping[int, str]) -> None:
    if not chains.is_there(iptables.save()):
        iptables.restore(closed)


_CLOSE = {"nft": _close_by_nft, "iptables": _close_by_iptables}
_IS_CLOSED: Mapping[str, Callable[[], bool]] = {
    "nft": lambda: bool(nft.list_table()),
    "iptables": lambda: chains.is_there(iptables.save()),
}


def is_prepared() -> bool:
    """Tell whether forwarding and all else of this thread's namespace still are as made."""
    return all(_has(f"{_NET}/{name}", value.encode()) for name, value in SYSCTLS)


def _has(path: str, value: bytes) -> bool:
    """Tell whether the file has that value; where the kernel has no such file, that's fine."""
    # Not by pathlib, which takes five times as long: each look reads them all.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return os.read(fd, 64).strip() == value
    finally:
        os.close(fd)


def _share_directory() -> None:
    """Let mounts in the directory reach every mount namespace, as iproute2's netns_add does."""
    DIRECTORY.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", DIRECTORY, _MS_SHARED | _MS_REC)
    except OSError:
        # It isn't a mount point yet.
        _mount(str(DIRECTORY), DIRECTORY, _MS_BIND | _MS_REC)
        _mount("", DIRECTORY, _MS_SHARED | _MS_REC)


def _mount(source: str, target: pathlib.Path, flags: int) -> None:
    result = libc.mount(source.encode(), os.fsencode(target), b"none", flags, None)
    check(result, f"mount {target}")


def _spawn(argv: Sequence[str], env: Mapping[str, str], output: str | None) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(output or os.devnull, flags, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - the caller's fixed program
            list(argv),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=fd,
            stderr=fd,
            cwd="/",
            umask=0o077,  # a privsep daemon has none
            start_new_session=True,
        )
    finally:
        os.close(fd)
    # While it works on a peer's answer, what the peer sends by the new SA already is lost.
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpriority(os.PRIO_PGRP, process.pid, _NICE)  # all its threads (setpriority(2))
    # Reaps it, so that a dead daemon is no zombie; if no thread can be had for that, it runs.
    with contextlib.suppress(OSError):
        inside.start(threading.Thread(target=process.wait, name="reaper", daemon=True))
    return process.pid
