"""What the network of a router's VPN namespace should be, as values."""

from __future__ import annotations

import dataclasses
import enum

from swanherd.core.model import (
    IPAddress,
    IPInterface,
    IPNetwork,
    PortId,
    ScopeMark,
    TrafficSelector,
)

TRANSIT_DEVICE = "tr0"
PUBLIC_DEVICE = "ex0"
TUNNEL_DEVICE = "ipsec0"  # kernel-libipsec's TUN device

MAIN_TABLE = 254
UNREACHABLE = 0  # no table (RT_TABLE_UNSPEC): the rule answers by itself that there is no way
BLACKHOLE = -1  # no table either, and no answer


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
    """A routing rule of the namespace: traffic of the selector looks up `table`.

    Without a priority, the narrower selector is asked first, before charon's own rule. Where
    there is a `device`, it is of what came by that device alone.
    """

    selector: TrafficSelector
    table: int
    priority: int = 0
    device: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class GuardPair:
    """A selector that crosses the namespace encrypted or not at all; mss in bytes."""

    selector: TrafficSelector
    mss: int


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
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


class Way(enum.StrEnum):
    """How a pair's packets may leave a router's own namespace."""

    TUNNEL = "tunnel"  # by charon's TUN device
    XFRM = "xfrm"  # transformed by the kernel
    DETOUR = "detour"  # to the distributed router's central part, by the device they came from


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class RouterGuard:
    """What is ours of the firewall in a router's own namespace; all else passes as it did.

    A pair's packets go their `way` or are dropped, are never translated, and `exempt` are what a
    pair covers without being meant. `addresses` are the public ones, of which IKE and ESP aren't
    translated either; `silent` drops those. Packets that were decrypted get the `marks`.
    """

    way: Way
    public: str
    addresses: frozenset[IPAddress]
    pairs: frozenset[GuardPair]
    exempt: frozenset[TrafficSelector] = frozenset()
    marks: frozenset[ScopeMark] = frozenset()
    silent: bool = False

    @property
    def tunnel(self) -> str | None:
        """The TUN device, where there is one."""
        return TUNNEL_DEVICE if self.way is Way.TUNNEL else None


@dataclasses.dataclass(frozen=True, slots=True)
class Network:
    """The whole network of a namespace. `host_addresses` are put on lo as /32 and /128.

    `tunnel_routes` can exist only while charon runs (userspace ESP makes the device).
    """

    links: frozenset[Link]
    host_addresses: frozenset[IPAddress]
    routes: frozenset[Route]
    rules: frozenset[Rule]
    guard: Guard | RouterGuard


class Direction(enum.StrEnum):
    """Of which packets a kernel policy speaks (ip-xfrm(8))."""

    IN = "in"
    OUT = "out"
    FORWARD = "fwd"


@dataclasses.dataclass(frozen=True, slots=True)
class KernelSa:
    """An SA that the kernel's XFRM has a key for; protocol 50 is ESP, 51 AH."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    spi: int


@dataclasses.dataclass(frozen=True, slots=True)
class Welcome:
    """By which SAs a policy of ours lets packets in, whoever the peer is: any of these tunnels.

    They are told by protocol, 50 or 51, and reqid, in order. Of two policies that match, that of
    the lower `priority` holds. What goes out goes by one, whose `ends` are told, ours first.
    """

    tunnels: tuple[tuple[int, int], ...]
    priority: int
    ends: tuple[IPAddress, IPAddress] | None = None


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class KernelPolicy:
    """A policy of the kernel's XFRM; the selector is seen from here, whatever the direction.

    `welcome` is None of those that aren't ours, but charon's.
    """

    selector: TrafficSelector
    direction: Direction
    welcome: Welcome | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Nameless:
    """A namespace that has lost its name, and lives on since charon is in it.

    `pid` is charon's; by `inode` the kernel knows the namespace; `devices` are all in it.
    """

    pid: int
    inode: int
    devices: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Duplicate:
    """An address of a router's own device that it may not use: another node had it when asked.

    IPv6 asks once (RFC 4862 §5.4); who gets the address while another still has it stays without.
    """

    device: str
    interface: IPInterface


@dataclasses.dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """What the namespace's network is. Only what is ours is listed.

    Devices that are ours are `tr0` and `ex0`; routes and rules of ours carry our own protocol
    number. `guard` is None when our nft table isn't there or isn't what we wrote.
    Of a router's own namespace that isn't there, `nameless` is what had the name before; of one
    that is there, `addresses` are all that its devices have, `duplicates` those of them that they
    can't use.
    """

    exists: bool
    links: frozenset[Link] = frozenset()
    host_addresses: frozenset[IPAddress] = frozenset()
    routes: frozenset[Route] = frozenset()
    rules: frozenset[Rule] = frozenset()
    guard: Guard | RouterGuard | None = None
    devices: frozenset[str] = frozenset()
    kernel_sas: frozenset[KernelSa] = frozenset()
    kernel_policies: frozenset[KernelPolicy] = frozenset()
    nameless: Nameless | None = None
    addresses: frozenset[IPAddress] = frozenset()
    duplicates: frozenset[Duplicate] = frozenset()


# Actions


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureNamespace:
    """Make the namespace, lo up, forwarding on, and a guard that drops everything forwarded.

    One that is Neutron's can't be made, only waited for.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class NameNamespace:
    """Give a router's own namespace, in which that process is, the name that it has lost."""

    pid: int
    inode: int


@dataclasses.dataclass(frozen=True, slots=True)
class AwaitAddress:
    """Go on only if a router's own namespace has the address, which Neutron gives it."""

    address: IPAddress


@dataclasses.dataclass(frozen=True, slots=True)
class ClaimAgain:
    """Let a device of the router's ask again for an address that another had; then look again."""

    duplicate: Duplicate


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveNamespace:
    """Remove the namespace, our ports in br-int and the router's files.

    Of one that is Neutron's: remove all that is ours in it.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureGuard:
    """Replace the firewall atomically."""

    guard: Guard | RouterGuard


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


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveKernelSa:
    """Remove an SA that no charon knows."""

    sa: KernelSa


@dataclasses.dataclass(frozen=True, slots=True)
class EnsureKernelPolicy:
    """Add a policy of ours, or replace the one of the same selector and direction."""

    policy: KernelPolicy


@dataclasses.dataclass(frozen=True, slots=True)
class RemoveKernelPolicy:
    """Remove a policy that no charon knows."""

    policy: KernelPolicy


# What is done alike in a namespace of ours and in a router's own.
InsideAction = (
    EnsureRoute
    | RemoveRoute
    | EnsureRule
    | RemoveRule
    | RemoveKernelSa
    | EnsureKernelPolicy
    | RemoveKernelPolicy
)

NetworkAction = (
    EnsureNamespace
    | NameNamespace
    | AwaitAddress
    | ClaimAgain
    | RemoveNamespace
    | EnsureGuard
    | EnsureLink
    | RemoveLink
    | EnsureHostAddress
    | RemoveHostAddress
    | InsideAction
)
