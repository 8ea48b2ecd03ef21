"""What an agent tells swanherdctl: of itself, of a router, and of what is wrong with one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from swanherd.agent import control
from swanherd.agent.doctor import Doctor
from swanherd.core.findings import ClockSeen
from swanherd.core.health import Health
from swanherd.core.model import RouterId
from swanherd.core.tunnels import Timing
from swanherd.dataplane import probe
from swanherd.reconcile.loop import World, preview
from swanherd.reconcile.wheel import Wheel

CONTROL_SOCKET = "agent.sock"


class Teller:
    """Answers for one agent.

    `facts` is its host and what the heartbeat tells, `health` whether it works; `find` turns a
    router's id into the wheel's key.
    """

    def __init__(
        self,
        wheel: Wheel,
        world: World,
        timing: Timing,
        facts: Callable[[], Mapping[str, Any]],
        health: Callable[[], Health],
        find: Callable[[RouterId], RouterId] = lambda router_id: router_id,
    ) -> None:
        self._wheel = wheel
        self._world = world
        self._timing = timing
        self._facts = facts
        self._health = health
        self._find = find
        self._started_at = time.monotonic()
        self._clock_offset = time.time() - self._started_at

    def commands(self) -> Mapping[str, control.Answer]:
        """Return what may be asked."""
        doctor = Doctor(
            self._world.plane,
            self._wheel,
            self._look,
            probe.path_to,
            self._clock_seen,
            time.monotonic,
        )
        return {
            "agent": self._tell_agent,
            "show": self._tell_router,
            "plan": self._tell_plan,
            "doctor": doctor.examine,
            "health": lambda _request: self._health(),
        }

    def _clock_seen(self) -> ClockSeen:
        stepped = time.time() - time.monotonic() - self._clock_offset
        return ClockSeen(probe.clock_is_synchronised(), stepped)

    def _tell_agent(self, request: Mapping[str, Any]) -> Any:
        """Tell of the agent; with the reports, of which there may be many, unless it is brief."""
        told = {
            "uptime_s": round(time.monotonic() - self._started_at, 1),
            "turns": self._wheel.turns.count,
            **self._facts(),
        }
        if request.get("brief"):
            return told
        return told | {"reports": {r.router_id: r for r in self._wheel.reports()}}

    def _tell_router(self, request: Mapping[str, Any]) -> Any:
        seen = self._preview(request)
        if seen is None:
            return {"placed_here": False}
        desired, observed, todo = seen
        report = {r.router_id: r for r in self._wheel.reports()}.get(desired.id)
        return {
            "placed_here": True,
            "data_plane": self._world.plane,
            "desired": desired,
            "observed": {"network": observed.network, "charon": observed.charon},
            "plan": todo.actions,
            "report": report,
        }

    def _tell_plan(self, request: Mapping[str, Any]) -> Any:
        seen = self._preview(request)
        if seen is None:
            return {"placed_here": False, "actions": ()}
        return {"placed_here": True, "actions": seen[2].actions, "look_again": seen[2].look_again}

    def _preview(self, request: Mapping[str, Any]) -> Any:
        return self._look(RouterId(str(request["router"])))

    def _look(self, router_id: RouterId) -> Any:
        timing = dataclasses.replace(self._timing, now=time.monotonic())
        return preview(self._find(router_id), self._world, timing)
