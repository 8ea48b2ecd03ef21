"""What another VPN agent left in a namespace of the same name: its devices, its daemons."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket

from swanherd.dataplane.privileged import default, inside

# A daemon's supervisor may start it anew while it is being ended.
_ROUNDS = 10
_PATIENCE = 2000  # milliseconds for what was killed to be gone


@default.entrypoint
def devices(namespace: str) -> list[str]:
    """Return the names of the namespace's devices; none if it isn't there."""
    if not inside.is_there(namespace):
        return []
    return inside.within(namespace, lambda: [name for _, name in socket.if_nameindex()])


@default.entrypoint
def end_processes(namespace: str) -> list[int]:
    """Kill every process of the namespace and wait until they are gone; return which.

    What this process may neither see nor kill stays, in a namespace that soon has no device.
    """
    inode = os.stat(inside.DIRECTORY / namespace).st_ino
    ended: list[int] = []
    for _ in range(_ROUNDS):
        others = (pid for pid in inside.processes(inode) if pid != os.getpid())
        found = [pid for pid in others if _end(pid, inode)]
        if not found:
            return ended
        ended += found
    raise OSError(errno.EBUSY, f"processes of {namespace} are started again and again")


def _end(pid: int, inode: int) -> bool:
    """Kill the process; tell whether it could be, and is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not inside.is_process_of(pid, inode):
            return True  # the number is another process' now
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        if not waiting.poll(_PATIENCE):
            raise OSError(errno.EBUSY, f"process {pid} doesn't end")
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(handle)
    return True
