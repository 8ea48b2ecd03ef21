"""From neutron-vpnaas to Swanherd and back: what would be done for a router, and what prevents it.

Pure. The steps are what the server's sweep and the agents do by themselves once a router is taken
over; nothing here acts.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Iterator

from swanherd.core.model import Reason, RouterId

_ACTIVE = "ACTIVE"


OF_L3_AGENT = Reason(
    "of_l3_agent",
    "L3 agents have the router: each takes over, or leaves, all that it has.",
    "Exchange the extension of each L3 agent, as docs/migrating.md tells.",
)


class Keeper(enum.StrEnum):
    """Who serves a router's VPN."""

    THEIRS = "neutron-vpnaas"
    OURS = "swanherd"
    RETURNING = "returning"


class Verb(enum.StrEnum):
    """What happens to a thing."""

    KEEP = "keep"
    MAKE = "make"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing and what happens to it, in the order in which it does."""

    verb: Verb
    thing: str
    subject: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Tunnel:
    """A connection as the database has it; `versions` are those of the networks inside."""

    id: str
    name: str
    peer: str
    status: str
    enabled: bool
    versions: frozenset[int] = frozenset({4})


@dataclasses.dataclass(frozen=True, slots=True)
class Objects:
    """What neutron-vpnaas' OVN driver made for a router: ids, None where there is none."""

    status: str
    public_port: str | None
    transit_port: str | None
    transit_subnet: str | None
    transit_network: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Inherited:
    """A router with a VPN: who serves it, and what of neutron-vpnaas it has.

    One that is `of_l3_agent` isn't moved alone, but with its network node.
    """

    router_id: RouterId
    keeper: Keeper
    has_gateway: bool
    objects: Objects | None
    tunnels: tuple[Tunnel, ...]
    of_l3_agent: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Cloud:
    """What all routers have around them: hosts with a live agent, and [swanherd] take_over."""

    agents: frozenset[str]
    on_request: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Passage:
    """What moving one router means: the steps if nothing is in the way."""

    router_id: RouterId
    keeper: Keeper
    steps: tuple[Step, ...]
    obstacles: tuple[Reason, ...]
    tunnels: tuple[Tunnel, ...]


def forth(found: Inherited, cloud: Cloud) -> Passage:
    """Return what taking the router over means; no step if it is ours."""
    if found.keeper is Keeper.OURS:
        return Passage(found.router_id, found.keeper, (), (), found.tunnels)
    steps, obstacles = tuple(_forth(found)), tuple(_against(found, cloud))
    return Passage(found.router_id, found.keeper, steps, obstacles, found.tunnels)


def back(found: Inherited, cloud: Cloud) -> Passage:
    """Return what giving the router back means; no step if it is neutron-vpnaas' already."""
    if found.keeper is Keeper.THEIRS:
        return Passage(found.router_id, found.keeper, (), (), found.tunnels)
    steps, obstacles = tuple(_back(found)), tuple(_against_back(found, cloud))
    return Passage(found.router_id, found.keeper, steps, obstacles, found.tunnels)


def lasting(passage: Passage) -> frozenset[str]:
    """Return the connections that are to be ACTIVE after the move: those that were before it."""
    return frozenset(t.id for t in passage.tunnels if t.enabled and t.status == _ACTIVE)


def outages(
    began: float | None, up: dict[str, float], wanted: Collection[str]
) -> dict[str, float | None]:
    """Return for how long each connection was down, in seconds; None for one that still is."""
    return {
        name: up[name] - began if began is not None and name in up else None
        for name in sorted(wanted)
    }


def _forth(found: Inherited) -> Iterator[Step]:
    yield Step(Verb.MAKE, "policies and transit in OVN")
    objects = found.objects
    if objects is not None:
        if objects.public_port:
            yield Step(Verb.KEEP, "public port and its addresses", objects.public_port)
        if objects.transit_network:
            yield Step(Verb.REMOVE, "router's routes to 169.254.0.2", found.router_id)
        for thing, subject in (
            ("transit port", objects.transit_port),
            ("router interface and transit subnet", objects.transit_subnet),
            ("transit network", objects.transit_network),
        ):
            if subject:
                yield Step(Verb.REMOVE, thing, subject)
    yield Step(Verb.REPLACE, "namespace with its daemons and ports", f"qvpn-{found.router_id}")


def _against(found: Inherited, cloud: Cloud) -> Iterator[Reason]:
    if found.of_l3_agent:
        yield OF_L3_AGENT
        return
    objects = found.objects
    if objects is None:
        yield Reason(
            "not_of_ovn",
            "neutron-vpnaas' OVN driver has no gateway for this router.",
            "If an L3 agent had it, see docs/migrating.md.",
        )
    elif objects.status != _ACTIVE and found.keeper is Keeper.THEIRS:
        yield Reason(
            "gateway_unfinished",
            f"Its gateway in neutron-vpnaas is {objects.status}: what it has isn't all recorded.",
            f"Remove networks and ports named vpn-…-{found.router_id} that no row names, then "
            "set the row's status in vpn_ext_gws to ACTIVE.",
        )
    if not found.has_gateway:
        yield Reason(
            "no_gateway",
            "The router has no external gateway.",
            "Set the router's gateway to the external network.",
        )
    if not cloud.agents:
        yield Reason(
            "no_agent",
            "No agent of Swanherd is alive.",
            "Start swanherd-ovn-agent on each chassis that hosts gateways.",
        )


def _back(found: Inherited) -> Iterator[Step]:
    yield Step(Verb.KEEP, "public port and its addresses")
    yield Step(Verb.MAKE, "transit network, subnet, router interface and port")
    yield Step(Verb.MAKE, "router's routes to 169.254.0.2", found.router_id)
    yield Step(Verb.REMOVE, "policies and transit in OVN")
    yield Step(Verb.REMOVE, "namespace with its daemon", f"qvpn-{found.router_id}")


def _against_back(found: Inherited, cloud: Cloud) -> Iterator[Reason]:
    if found.of_l3_agent:
        yield OF_L3_AGENT
        return
    if not cloud.on_request:
        yield Reason(
            "taken_over_at_once",
            "[swanherd] take_over is at_once: the next sweep would take it over again.",
            "Set take_over = on_request on every controller and restart the servers.",
        )
    for tunnel in found.tunnels:
        if 6 in tunnel.versions:
            yield Reason(
                "ipv6_inside",
                f"Connection {tunnel.id} has IPv6 networks inside.",
                "neutron-vpnaas' OVN driver can't carry them: delete it, or stay.",
            )
