"""What brings a change of roles about at once: rows of the southbound database, and the fence."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

from swanherd.agent.roles import Remembering, RoleSource
from swanherd.core.failures import Failure
from swanherd.core.model import PortId, RouterId
from swanherd.core.network import PUBLIC_DEVICE
from swanherd.core.takeover import Hold
from swanherd.ovn.bindings import Bindings

LOG = logging.getLogger(__name__)

# Seconds between looks at the database, and while it is connected but hasn't told all yet.
TICK, SOON = 0.5, 0.05


class Looking(Protocol):
    """What turns for routers; `reconcile.wheel.Wheel` fits."""

    def look_again(self, router_id: RouterId) -> None:
        """Queue a router."""
        ...

    def look_at_known(self) -> None:
        """Queue every router of which something is here."""
        ...


class Announcing(Protocol):
    """What speaks to the neighbours; `agent.node.OvnNode` fits."""

    def announce(self, router_id: RouterId, device: str) -> None:
        """Tell the device's neighbours that its addresses are here now; returns at once."""
        ...


class Takeover:
    """Watches which router's port is here. `patience` in seconds: see `RoleSource`.

    A port that comes is announced at once, from before its flows are there until after.
    """

    def __init__(
        self, bindings: Bindings, source: Remembering, node: Announcing, patience: float
    ) -> None:
        self._bindings = bindings
        self._node = node
        self.roles = RoleSource(source, bindings, time.monotonic, patience)
        self._events: queue.SimpleQueue[PortId | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        # Where those of our routers' ports are that are here, or coming.
        self._holds: dict[PortId, Hold] = {}

    def start(self, wheel: Looking) -> None:
        """Begin to watch; what is found is queued in the wheel."""
        for name, work in (("takeover", self._follow), ("fence", self._watch)):
            threading.Thread(target=work, args=(wheel,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopping.set()
        self._events.put(None)
        self._bindings.close()

    def is_current(self) -> bool:
        """Tell whether the southbound database has told all about this chassis."""
        return self._bindings.is_complete()

    def on_port(self, port_id: PortId) -> None:
        """Take note that something is new about a port; returns at once."""
        self._events.put(port_id)

    def _follow(self, wheel: Looking) -> None:
        """Look at the routers whose ports come and go; announce those that come."""
        while (port_id := self._events.get()) is not None:
            router_id = self.roles.router_of(port_id)
            if router_id is None:
                self._holds.pop(port_id, None)
                continue
            wheel.look_again(router_id)
            try:
                self._take(router_id, port_id)
            except Failure as failure:
                LOG.info("Router %s isn't announced: %s", router_id, failure)

    def _take(self, router_id: RouterId, port_id: PortId) -> None:
        """Take note of where a port is now; announce one that comes, once it could be."""
        hold = self.roles.hold(router_id, port_id)
        if hold is Hold.ELSEWHERE:
            self._holds.pop(port_id, None)
        elif hold is not self._holds.get(port_id):
            self._node.announce(router_id, PUBLIC_DEVICE)
            self._holds[port_id] = hold

    def _watch(self, wheel: Looking) -> None:
        """Keep the database connected; look at all routers when it is known or away too long."""
        told: tuple[bool, bool] | None = None
        pause = 0.0
        while not self._stopping.wait(pause):
            goes_well = _try(self._bindings.connect)
            now = self.roles.fenced, self._bindings.is_complete()
            if now != told:
                _tell(*now)
                looked = _try(wheel.look_at_known)
                told = now if looked else told
                goes_well = goes_well and looked
            pause = SOON if goes_well and not now[1] else TICK


def _try(work: Callable[[], None]) -> bool:
    """Tell whether it went well; if not the reason is in the log."""
    try:
        work()
    except Failure as failure:
        LOG.warning("southbound: %s", failure)
        return False
    return True


def _tell(fenced: bool, complete: bool) -> None:
    LOG.info("southbound database: %s", "current" if complete else "not current")
    if fenced:
        LOG.error("Fenced: the southbound database is away, another may serve")
