"""A stand-in for the Neutron server: it answers the real RPC, out of memory."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swanherd.core.model import DesiredRouter, RouterId, RouterReport, Status
from swanherd.rpc import server
from swanherd.rpc.notifier import AgentNotifier


class StandIn:
    """Some routers with some connections each; remembers what the agent reports."""

    def __init__(self, conf: Any, host: str) -> None:
        self._host = host
        self._notifier = AgentNotifier(conf)
        self._told = threading.Condition()
        self._routers: dict[RouterId, DesiredRouter] = {}
        self._changed: dict[str, int] = {}
        self._status: dict[str, tuple[int, Status]] = {}
        self._revisions: dict[RouterId, int] = {}
        self.reports = 0
        self.asked = 0
        self.compared = 0
        self._rpc = server.start(self, conf, "stand-in")

    # What the agent asks and tells

    def get_router(self, host: str, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be, and of which rows a report is waited for."""
        self.asked += 1
        router = self._routers.get(router_id)
        if router is None:
            return None
        with self._told:
            waits = (c.id for c in router.connections if not self._is_settled(c.id))
            return dataclasses.replace(router, unsettled=tuple(waits))

    def get_revisions(self, host: str) -> Mapping[RouterId, int]:
        """Return the revision of every router."""
        with self._told:
            self.compared += 1
            self._told.notify_all()
        return {r.id: r.revision for r in self._routers.values()}

    def report_status(
        self, host: str, reports: Sequence[RouterReport]
    ) -> Mapping[RouterId, float]:
        """Remember what is true; nothing is served elsewhere."""
        with self._told:
            self.reports += 1
            for report in reports:
                self._revisions[report.router_id] = report.revision
                for row in report.connections:
                    self._status[row.id] = report.revision, row.status
            self._told.notify_all()
        return {}

    # What the benchmark does

    def set(self, routers: Sequence[DesiredRouter], *, hint: bool = True) -> None:
        """Change what some routers should be, and hint the agent."""
        with self._told:
            for router in routers:
                self._changed |= self._changes(router)
            self._routers = {**self._routers, **{r.id: r for r in routers}}
        if hint:
            for router in routers:
                self._notifier.router_changed(self._host, router.id)

    def clear(self) -> None:
        """Take every router away."""
        gone, self._routers = self._routers, {}
        with self._told:
            self._status.clear()
        for router_id in gone:
            self._notifier.router_changed(self._host, router_id)

    def active(self) -> int:
        """Return how many connections the agent has reported ACTIVE at their present revision."""
        with self._told:
            return self._active()

    def wait_active(self, limit: float) -> float:
        """Wait until all connections are ACTIVE at the present revision; seconds it took."""
        began = time.monotonic()
        count = sum(len(r.connections) for r in self._routers.values())
        self._wait(lambda: self._active() == count, limit, f"{count} connections are ACTIVE")
        return time.monotonic() - began

    def wait_row(self, router: DesiredRouter, row_id: str, limit: float) -> None:
        """Wait until one connection is ACTIVE at the router's revision."""
        done = (router.revision, Status.ACTIVE)
        self._wait(lambda: self._status.get(row_id) == done, limit, f"{row_id} is ACTIVE")

    def wait_told(self, limit: float) -> None:
        """Wait until the agent has told of every router at its present revision."""
        wanted = {router.id: router.revision for router in self._routers.values()}
        self._wait(lambda: wanted.items() <= self._revisions.items(), limit, "all are told of")

    def wait_compared(self, limit: float) -> None:
        """Wait until the agent asks for revisions the next time."""
        before = self.compared
        self._wait(lambda: self.compared > before, limit, "the agent compares")

    def stop(self) -> None:
        """Stop answering."""
        self._rpc.stop()
        self._rpc.wait()

    def _changes(self, router: DesiredRouter) -> dict[str, int]:
        """Return at what revision the router's connections have become what they are."""
        before = self._routers.get(router.id)
        known = {c.id: c for c in before.connections} if before is not None else {}
        return {c.id: router.revision for c in router.connections if known.get(c.id) is not c}

    def _is_settled(self, row_id: str) -> bool:
        revision, status = self._status.get(row_id, (0, None))
        return status is Status.ACTIVE and revision >= self._changed.get(row_id, 0)

    def _active(self) -> int:
        return sum(
            self._status.get(c.id, (0, None))[1] is Status.ACTIVE
            for r in self._routers.values()
            for c in r.connections
        )

    def _wait(self, met: Callable[[], bool], limit: float, what: str) -> None:
        with self._told:
            if not self._told.wait_for(met, limit):
                raise TimeoutError(f"{what}: not within {limit:.0f} s ({self._active()} are)")
