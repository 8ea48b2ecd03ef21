"""`swanherdctl doctor`: gathers what is known of a router, and asks its peers."""

from __future__ import annotations

import dataclasses
import ipaddress
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from swanherd.core.diagnosis import diagnose, worst
from swanherd.core.failures import Failure
from swanherd.core.findings import ClockSeen, Facts, PathSeen
from swanherd.core.model import (
    ConnectionId,
    DataPlane,
    DesiredRouter,
    IPAddress,
    RouterId,
    SiteConnection,
)
from swanherd.core.planner import Observed, Plan
from swanherd.reconcile.wheel import Wheel

# Half of what a privsep helper does at once (`dataplane.privileged`): a peer that is silent keeps
# one of its threads for 1.5 s, and turns need others.
_AT_ONCE = 8
# More peers than this aren't asked for a whole router: it would take too long, and the table too.
_MOST_PEERS = 64

Preview = Callable[[RouterId], tuple[DesiredRouter, Observed, Plan] | None]
Probe = Callable[[RouterId, IPAddress, IPAddress, int], PathSeen]


@dataclasses.dataclass(frozen=True, slots=True)
class Doctor:
    """Examines routers of this agent; `clock` and `now` (monotonic) tell the time of the look."""

    plane: DataPlane
    wheel: Wheel
    preview: Preview
    probe: Probe
    clock: Callable[[], ClockSeen]
    now: Callable[[], float]
    # For all who ask at the same time.
    _places: threading.BoundedSemaphore = dataclasses.field(
        default_factory=lambda: threading.BoundedSemaphore(_AT_ONCE)
    )

    def examine(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the findings for the router or the connection whose id is asked for."""
        asked = str(request["id"])
        router_id, connection_id = self._find(asked)
        seen = self.preview(router_id)
        if seen is None:
            return {"placed_here": False}
        desired, observed, todo = seen
        facts = Facts(
            desired,
            observed,
            todo,
            self.plane,
            self.now(),
            self.clock(),
            {r.router_id: r for r in self.wheel.reports()}.get(desired.id),
            self.wheel.failures().get(desired.id),
            self._paths(desired, connection_id),
        )
        findings = diagnose(facts, connection_id)
        return {
            "placed_here": True,
            "router": desired.id,
            "connection": connection_id,
            "data_plane": self.plane,
            "verdict": worst(findings),
            "findings": findings,
        }

    def _find(self, asked: str) -> tuple[RouterId, ConnectionId | None]:
        for report in self.wheel.reports():
            if any(row.id == asked for row in report.connections):
                return report.router_id, ConnectionId(asked)
        return RouterId(asked), None

    def _paths(self, desired: DesiredRouter, only: ConnectionId | None) -> Mapping[str, PathSeen]:
        wanted = {
            connection.peer_address: ends
            for connection in desired.connections
            if only in (None, connection.id) and (ends := _ends(connection))
        }
        mtu = desired.public.mtu if desired.public else 1500

        def ask(ends: tuple[IPAddress, IPAddress]) -> PathSeen | None:
            try:
                with self._places:
                    return self.probe(desired.id, *ends, mtu)
            except Failure:
                return None  # the namespace isn't there: another finding says so

        peers = sorted(wanted)[:_MOST_PEERS]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = pool.map(ask, (wanted[peer] for peer in peers))
        return {peer: path for peer, path in zip(peers, answers, strict=True) if path}


def _ends(connection: SiteConnection) -> tuple[IPAddress, IPAddress] | None:
    """Return the addresses of both ends, if the peer has one of our address' family."""
    try:
        peer = ipaddress.ip_address(connection.peer_address)
    except ValueError:
        return None
    local = connection.local_address
    if local is None or local.version != peer.version or peer.is_unspecified:
        return None
    return local, peer
