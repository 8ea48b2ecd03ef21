"""charon's life: one in a router's namespace, which outlives the agent."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.ike import CharonOptions
from swanherd.core.model import DataPlane, Reason, RouterId
from swanherd.swan import process, settings
from swanherd.swan.process import Process, Processes
from swanherd.swan.settings import Paths, Retransmission

LOG = logging.getLogger(__name__)

Spawn = Callable[[RouterId, Sequence[str], Mapping[str, str], str], int]
NamespaceInode = Callable[[RouterId], int | None]

_READY_LIMIT = 15.0  # seconds; measured: 10 ms, and 0.7 s in a slow virtual machine
_STOP_LIMIT = 5.0  # seconds; measured: 25 ms
_LOCK_LIMIT = 30.0  # seconds: longer than another's start or stop can take
_LOG_LIMIT = 1 << 19  # bytes; one old log of that length is kept
_SOCKET_PATH = 107  # bytes that a unix socket's path may have (unix(7))


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a charon needs of its node.

    `state` holds a directory for each router; `spawn(router_id, argv, env, output)` starts a
    command in the router's namespace, in a session of its own and with its output in that file,
    returns its process id and reaps it; `namespace_inode` returns the inode of that namespace,
    None if there is none; `processes` are the daemons, which may be another user's than the
    agent; `clock` tells monotonic seconds.
    """

    state: Path
    spawn: Spawn
    namespace_inode: NamespaceInode
    processes: Processes
    clock: Callable[[], float]
    binary: str = f"/usr/sbin/{process.BINARY}"


# malloc(3) without a cache for each of sixteen threads: what one of them takes another frees, so
# each look at a daemon left some in them, 1.4 MB in the end. Packets don't pass slower either.
_MEMORY = "glibc.malloc.tcache_count=0"


class CharonLife:
    """Starts, finds and stops the charon of each router."""

    def __init__(self, surroundings: Surroundings, retransmission: Retransmission) -> None:
        self._state = surroundings.state
        self._spawn = surroundings.spawn
        self._namespace_inode = surroundings.namespace_inode
        self._processes = surroundings.processes
        self._clock = surroundings.clock
        self._binary = surroundings.binary
        self._retransmission = retransmission

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a directory here."""
        try:
            with os.scandir(self._state) as found:
                # Each says what it is by itself: to ask of a thousand takes ten times as long.
                return frozenset(RouterId(each.name) for each in found if each.is_dir())
        except FileNotFoundError:
            return frozenset()

    def paths(self, router_id: RouterId) -> Paths:
        """Return where the files of the router's charon are."""
        return Paths(self._state / router_id)

    def is_running(self, router_id: RouterId) -> bool:
        """Tell whether a charon of ours lives in the router's namespace as it is now."""
        record = self._record(router_id)
        found = self._find(router_id, record)
        inode = self._namespace_inode(router_id) if found is not None else None
        return found is not None and inode is not None and self._is_in(record, found, inode)

    def nameless(self, router_id: RouterId) -> tuple[int, int] | None:
        """Return our charon's process id and its namespace's inode, if no namespace has the name.

        That one lives on then, as long as a process is in it.
        """
        if self._namespace_inode(router_id) is not None:
            return None
        found = self._find(router_id, self._record(router_id))
        inode = self._processes.namespace_of(found.pid) if found is not None else None
        return (found.pid, inode) if found is not None and inode is not None else None

    def options(self, router_id: RouterId) -> CharonOptions | None:
        """Return what the running daemon was started with, None if that isn't known."""
        record = self._record(router_id)
        try:
            plane = DataPlane(str(record["data_plane"]))
            return CharonOptions(
                plane,
                aggressive_psk=bool(record["aggressive_psk"]),
                guest=bool(record.get("guest", False)),
            )
        except (KeyError, ValueError):
            return None

    def memory(self, router_id: RouterId) -> int | None:
        """Return the bytes of memory that the daemon holds; None if none of ours is known."""
        record = self._record(router_id)
        pid = record.get("pid")
        found = process.look_up(pid) if isinstance(pid, int) else None
        if found is None or found.started != record.get("started"):
            return None
        return process.memory(found.pid)

    def start(
        self, router_id: RouterId, options: CharonOptions, check: Callable[[], None]
    ) -> None:
        """Start charon and wait until it answers; one that runs with these options stays.

        `check` talks to charon once and raises Temporary if it doesn't answer: a charon that
        can't open its socket says READY all the same.
        """
        try:
            with self._locked(router_id):
                if self.is_running(router_id) and self.options(router_id) == options:
                    with contextlib.suppress(Temporary):
                        check()
                        return
                self._end(router_id)
                self._launch(router_id, options)
                check()
        except OSError as error:
            # A full or read-only disk, above all.
            text = f"The agent can't write strongSwan's files: {error.strerror}."
            hint = f"The operator must look at {self._state}."
            raise Temporary(router_id, Reason("state_unwritable", text, hint)) from error

    def reload(
        self, router_id: RouterId, options: CharonOptions, tell: Callable[[], object]
    ) -> None:
        """Let the running charon read its settings anew; `tell` asks it to (reload-settings)."""
        with self._locked(router_id):
            paths = self.paths(router_id)
            _write(paths.conf, settings.render(paths, options, self._retransmission))
            tell()
            # Last: what was never told is told again at the next look.
            record = {**self._record(router_id), **dataclasses.asdict(options)}
            _write(paths.state, json.dumps(record))

    def stop(self, router_id: RouterId) -> None:
        """Stop charon, wait until it is gone, and remove its files."""
        if not self.paths(router_id).directory.exists():
            return
        with self._locked(router_id):
            self._end(router_id)
            shutil.rmtree(self.paths(router_id).directory, ignore_errors=True)

    def end_orphans(self) -> None:
        """End every charon with a configuration of ours whose directory is gone."""
        for pid, conf in self._processes.configured():
            if conf.parent.parent != self._state or conf.parent.is_dir():
                continue
            if (found := process.look_up(pid)) is not None:
                LOG.warning("Process %s is a charon of a router that is gone: it ends", pid)
                process.end(found, self._processes, _STOP_LIMIT)

    def is_strangers(self, router_id: RouterId) -> bool:
        """Tell whether the daemon is of an agent that was another user: it reads no file anew."""
        pid = self._record(router_id).get("pid")
        owner = process.owner(pid) if isinstance(pid, int) else None
        return owner not in (None, os.geteuid())

    def rotate_log(self, router_id: RouterId) -> bool:
        """Put the log aside if it is long; True if charon has to open a new one."""
        paths = self.paths(router_id)
        with contextlib.suppress(FileNotFoundError):
            if paths.log.stat().st_size <= _LOG_LIMIT:
                return False
            if not self.is_strangers(router_id):
                paths.log.replace(paths.old_log)
                return True
            # It goes on in the same file, which it appends to.
            shutil.copyfile(paths.log, paths.old_log)
            os.truncate(paths.log, 0)
        return False

    # Which process

    def _find(self, router_id: RouterId, record: Mapping[str, object]) -> Process | None:
        """Return our charon, wherever it runs; after a lost record its socket tells."""
        pid = record.get("pid")
        if isinstance(pid, int):
            found = process.look_up(pid)
            if found is not None and found.started == record.get("started"):
                return found
        listener = process.behind(self.paths(router_id).vici)
        return process.look_up(listener) if listener else None

    def _is_in(self, record: Mapping[str, object], found: Process, inode: int) -> bool:
        """Tell whether it is in that namespace, which it never leaves: noted at its start."""
        noted = record.get("namespace")
        if noted is None or (record.get("pid"), record.get("started")) != (
            found.pid,
            found.started,
        ):
            noted = self._processes.namespace_of(found.pid)
        return noted == inode

    def _record(self, router_id: RouterId) -> Mapping[str, object]:
        try:
            record = json.loads(self.paths(router_id).state.read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _end(self, router_id: RouterId) -> None:
        record = self._record(router_id)
        found = self._find(router_id, record)
        if found is not None and not process.end(found, self._processes, _STOP_LIMIT):
            raise Temporary(router_id, _stop_failed(found.pid))
        pid = record.get("pid")
        if isinstance(pid, int) and not process.wait_ended(
            pid, record.get("started"), _STOP_LIMIT
        ):
            raise Temporary(router_id, _stop_failed(pid))

    # Starting

    def _launch(self, router_id: RouterId, options: CharonOptions) -> None:
        paths = self.paths(router_id)
        self._prepare(router_id, paths, options)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(paths.ready))
            try:
                self._spawn_and_wait(router_id, paths, options, ready)
            finally:
                paths.ready.unlink(missing_ok=True)

    def _prepare(self, router_id: RouterId, paths: Paths, options: CharonOptions) -> None:
        if len(os.fsencode(paths.vici)) > _SOCKET_PATH:
            text = "The agent's state path is too long for unix sockets."
            raise Permanent(router_id, Reason("state_path_too_long", text))
        if not os.access(self._binary, os.X_OK):
            text = f"strongSwan's daemon {self._binary} isn't installed."
            raise Permanent(router_id, Reason("charon_missing", text))
        for stale in (paths.ready, paths.vici, paths.notices, paths.state):
            stale.unlink(missing_ok=True)
        _write(paths.output, "")
        _write(paths.conf, settings.render(paths, options, self._retransmission))

    def _spawn_and_wait(
        self, router_id: RouterId, paths: Paths, options: CharonOptions, ready: socket.socket
    ) -> None:
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "STRONGSWAN_CONF": str(paths.conf),
            "NOTIFY_SOCKET": str(paths.ready),
            "GLIBC_TUNABLES": _MEMORY,
        }
        namespace = self._namespace_inode(router_id)
        pid = self._spawn(router_id, (self._binary,), environment, str(paths.output))
        if not self._wait_ready(pid, ready):
            process.kill(pid, self._processes)
            raise Temporary(router_id, self._start_failed(paths))
        started = process.look_up(pid)
        if started is None:
            raise Temporary(router_id, self._start_failed(paths))
        if namespace != self._namespace_inode(router_id):
            namespace = None  # it was made anew just then: who asks has to look
        told = {"pid": pid, "started": started.started, "namespace": namespace}
        record = {**told, **dataclasses.asdict(options)}
        _write(paths.state, json.dumps(record))
        LOG.info("Router %s: charon runs as process %s (%s)", router_id, pid, options.data_plane)

    def _wait_ready(self, pid: int, ready: socket.socket) -> bool:
        """Wait for READY=1 (sd_notify(3)); False if it ends instead, or takes too long."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        deadline = self._clock() + _READY_LIMIT
        try:
            while (left := deadline - self._clock()) > 0:
                readable = process.readable((ready.fileno(), handle), left)
                if ready.fileno() in readable:
                    if b"READY=1" in ready.recv(4096).split(b"\n"):
                        return True
                elif handle in readable:
                    return False
            return False
        finally:
            os.close(handle)

    def _start_failed(self, paths: Paths) -> Reason:
        last = ""
        with contextlib.suppress(OSError):
            lines = paths.output.read_text(errors="replace").splitlines()
            last = f": {lines[-1][:200]}" if lines else ""
        hint = f"The operator finds more in {paths.log} and {paths.output}."
        return Reason("charon_start_failed", f"strongSwan doesn't start{last}.", hint)

    @contextlib.contextmanager
    def _locked(self, router_id: RouterId) -> Iterator[None]:
        """Keep other agents and threads from starting or stopping this router's charon.

        A second charon would steal the first one's socket (live: §7). The lock is the directory
        itself, so that nothing is left behind when that goes.
        """
        directory = self.paths(router_id).directory
        deadline = self._clock() + _LOCK_LIMIT
        while True:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if not self._lock(handle, deadline):
                    text = "Another agent is starting or stopping strongSwan."
                    raise Temporary(router_id, Reason("charon_locked", text))
                # Whoever held it may have removed the directory under us.
                if _is_same(handle, directory):
                    directory.chmod(0o700)
                    yield
                    return
            finally:
                os.close(handle)

    def _lock(self, handle: int, deadline: float) -> bool:
        """Take the lock or give up at the deadline (flock(2) has no limit of its own)."""
        tick = threading.Event()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock() > deadline:
                    return False
                tick.wait(0.02)
            else:
                return True


def _stop_failed(pid: int) -> Reason:
    return Reason("charon_stop_failed", f"strongSwan (process {pid}) doesn't stop.")


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _write(path: Path, text: str) -> None:
    """Write a file that is never seen half written, for our eyes only."""
    draft = path.with_name(f"{path.name}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w") as file:
        file.write(text)
    draft.replace(path)
