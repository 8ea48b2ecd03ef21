"""What keeps the world fitting when nobody asks: events that bring looks, and leftovers."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from futurist import periodics
from neutron_lib import context as n_context
from neutron_lib import exceptions as lib_exc
from neutron_lib.callbacks import events, registry, resources
from oslo_db import exception as db_exc
from oslo_log import log as logging

from swanherd.core.failures import Failure
from swanherd.core.model import RouterId
from swanherd.ovn import northbound
from swanherd.rpc.topics import AGENT_TYPE
from swanherd.server.backend import RouterStore
from swanherd.server.public_port import PublicPorts

LOG = logging.getLogger(__name__)

K = TypeVar("K")

LEFTOVERS_INTERVAL = 20  # seconds

# Of Neutron's 50 or so connections to the database.
_AT_ONCE = 8
# Threads that wait cost little, but a process may have only so many.
_MOST = 256


class Line(Generic[K]):
    """Does `work` for one key after another in a thread of its own, once for one named twice.

    It begins `delay` seconds after a key was named.
    """

    def __init__(self, work: Callable[[K], None], delay: float = 0.0) -> None:
        self._work = work
        self._delay = delay
        self._lock = threading.Lock()
        self._waiting: set[K] = set()
        self._queue: queue.SimpleQueue[tuple[float, K]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, key: K) -> None:
        """Name a key; returns at once."""
        with self._lock:
            if key in self._waiting:
                return
            self._waiting.add(key)
            if self._thread is None:
                # Not before: a thread doesn't survive the fork of a server's worker.
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        self._queue.put((time.monotonic() + self._delay, key))

    def _run(self) -> None:
        while True:
            due, key = self._queue.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with self._lock:
                self._waiting.discard(key)
            attempt(self._work, key)


@dataclasses.dataclass(eq=False, frozen=True)
class _Turn(Generic[K]):
    """A thread's turn: for which key, and since when."""

    key: K
    since: float


class Apart(Generic[K]):
    """Does `work` for keys in a few threads, `at_once`, and again for one named meanwhile.

    One whose turn lasts longer than `patience` (seconds) waits for something, the message bus
    perhaps. It takes no place any more: neither others nor what its own key is named for
    meanwhile wait for it, unless as many as `most` do. The first that were named come first.
    """

    def __init__(
        self,
        work: Callable[[K], None],
        patience: float = 0.5,
        at_once: int = _AT_ONCE,
        most: int = _MOST,
    ) -> None:
        self._work = work
        self._patience = patience
        self._at_once = at_once
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[K, None] = {}
        self._turns: dict[K, _Turn[K]] = {}  # those that take a place
        self._threads = 0
        self._is_watched = False

    def add(self, key: K) -> None:
        """Name a key; returns at once."""
        with self._lock:
            self._waiting.setdefault(key)
            self._begin()

    def pass_on(self, key: K) -> None:
        """Hear that the rest of a key's turn may take as long as it likes."""
        with self._lock:
            if self._turns.pop(key, None) is not None:
                self._begin()

    def _begin(self) -> None:
        """Begin what may; with the lock."""
        now = time.monotonic()
        self._turns = {
            key: turn for key, turn in self._turns.items() if now - turn.since < self._patience
        }
        while self._threads < self._most and (turn := self._next()):
            self._threads += 1
            threading.Thread(target=self._run, args=(turn,), daemon=True).start()
        if self._waiting and self._turns and not self._is_watched:
            self._is_watched = True
            first = min(turn.since for turn in self._turns.values())
            timer = threading.Timer(max(0.0, first + self._patience - now), self._look_again)
            timer.daemon = True
            timer.start()

    def _look_again(self) -> None:
        with self._lock:
            self._is_watched = False
            self._begin()

    def _next(self) -> _Turn[K] | None:
        """Give a turn to the first key that may have one; with the lock."""
        if len(self._turns) >= self._at_once:
            return None
        key = next((key for key in self._waiting if key not in self._turns), None)
        if key is None:
            return None
        del self._waiting[key]
        self._turns[key] = turn = _Turn(key, time.monotonic())
        return turn

    def _run(self, first: _Turn[K]) -> None:
        turn: _Turn[K] | None = first
        while turn is not None:
            attempt(self._work, turn.key)
            turn = self._end(turn)

    def _end(self, turn: _Turn[K]) -> _Turn[K] | None:
        """End a turn; return the thread's next one, if there is any."""
        with self._lock:
            if self._turns.get(turn.key) is turn:
                del self._turns[turn.key]
            following = self._next()
            if following is None:
                self._threads -= 1
                self._begin()
            return following


def attempt(work: Callable[[K], None], key: K) -> None:
    """Do it; whatever fails is logged, and keeps nobody from the next key."""
    try:
        work(key)
    except (Failure, lib_exc.NeutronException, db_exc.DBError) as error:
        LOG.warning("Not looked at %s, the sweep will: %s", key or "all", error)
    except Exception:
        # No failure that we know, and not always a bug: if all connections to the database are
        # taken for long, SQLAlchemy raises what is no DBError.
        LOG.exception("The look at %s broke, the sweep will look again", key or "all")


class Looks:
    """Looks at routers one after another in a thread of its own.

    `no_address` is the code of the problem that a freed address may heal. `urgent` is called
    before the look when an agent was enabled or disabled.
    """

    def __init__(
        self,
        store: RouterStore,
        look: Callable[[RouterId], None],
        no_address: str,
        urgent: Callable[[RouterId], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._look = look
        self._no_address = no_address
        self._urgent = urgent
        self._looks: Line[RouterId | None] = Line(self._look_at)

    def add(self, router_id: RouterId | None) -> None:
        """Name a router to look at, or None for those that wait for an address."""
        self._looks.add(router_id)

    def subscribe(self) -> None:
        """Listen to what this process itself changes in Neutron."""
        registry.subscribe(self._address_freed, resources.PORT, events.AFTER_DELETE)
        for event in (events.AFTER_CREATE, events.AFTER_UPDATE):
            registry.subscribe(self._address_freed, resources.SUBNET, event)  # its pools, perhaps
        registry.subscribe(self._router_changed, resources.ROUTER, events.AFTER_UPDATE)
        registry.subscribe(self._agent_changed, resources.AGENT, events.BEFORE_RESPONSE)
        for event in (events.AFTER_CREATE, events.AFTER_DELETE):
            registry.subscribe(self._router_changed, resources.ROUTER_INTERFACE, event)

    def _address_freed(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        self.add(None)

    def _agent_changed(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        """Look at all routers, those on the agent's host first: it may have been disabled."""
        agent = (payload.latest_state or {}).get("agent", {})
        if agent.get("agent_type") != AGENT_TYPE:
            return
        rows = self._store.list_router_rows(n_context.get_admin_context())
        for row in sorted(rows, key=lambda row: row.host != agent.get("host")):
            self._urgent(row.router_id)
            self.add(row.router_id)

    def _router_changed(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        self.add(RouterId(payload.resource_id))

    def _look_at(self, router_id: RouterId | None) -> None:
        context = n_context.get_admin_context()
        if router_id is None:
            # Each port of the cloud that is deleted asks for this.
            for row in self._store.list_rows_with_problem(context, self._no_address):
                self._look(row.router_id)
        elif self._store.get_router_row(context, router_id) is not None:
            self._look(router_id)


class Leftovers:
    """Removes what is ours of routers that have no VPN: a crash between two steps leaves it."""

    def __init__(self, store: RouterStore, nb: Any, ports: PublicPorts) -> None:
        self._store = store
        self._nb = nb
        self._ports = ports

    @periodics.periodic(spacing=LEFTOVERS_INTERVAL, run_immediately=True)
    def sweep(self) -> None:
        """Do one pass, if this worker is the active one."""
        # Every controller has such a worker; Neutron's lock on the database chooses one.
        if self._nb.idl.is_lock_contended:
            return
        try:
            self.remove()
        except (Failure, lib_exc.NeutronException, db_exc.DBError) as error:
            LOG.warning("Leftovers stay until the next pass: %s", error)

    def remove(self) -> None:
        """Remove northbound rows and public ports whose router the database doesn't know."""
        context = n_context.get_admin_context()
        # Read before the rows: what is made meanwhile has its row first.
        steered = northbound.routers(self._nb)
        connected = self._ports.routers(context)
        known = {row.router_id for row in self._store.list_router_rows(context)}
        for router_id, revision in steered.items():
            if router_id not in known:
                LOG.info("Removing the northbound rows of router %s", router_id)
                northbound.remove(self._nb, router_id, revision)
        for router_id in connected - known:
            LOG.info("Removing the public port of router %s", router_id)
            self._ports.remove(context, router_id)
