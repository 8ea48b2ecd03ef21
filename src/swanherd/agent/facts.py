"""What an agent tells of itself as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from swanherd.core.model import DataPlane, Role, RouterReport


class Turning(Protocol):
    """What the facts are taken from; `reconcile.wheel.Wheel` fits."""

    def reports(self) -> Sequence[RouterReport]:
        """Return the last report of each router."""
        ...

    def __len__(self) -> int:
        """Return how many routers wait."""
        ...


def facts_of(wheel: Turning, plane: DataPlane) -> dict[str, Any]:
    """Return what `openstack network agent show` tells of an agent, and `swanherdctl show`.

    A namespace that only steers is no router that is served.
    """
    reports = wheel.reports()
    active = [r for r in reports if r.role is Role.ACTIVE and (r.services or r.connections)]
    return {
        "data_plane": str(plane),
        "routers": len(active),
        "standby_routers": sum(r.role is Role.STANDBY for r in reports),
        "connections": sum(len(r.connections) for r in active),
        "queue": len(wheel),
        "log_agent_heartbeats": False,
    }
