"""What an agent tells whoever monitors it. Nothing here asks charon, the server or the kernel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Protocol

from swanherd.core.health import Health, Southbound, Vitals, health_of
from swanherd.core.home import runs_charon
from swanherd.core.metrics import About, Family, RouterSeen, Snapshot, metrics_of
from swanherd.core.model import DataPlane, RouterId
from swanherd.core.tally import Tally
from swanherd.reconcile.loop import Look
from swanherd.reconcile.wheel import Wheel

# What the codes of failures to talk to charon begin with; why one that isn't running isn't.
_CHARON = "charon_"
NOT_RUNNING = "charon_not_running"


class Counting(Protocol):
    """What is known of the daemons without asking them; `swan.adapter.StrongSwan` fits."""

    def tally(self, router_id: RouterId) -> Tally:
        """Return what the router's tunnels have done, as far as it was seen."""
        ...

    def memory(self, router_id: RouterId) -> int | None:
        """Return the bytes of memory that the router's charon holds."""
        ...


class Monitor:
    """Reads one agent; `southbound` is asked where there is OVN, `compare_interval` in seconds."""

    def __init__(
        self,
        about: About,
        wheel: Wheel,
        swan: Counting,
        compare_interval: float,
        southbound: Callable[[], Southbound | None] = lambda: None,
    ) -> None:
        self._about = about
        self._wheel = wheel
        self._swan = swan
        self._compare_interval = compare_interval
        self._southbound = southbound
        self._answered: float | None = None

    def server_answered(self) -> None:
        """Take note that the server has just answered a comparison."""
        self._answered = time.monotonic()

    def health(self) -> Health:
        """Return whether the agent works."""
        return self._health(self._wheel.looks())

    def metrics(self) -> tuple[Family, ...]:
        """Return the metrics of this moment."""
        looks, now = self._wheel.looks(), time.monotonic()
        southbound = self._southbound()
        return metrics_of(
            Snapshot(
                about=self._about,
                now=now,
                clock=time.time() - now,
                turns=self._wheel.turns,
                waiting=len(self._wheel),
                health=self._health(looks),
                fenced=southbound is not None and southbound.fenced,
                routers={key: self._seen(key, look) for key, look in looks.items()},
                failures=self._wheel.failures(),
            )
        )

    def _health(self, looks: Mapping[RouterId, Look]) -> Health:
        return health_of(
            Vitals(
                now=time.monotonic(),
                turns=self._wheel.turns,
                waiting=len(self._wheel),
                answered=self._answered,
                compare_interval=self._compare_interval,
                silent=self._silent(looks),
                southbound=self._southbound(),
            )
        )

    def _silent(self, looks: Mapping[RouterId, Look]) -> Mapping[RouterId, str]:
        failures = self._wheel.failures()
        silent = {
            key: NOT_RUNNING
            for key, look in looks.items()
            if runs_charon(look.desired) and not look.charon_runs
        }
        failed = {k: r.code for k, r in failures.items() if r.code.startswith(_CHARON)}
        return silent | failed

    def _seen(self, key: RouterId, look: Look) -> RouterSeen:
        memory = self._swan.memory(key)
        return RouterSeen(
            look.desired, look.charon_runs, look.report, self._swan.tally(key), memory
        )


def about(backend: str, plane: DataPlane) -> About:
    """Return what an agent of this installation is."""
    return About(metadata.version("swanherd"), backend, plane)
