"""What another VPN agent left in a namespace: its devices, its daemons, their routes."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
from collections.abc import Sequence

from swanherd.dataplane.privileged import default, inside

# A daemon's supervisor may start it anew while it is being ended.
_ROUNDS = 10
_PATIENCE = 2000  # milliseconds for what was killed to be gone

# Where strongSwan puts its routes, and the priority of the rule that leads there, unless told
# otherwise (strongswan.conf(5), charon.routing_table).
_TABLE = 220


@default.entrypoint
def devices(namespace: str) -> list[str]:
    """Return the names of the namespace's devices; none if it isn't there."""
    if not inside.is_there(namespace):
        return []
    return inside.within(namespace, lambda: [name for _, name in socket.if_nameindex()])


@default.entrypoint
def end_processes(namespace: str, commands: Sequence[str] = ()) -> list[int]:
    """Kill the processes of the namespace and wait until they are gone; return which.

    All of them, or those of these names (proc(5), comm). What this process may neither see nor
    kill stays.
    """
    inode = os.stat(inside.DIRECTORY / namespace).st_ino
    ended: list[int] = []
    for _ in range(_ROUNDS):
        others = (pid for pid in inside.processes(inode) if pid != os.getpid())
        meant = (pid for pid in others if not commands or inside.command_of(pid) in commands)
        found = [pid for pid in meant if _end(pid, inode)]
        if not found:
            return ended
        ended += found
    raise OSError(errno.EBUSY, f"processes of {namespace} are started again and again")


@default.entrypoint
def forget_routes(namespace: str) -> None:
    """Remove the routes that a killed charon left in its table, and the rule that leads there."""

    def work() -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            with inside.netlink() as ip:
                for rule in tuple(ip.get_rules(family=family)):
                    if rule.get_attr("FRA_PRIORITY") == rule.get_attr("FRA_TABLE") == _TABLE:
                        ip.rule("del", family=family, table=_TABLE, priority=_TABLE)
                ip.flush_routes(family=family, table=_TABLE)

    inside.within(namespace, work)


@default.entrypoint
def is_listened_to(namespace: str, port: int) -> bool:
    """Tell whether a UDP socket of the namespace has the port, whoever's it is (proc(5))."""

    def work() -> bool:
        tables = (inside.PROC / "thread-self/net" / name for name in ("udp", "udp6"))
        lines = (line for table in tables for line in table.read_text().splitlines()[1:])
        return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)

    return inside.within(namespace, work)


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
