"""How OVN is told to send a router's VPN traffic through its namespace, as values.

A transit switch joins the router and the namespace. Router policies reroute each selector's
packets to it, exact on source and destination, and drop them where the reroute can't be:
ovn-northd omits, with a log line only, a reroute whose next hop it can't reach. Everything is
derived from the router's id and its selectors, so that two writers write the same.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import ipaddress
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from swanherd.core.covering import covering, within
from swanherd.core.model import (
    Attachment,
    IPAddress,
    IPInterface,
    IPNetwork,
    PortId,
    Reason,
    RouterId,
    TrafficSelector,
)

ROUTER_ADDRESSES: tuple[IPInterface, ...] = (
    ipaddress.ip_interface("169.254.0.1/30"),
    ipaddress.ip_interface("fd5a:4e84:d7c1::1/126"),
)
NAMESPACE_ADDRESSES: tuple[IPInterface, ...] = (
    ipaddress.ip_interface("169.254.0.2/30"),
    ipaddress.ip_interface("fd5a:4e84:d7c1::2/126"),
)
TRANSIT_NETWORKS: tuple[IPNetwork, ...] = tuple(i.network for i in ROUTER_ADDRESSES)

# For so many selectors their rows: of a router that changes nearly all are as before.
_REMEMBERED = 2**14

# All ids of ours are uuid5 in this namespace.
_IDS = uuid.UUID("6f1d5bd0-8a53-4c1e-9b0b-5d9a4c5f7e21")


class Priority(enum.IntEnum):
    """Priorities of our router policies; the highest that matches decides."""

    # Nothing but the namespace and the router speaks to the transit, whatever a selector covers.
    SHIELD = 1200
    # What the namespace sends was decrypted: its guard has seen to that.
    DECRYPTED = 1150
    # What lies behind this router, or is the peer itself, stays out of a selector that covers it.
    EXEMPT = 1100
    # A selector in reverse that comes in any other way came in clear. Neither is a selector's
    # packet from outside one of its local subnet, whatever it says of itself.
    CLEAR = 1050
    REROUTE = 1000
    # The same match as REROUTE: takes over where northd omits that one.
    BLOCK = 900
    # What isn't of a selector goes on to the gateway although its peer CIDR has a `Route`.
    PASS = 850
    # What only a covering network (see `_covering`) routes to the transit.
    STRAY = 800


class Action(enum.StrEnum):
    """What a router policy does, in OVN's words."""

    ALLOW = "allow"
    DROP = "drop"
    REROUTE = "reroute"


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """A Logical_Router_Policy (ovn-nb(5)); `nexthop` only with REROUTE."""

    priority: int
    match: str
    action: Action
    nexthop: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Route:
    """A Logical_Router_Static_Route (ovn-nb(5)) of the main table."""

    prefix: str
    nexthop: str


@dataclasses.dataclass(frozen=True, slots=True)
class RouterPort:
    """The Logical_Router_Port of the transit, and its peer on the transit switch.

    `beside`: the Neutron network to which it says that it belongs (see `Surroundings`).
    """

    name: str
    peer: str
    mac: str
    networks: frozenset[str]
    beside: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class NamespacePort:
    """The Logical_Switch_Port of the namespace; `host` is the chassis that may bind it."""

    name: str
    mac: str
    addresses: frozenset[str]
    host: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Northbound:
    """All rows of one router that are ours in the northbound database, at one revision."""

    router_id: RouterId
    revision: int
    switch: str
    router_port: RouterPort
    namespace_port: NamespacePort
    policies: frozenset[Policy]
    routes: frozenset[Route] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies around a router's VPN.

    `connected` are the subnets of the router's internal interfaces; `peers` the addresses of its
    peers; `default_routes` the IP versions of which the router has a default route. `gateways` are
    the next hops of default routes that have no other beside them; `routed` is where every other
    route leads, those to connected networks too. `network_id` is an internal network that stays
    with the router as long as the VPN does, if there is one. `outside` is the router's port on the
    external network.
    """

    connected: frozenset[IPNetwork] = frozenset()
    peers: frozenset[IPAddress] = frozenset()
    default_routes: frozenset[int] = frozenset()
    gateways: frozenset[IPAddress] = frozenset()
    routed: frozenset[IPNetwork] = frozenset()
    network_id: str | None = None
    outside: str | None = None


def _id(router_id: RouterId, part: str) -> uuid.UUID:
    return uuid.uuid5(_IDS, f"{router_id}/{part}")


def _mac(router_id: RouterId, part: str) -> str:
    """Return a MAC address, unicast and locally administered (IEEE 802, §8.2.2)."""
    first, *rest = _id(router_id, part).bytes[:6]
    return ":".join(f"{byte:02x}" for byte in ((first & 0xFC) | 0x02, *rest))


def public_port_id(router_id: RouterId) -> PortId:
    """Return the id of the router's Neutron port on the external network."""
    return PortId(str(_id(router_id, "public")))


def transit_port_id(router_id: RouterId) -> PortId:
    """Return the name of the namespace's port on the transit switch."""
    return PortId(str(_id(router_id, "namespace")))


def transit_attachment(router_id: RouterId, mtu: int) -> Attachment:
    """Return the namespace's side of the transit; mtu in bytes."""
    return Attachment(
        port_id=transit_port_id(router_id),
        mac=_mac(router_id, "namespace"),
        addresses=NAMESPACE_ADDRESSES,
        gateways=tuple(i.ip for i in ROUTER_ADDRESSES),
        mtu=mtu,
    )


def northbound_of(
    router_id: RouterId,
    revision: int,
    host: str | None,
    selectors: Iterable[TrafficSelector],
    around: Surroundings,
) -> Northbound:
    """Return the rows for the selectors of all connections, those that are down too."""
    every = frozenset(selectors)
    steered = steerable(every, around)
    backed = _backed(steered, around)
    peer = str(_id(router_id, "router"))
    name = f"lrp-{peer}"
    return Northbound(
        router_id=router_id,
        revision=revision,
        switch=f"swanherd-{router_id}",
        router_port=RouterPort(
            name=name,
            peer=peer,
            mac=_mac(router_id, "router"),
            networks=frozenset(str(i) for i in (*ROUTER_ADDRESSES, *_covering(steered, around))),
            beside=around.network_id,
        ),
        namespace_port=NamespacePort(
            name=transit_port_id(router_id),
            mac=_mac(router_id, "namespace"),
            addresses=frozenset(str(i.ip) for i in NAMESPACE_ADDRESSES),
            host=host,
        ),
        policies=frozenset(
            (
                *_policies(name, steered, around),
                *_inbound_policies(name, every, around),
                *(_pass(network, gateway) for network, gateway in backed.items()),
            )
        ),
        routes=frozenset(Route(str(n), str(_namespace_address(n.version))) for n in backed),
    )


def steerable(
    selectors: Iterable[TrafficSelector], around: Surroundings
) -> tuple[TrafficSelector, ...]:
    """Return the selectors that OVN can steer, in order; the others go nowhere by themselves.

    Without a default route a packet to anywhere is dropped before the policies are asked.
    """
    routed = (s for s in set(selectors) if _is_steerable(s, around))
    return tuple(sorted(routed, key=lambda s: s.sort_key))


def _is_steerable(selector: TrafficSelector, around: Surroundings) -> bool:
    return bool(selector.remote.prefixlen) or _has_default(selector.remote, around)


def limitations(
    selectors: Mapping[str, Iterable[TrafficSelector]], around: Surroundings
) -> dict[str, Reason]:
    """Return why a connection can't be steered, for each that can't; the others can."""
    reasons = {name: _limitation(of_one, around) for name, of_one in selectors.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _limitation(selectors: Iterable[TrafficSelector], around: Surroundings) -> Reason | None:
    unrouted = [s for s in selectors if not _is_steerable(s, around)]
    if not unrouted:
        return None
    families = " and ".join(sorted({f"IPv{s.remote.version}" for s in unrouted}))
    return Reason(
        "default_route_missing",
        f"A peer CIDR covers all of {families}, but the router has no default route of it.",
        "Give the external network a subnet of that family with a gateway, or narrow the CIDR.",
    )


def _has_default(network: IPNetwork, around: Surroundings) -> bool:
    return network.version in around.default_routes


def _policies(
    port: str, selectors: Sequence[TrafficSelector], around: Surroundings
) -> Iterator[Policy]:
    for transit in TRANSIT_NETWORKS:
        ip = f"ip{transit.version}"
        foreign = f"{ip}.dst == {transit} && {ip}.src != {transit}"
        yield Policy(Priority.SHIELD, foreign, Action.DROP)
        if transit.version not in around.default_routes:
            stray = f'outport == "{port}" && {ip}.dst != {transit}'
            yield Policy(Priority.STRAY, stray, Action.DROP)
    meant = _meant(selectors)
    for selector in selectors:
        yield from _outbound(selector)
        for network in exempt(selector.remote, meant, around):
            yield Policy(Priority.EXEMPT, _match(selector.local, network), Action.ALLOW)


@functools.lru_cache(_REMEMBERED)
def _outbound(selector: TrafficSelector) -> tuple[Policy, Policy]:
    match = _match(selector.local, selector.remote)
    nexthop = str(_namespace_address(selector.local.version))
    reroute = Policy(Priority.REROUTE, match, Action.REROUTE, nexthop)
    return reroute, Policy(Priority.BLOCK, match, Action.DROP)


@functools.lru_cache(_REMEMBERED)
def _inbound(selector: TrafficSelector, outside: str | None) -> Policy:
    match = _match(selector.remote, selector.local)
    if outside is not None:
        # Else whoever is on the external network could send into the tunnel.
        foreign = f'inport == "{outside}" && {_match(selector.local, selector.remote)}'
        match = f"({match}) || ({foreign})"
    return Policy(Priority.CLEAR, match, Action.DROP)


def _inbound_policies(
    port: str, selectors: frozenset[TrafficSelector], around: Surroundings
) -> Iterator[Policy]:
    """Let in from a peer CIDR to its local subnet what was decrypted, and nothing else.

    And let nobody outside speak for a local subnet.
    """
    for version in (4, 6):
        yield Policy(Priority.DECRYPTED, f'inport == "{port}" && ip{version}', Action.ALLOW)
    meant = _meant(selectors)
    for selector in selectors:
        yield _inbound(selector, around.outside)
        for network in exempt(selector.remote, meant, around):
            yield Policy(Priority.EXEMPT, _match(network, selector.local), Action.ALLOW)


def _backed(
    selectors: Iterable[TrafficSelector], around: Surroundings
) -> dict[IPNetwork, IPAddress]:
    """Return the peer CIDRs that get a route to the namespace, and what their gateway is else.

    The route stands when somebody removes the router's policies: then a selector's packets go
    on into the tunnel, and others to that CIDR are dropped by the namespace's guard. While the
    policies stand, those others must go as ever. That can be said only where nothing but one
    default route leads to the CIDR.
    """
    gateways = {g.version: g for g in around.gateways}
    others = around.routed | around.connected
    return {
        s.remote: gateways[s.remote.version]
        for s in selectors
        if s.remote.prefixlen
        and s.remote.version in gateways
        and not any(_overlap(s.remote, other) for other in others)
    }


@functools.lru_cache(_REMEMBERED)
def _pass(network: IPNetwork, gateway: IPAddress) -> Policy:
    match = f"ip{network.version}.dst == {network}"
    return Policy(Priority.PASS, match, Action.REROUTE, str(gateway))


def _namespace_address(version: int) -> IPAddress:
    return next(i.ip for i in NAMESPACE_ADDRESSES if i.version == version)


def _meant(selectors: Iterable[TrafficSelector]) -> frozenset[IPNetwork]:
    return frozenset(s.remote for s in selectors if s.remote.prefixlen)


def exempt(
    remote: IPNetwork, meant: frozenset[IPNetwork], around: Surroundings
) -> Iterator[IPNetwork]:
    """Yield what a peer CIDR covers without being meant.

    Packets between the router's own subnets never leave. A packet to a peer's own address does:
    only "everywhere" is taken not to mean it, and only if no peer CIDR means it.
    """
    yield from (n for n in around.connected if within(n, remote))
    if remote.prefixlen == 0:
        for host in map(ipaddress.ip_network, around.peers):
            if host.version == remote.version and not any(within(host, m) for m in meant):
                yield host


def _match(source: IPNetwork, destination: IPNetwork) -> str:
    ip = f"ip{source.version}"
    return f"{ip}.src == {source} && {ip}.dst == {destination}"


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return within(one, other) or within(other, one)


def _covering(
    selectors: Iterable[TrafficSelector], around: Surroundings
) -> frozenset[IPInterface]:
    """Return networks for the transit's router port that give each peer CIDR a route.

    Where a family has no default route, a packet is dropped before the policies are asked,
    unless some route covers its destination: a connected network does. The router's address in it
    must not be one that somebody needs, so it is taken from a block beside the peer CIDR.
    """
    wanted = {s.remote for s in selectors if not _has_default(s.remote, around)}
    taken = wanted | {s.local for s in selectors} | around.connected | frozenset(TRANSIT_NETWORKS)
    unrouted = {n for n in wanted if not any(within(n, c) for c in around.connected)}
    return covering(unrouted, taken) if unrouted else frozenset()
