"""What of daemons and their files only root may do, where the agent is another user."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
from collections.abc import Collection

from swanherd.dataplane.privileged import default, inside

# Of what is said in the environment (strongswan.conf(5)).
_CONFIGURATION = b"STRONGSWAN_CONF="


@default.entrypoint
def namespace_of(pid: int) -> int | None:
    """Return the inode of the process' network namespace; None if that can't be seen."""
    try:
        return os.stat(inside.PROC / str(pid) / "ns/net").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # it has ended, or isn't ours to look at


@default.entrypoint
def send(pid: int, started: int, number: int) -> None:
    """Send a signal to the process that began then (clock ticks since boot), to no other."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # Read now that the handle can't come to mean another process.
        fields = (inside.PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        if int(fields[19]) == started:
            signal.pidfd_send_signal(handle, number)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended meanwhile
    finally:
        os.close(handle)


@default.entrypoint
def configured() -> list[tuple[int, str]]:
    """Return every process that was told where its strongSwan's configuration is, and where."""
    found = []
    for name in filter(str.isdigit, os.listdir(inside.PROC)):
        try:
            environment = (inside.PROC / name / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or isn't ours to look at
        found += [
            (int(name), os.fsdecode(variable.removeprefix(_CONFIGURATION)))
            for variable in environment
            if variable.startswith(_CONFIGURATION)
        ]
    return found


@default.entrypoint
def take(directory: str, ours: Collection[str], uid: int, gid: int) -> None:
    """Give a directory to a user, whoever's it was, and what in it has a name of `ours`.

    So an agent goes on with what it had when it was another user. One that is missing is made; one
    of another user in which there is anything else stays as it is: EEXIST.
    """
    path = pathlib.Path(directory)
    # One after another: a privsep daemon has no umask.
    for folder, mode in (*((each, 0o755) for each in reversed(path.parents)), (path, 0o700)):
        with inside.ignoring(errno.EEXIST):
            os.mkdir(folder, mode)
    now, more = os.stat(directory), sorted(set(os.listdir(directory)) - set(ours))
    if more and (now.st_uid, now.st_gid) != (uid, gid):
        raise FileExistsError(errno.EEXIST, f"somebody else's, with {more[0]} in it", directory)
    for folder_, folders, files, handle in os.fwalk(directory, follow_symlinks=False):
        if folder_ == directory:
            folders[:], files = (list(set(ours) & set(names)) for names in (folders, files))
        for name in (".", *files):
            _own(name, handle, uid, gid)


def _own(name: str, folder: int, uid: int, gid: int) -> None:
    """Give a file of a folder to a user, unless it is that one's; never what a link leads to."""
    try:
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (now.st_uid, now.st_gid) != (uid, gid):
            os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
