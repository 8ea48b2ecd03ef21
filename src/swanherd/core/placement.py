"""Which host serves a router: the VPN goes where OVN has put the router's gateway."""

from __future__ import annotations

import dataclasses

from swanherd.core.model import Reason

NO_AGENT = Reason(
    "no_agent",
    "No chassis that may host the router's gateway runs a VPN agent.",
    "The operator must start swanherd-ovn-agent on the gateway chassis.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """Hosts of a router's gateway: the active one, and all candidates by falling priority."""

    active: str | None = None
    candidates: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Agents:
    """Hosts of VPN agents: those that Neutron knows, and of these the ones that answer."""

    known: frozenset[str] = frozenset()
    alive: frozenset[str] = frozenset()


def choose(current: str | None, gateway: Gateway, agents: Agents) -> str | None:
    """Return the host that should serve a router that `current` serves now; None if none can.

    A lost heartbeat alone moves nothing: where the gateway is, charon goes on without its agent.
    """
    if current == gateway.active and current in agents.known:
        return current
    if gateway.active in agents.alive:
        return gateway.active
    usable = [host for host in gateway.candidates if host in agents.alive]
    if current in usable or not usable:
        return current
    return usable[0]
