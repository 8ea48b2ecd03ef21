"""What a VPN service is, in Neutron's and IPsec's own words. Values only."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from typing import NewType

RouterId = NewType("RouterId", str)
ServiceId = NewType("ServiceId", str)
ConnectionId = NewType("ConnectionId", str)
PortId = NewType("PortId", str)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Status(enum.StrEnum):
    """Neutron's operational status of a VPN resource."""

    PENDING_CREATE = "PENDING_CREATE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    ACTIVE = "ACTIVE"
    DOWN = "DOWN"
    ERROR = "ERROR"


class Initiator(enum.StrEnum):
    """Who may begin a negotiation."""

    BI_DIRECTIONAL = "bi-directional"
    RESPONSE_ONLY = "response-only"


class DpdAction(enum.StrEnum):
    """What to do when dead peer detection finds the peer gone."""

    CLEAR = "clear"
    DISABLED = "disabled"
    HOLD = "hold"
    RESTART = "restart"
    RESTART_BY_PEER = "restart-by-peer"


class IkeVersion(enum.StrEnum):
    """Version of the Internet Key Exchange (RFC 2409, RFC 7296)."""

    V1 = "v1"
    V2 = "v2"


class Phase1Mode(enum.StrEnum):
    """IKEv1's exchange for phase 1 (RFC 2409 §5); IKEv2 has none."""

    MAIN = "main"
    AGGRESSIVE = "aggressive"


class Transform(enum.StrEnum):
    """The protocol of the child SA."""

    ESP = "esp"
    AH = "ah"
    AH_ESP = "ah-esp"


class Encapsulation(enum.StrEnum):
    """The mode of the child SA (RFC 4301 §3.2)."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"


class DataPlane(enum.StrEnum):
    """Who encrypts packets: the kernel's XFRM or charon itself (kernel-libipsec)."""

    KERNEL = "kernel"
    USERSPACE = "userspace"


class Role(enum.StrEnum):
    """What an agent does for a router: it serves it, or stands ready and silent."""

    ACTIVE = "active"
    STANDBY = "standby"


@dataclasses.dataclass(frozen=True, slots=True)
class Secret:
    """A secret that can't leak through a log line."""

    value: str = dataclasses.field(repr=False)

    def __str__(self) -> str:
        """Return a placeholder, never the value."""
        return "Secret(…)"


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Reason:
    """Why a status is what it is: a code for programs, a sentence and a hint for people."""

    code: str
    text: str
    hint: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class IkePolicy:
    """How IKE SAs are negotiated, in the API's names; lifetime in seconds."""

    version: IkeVersion
    mode: Phase1Mode
    encryption: str
    integrity: str
    dh_group: str
    lifetime: int


@dataclasses.dataclass(frozen=True, slots=True)
class IpsecPolicy:
    """How child SAs are negotiated, in the API's names; lifetime in seconds."""

    transform: Transform
    mode: Encapsulation
    encryption: str
    integrity: str
    dh_group: str
    lifetime: int


@dataclasses.dataclass(frozen=True, slots=True)
class Dpd:
    """Dead peer detection (RFC 3706); interval and timeout in seconds."""

    action: DpdAction
    interval: int
    timeout: int

    @property
    def watches(self) -> bool:
        """Tell whether the peer is asked at all: not if disabled, nor with an interval of 0."""
        return self.action is not DpdAction.DISABLED and self.interval > 0


@dataclasses.dataclass(frozen=True, slots=True)
class TrafficSelector:
    """One pair of networks of one family that a child SA protects."""

    local: IPNetwork
    remote: IPNetwork

    @property
    def sort_key(self) -> tuple[int, bytes, int, bytes, int]:
        """A total order over both families."""
        return (
            self.local.version,
            self.local.network_address.packed,
            self.local.prefixlen,
            self.remote.network_address.packed,
            self.remote.prefixlen,
        )

    def common(self, other: TrafficSelector) -> TrafficSelector | None:
        """Return the packets that are of both, as one selector; None if there are none."""
        pairs = ((self.local, other.local), (self.remote, other.remote))
        if any(a.version != b.version or not a.overlaps(b) for a, b in pairs):
            return None
        # Of two networks that overlap one is within the other.
        return TrafficSelector(*(max(pair, key=lambda each: each.prefixlen) for pair in pairs))


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class SiteConnection:
    """One IPsec site connection: a peer and the traffic to protect.

    `up` is False when the connection or its service is administratively down: its selectors are
    then still guarded (fail closed), but nothing is negotiated. `local_address` is None while
    the public port has no address of the peer's family. `peer_address` is an IP address, or a
    name that the agent resolves.
    """

    id: ConnectionId
    service_id: ServiceId
    up: bool
    local_address: IPAddress | None
    local_id: str
    peer_address: str
    peer_id: str
    psk: Secret
    initiator: Initiator
    mtu: int
    dpd: Dpd
    ike: IkePolicy
    ipsec: IpsecPolicy
    selectors: tuple[TrafficSelector, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """One vpnservice of a router."""

    id: ServiceId
    up: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A port of br-int that is wired into the router's VPN namespace.

    `port_id` is the iface-id (the name of the logical switch port); `gateways` holds at most
    one address of each family; mtu in bytes.
    """

    port_id: PortId
    mac: str
    addresses: tuple[IPInterface, ...]
    gateways: tuple[IPAddress, ...]
    mtu: int


class HomeNamespace(enum.StrEnum):
    """A namespace that Neutron's L3 agent makes for a router; the prefix of its name."""

    ROUTER = "qrouter"
    CENTRAL = "snat"  # of a distributed router, on the node that has its gateway


@dataclasses.dataclass(frozen=True, slots=True)
class Detour:
    """How a subnet's packets get from a distributed router on their node to its central part.

    `port_id` is the router's interface in the subnet, `gateway` the central part's address there.
    """

    network: IPNetwork
    port_id: PortId
    gateway: IPAddress


@dataclasses.dataclass(frozen=True, slots=True)
class ScopeMark:
    """The mark by which Neutron lets packets into a network (its address scope)."""

    network: IPNetwork
    mark: int


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """A router's own namespaces on the node of an L3 agent: Neutron's, the VPN is a guest there.

    `namespace` is where charon lives on this host; None where the host only steers. `connected`
    are the router's internal networks. `detours` are of a `distributed` router with a gateway.
    `redundant`: several hosts have the router, and the one that has its external address serves.
    `marks` are known on the node alone, and so is `doubted`: IKE SAs that were set up before that
    moment (monotonic seconds) may have been replaced by those of another host.
    """

    namespace: HomeNamespace | None
    connected: tuple[IPNetwork, ...] = ()
    distributed: bool = False
    detours: tuple[Detour, ...] = ()
    redundant: bool = False
    marks: tuple[ScopeMark, ...] = ()
    doubted: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class DesiredRouter:
    """Everything one router's VPN should be, at one revision.

    `epoch` is raised each time the router moves to another agent. `naming_key` keys the digests
    in charon's config names. `router_addresses` are the router's own addresses in the local
    subnets (userspace ESP needs a local address inside each local traffic selector). `problems`
    are causes that only the server knows, by the id of the service or connection concerned.
    A standby has everything loaded and sends nothing. With a `home`, `public` is the router's own
    gateway port and there is no transit. `unsettled` are the connections that the API doesn't
    show as ACTIVE at their revision: of these the server waits to hear, whatever it was told; None
    if it doesn't say which.
    """

    id: RouterId
    revision: int
    epoch: int
    naming_key: Secret
    public: Attachment | None
    transit: Attachment | None
    router_addresses: tuple[IPAddress, ...]
    services: tuple[Service, ...]
    connections: tuple[SiteConnection, ...]
    problems: tuple[tuple[str, Reason], ...] = ()
    role: Role = Role.ACTIVE
    home: Home | None = None
    unsettled: tuple[ConnectionId, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class IkeDetails:
    """What an IKE SA was negotiated with, in the API's words where it has one.

    `established` and `rekey_in` are seconds before and after the look; `nat`: one side is
    behind a NAT.
    """

    version: IkeVersion
    encryption: str
    integrity: str | None
    prf: str
    dh_group: str | None
    initiator: bool
    established: int
    rekey_in: int | None
    nat: bool


@dataclasses.dataclass(frozen=True, slots=True)
class ChildDetails:
    """A child SA: its networks, algorithms, counters, and seconds before and after the look."""

    local: str
    remote: str
    encryption: str | None
    integrity: str | None
    dh_group: str | None
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    installed: int
    rekey_in: int | None
    expires_in: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class TunnelDetails:
    """What a connection's tunnel is at one look."""

    ike: IkeDetails
    children: tuple[ChildDetails, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class RowStatus:
    """What an agent says of one service or connection: ACTIVE, DOWN or ERROR, and why.

    `effective_mtu` is the largest inner packet of a connection in bytes, None if nobody can say;
    `details` is what was negotiated, None while there is no IKE SA.
    """

    id: str
    status: Status
    reason: Reason | None = None
    effective_mtu: int | None = None
    details: TunnelDetails | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class RouterReport:
    """What is true of one router on one agent, after it applied a revision.

    `ready`: the namespace is as wanted, charon runs and has every config. `held`: for how many
    seconds at least the host has had the address of a redundant router.
    """

    router_id: RouterId
    revision: int
    epoch: int
    services: tuple[RowStatus, ...]
    connections: tuple[RowStatus, ...]
    role: Role = Role.ACTIVE
    ready: bool = True
    held: float | None = None
