"""What the network of a router's VPN namespace should be, as values."""

from __future__ import annotations

import dataclasses

from swanherd.core.model import IPAddress, IPInterface, IPNetwork, PortId, TrafficSelector

TRANSIT_DEVICE = "tr0"
PUBLIC_DEVICE = "ex0"
TUNNEL_DEVICE = "ipsec0"  # kernel-libipsec's TUN device


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A veth pair: `name` in the namespace, its other end a port of br-int with our iface-id."""

    name: str
    port_id: PortId
    mac: str
    mtu: int
    addresses: frozenset[IPInterface]


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A route in the namespace; table 254 is main, mtu 0 means the device's own."""

    destination: IPNetwork
    device: str
    gateway: IPAddress | None = None
    table: int = 254
    mtu: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A routing rule of the namespace: traffic of the selector looks up `table`."""

    selector: TrafficSelector
    table: int


@dataclasses.dataclass(frozen=True, slots=True)
class GuardPair:
    """A selector that crosses the namespace encrypted or not at all; mss in bytes."""

    selector: TrafficSelector
    mss: int


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """The namespace's firewall: everything that isn't listed is dropped.

    `tunnel` is the TUN device through which protected traffic must pass, or None where the
    kernel's XFRM protects it (then the packet itself must carry an IPsec transformation).
    A `silent` guard lets nothing in or out but on lo: what a standby's charon sends stays here.
    """

    transit: str
    public: str
    tunnel: str | None
    pairs: frozenset[GuardPair]
    silent: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """The whole network of a namespace. `host_addresses` are put on lo as /32 and /128.

    `tunnel_routes` can exist only while charon runs (userspace ESP makes the device).
    """

    links: frozenset[Link]
    host_addresses: frozenset[IPAddress]
    routes: frozenset[Route]
    rules: frozenset[Rule]
    guard: Guard


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """What the namespace's network is. Only what is ours is listed.

    Devices that are ours are `tr0` and `ex0`; routes and rules of ours carry our own protocol
    number. `guard` is None when our nft table isn't there or isn't what we wrote.
    """

    exists: bool
    links: frozenset[Link] = frozenset()
    host_addresses: frozenset[IPAddress] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: frozenset[Rule] = frozenset()
    guard: Guard | None = None
    devices: frozenset[str] = frozenset()


# Actions


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureNamespace:
    """Make the namespace, lo up, forwarding on, and a guard that drops everything forwarded."""


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveNamespace:
    """Remove the namespace, our ports in br-int and the router's files."""


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureGuard:
    """Replace the firewall atomically."""

    guard: Guard


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureLink:
    """Make the link or bring it to this shape."""

    link: Link


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveLink:
    """Remove a link of ours and its port in br-int."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureHostAddress:
    """Put an address on lo."""

    address: IPAddress


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveHostAddress:
    """Take an address from lo."""

    address: IPAddress


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureRoute:
    """Add or replace a route."""

    route: Route


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Remove a route."""

    route: Route


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureRule:
    """Add a routing rule."""

    rule: Rule


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveRule:
    """Remove a routing rule."""

    rule: Rule


NetworkAction = (
    EnsureNamespace
    | RemoveNamespace
    | EnsureGuard
    | EnsureLink
    | RemoveLink
    | EnsureHostAddress
    | RemoveHostAddress
    | EnsureRoute
    | RemoveRoute
    | EnsureRule
    | RemoveRule
)
