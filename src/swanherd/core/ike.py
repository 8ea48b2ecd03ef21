"""What charon should have loaded and what it has; and the names that tell which is which."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Mapping

from swanherd.core.model import (
    ChildDetails,
    ConnectionId,
    DataPlane,
    IkeDetails,
    IpsecPolicy,
    SiteConnection,
    TrafficSelector,
)


class SaState(enum.StrEnum):
    """The states of IKE and child SAs that matter to us; all others are OTHER."""

    CREATED = "CREATED"
    CONNECTING = "CONNECTING"
    ESTABLISHED = "ESTABLISHED"
    INSTALLED = "INSTALLED"
    REKEYING = "REKEYING"
    REKEYED = "REKEYED"
    DELETING = "DELETING"
    DELETED = "DELETED"
    OTHER = "OTHER"


LIVE = frozenset({SaState.ESTABLISHED, SaState.REKEYING})
"""The states of an IKE SA that is up."""

COMING = frozenset({SaState.CREATED, SaState.CONNECTING})
"""The states of an IKE SA that is being negotiated."""

HOLDING = LIVE | {SaState.CONNECTING}
"""The states of an IKE SA that may have children: IKEv1's renewal moves them to the new one before
that is up, and they carry on (task_manager_v1.c, queue_ike_reauth)."""

CARRYING = frozenset({SaState.INSTALLED, SaState.REKEYING})
"""The states of a child SA that carries traffic."""


@dataclasses.dataclass(frozen=True, slots=True)
class CharonOptions:
    """What a charon is started with; only another data plane needs a restart of the daemon."""

    data_plane: DataPlane
    # An IKEv1 aggressive-mode responder with a PSK needs a daemon-wide option (LIVE: §8).
    aggressive_psk: bool = False
    # It is a guest in a router's own namespace: its routes come after all others.
    guest: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class IkeConfig:
    """One IKE config to load: `<peering id>-<digest>`, one child for each selector.

    `connection` is what the IKE SA is negotiated with; its id is the peering's (core.peering).
    `policies` holds the IPsec policy of each child by the child's name.
    """

    name: str
    connection: SiteConnection
    # child name → selector, sorted by name
    children: tuple[tuple[str, TrafficSelector], ...]
    policies: tuple[tuple[str, IpsecPolicy], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class LoadedConfig:
    """An IKE config that charon has, as `list-conns` tells: its name and its children's names.

    `quiet`: as `LoadConfig` says.
    """

    name: str
    children: frozenset[str]
    quiet: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class ChildSa:
    """A live child SA; `details` change with each packet, so they aren't part of what it is.

    `spis` are those of both directions; `heard`: seconds since the last packet came in, None if
    none has.
    """

    name: str
    unique_id: int
    state: SaState
    details: ChildDetails | None = dataclasses.field(default=None, compare=False)
    spis: frozenset[int] = frozenset()
    heard: int | None = dataclasses.field(default=None, compare=False)

    @property
    def selector(self) -> TrafficSelector | None:
        """What charon negotiated; None if that isn't known, or isn't a pair of networks."""
        if self.details is None:
            return None
        try:
            local = ipaddress.ip_network(self.details.local)
            remote = ipaddress.ip_network(self.details.remote)
        except ValueError:
            return None  # not ours: several networks, or a protocol's
        return TrafficSelector(local, remote)


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class IkeSa:
    """A live IKE SA; `age` in seconds since it was established.

    `busy`: tasks are queued or active that will make or end children. `initiator_spi` (hex) is
    the same on both sides, whatever NAT lies between. `answered`: the peer has sent its own SPI,
    and may be up before this side is. `nat_local` and `nat_remote`: NAT detection (RFC 7296
    §2.23) found one there, or the peer pretends it to have ESP in UDP. `unanswered`: when the
    oldest request that the peer hasn't answered was sent, in monotonic seconds.
    """

    config: str
    unique_id: int
    state: SaState
    initiator: bool
    local_host: str
    remote_host: str
    busy: bool
    children: tuple[ChildSa, ...]
    age: int = 0
    initiator_spi: str = ""
    answered: bool = False
    nat_local: bool = False
    nat_remote: bool = False
    remote_port: int = 0
    unanswered: float | None = None
    details: IkeDetails | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """The last failure that charon told of one config; times in monotonic seconds."""

    config: str
    code: str
    text: str
    hint: str
    first: float
    last: float


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """What charon refused to the peer of a config last: pairs of networks; monotonic seconds."""

    selectors: frozenset[TrafficSelector]
    at: float


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
class ObservedCharon:
    """What the router's charon is and has. Not running: everything else is empty.

    `options` is None when it isn't known what the running daemon was started with; `idle` tells
    since when it has had a config without an IKE SA, `lacking` since when one of IKEv1 with an
    IKE SA, but not all children, `loaded` when this agent loaded a config last, and `outdated`
    since when a child SA has been of nothing that is loaded, by its id; in monotonic seconds, as
    far as was seen. `ranks` are those above 0 that it loaded configs with.
    """

    running: bool
    options: CharonOptions | None = None
    configs: frozenset[LoadedConfig] = frozenset()
    secrets: frozenset[ConnectionId] = frozenset()
    ike_sas: tuple[IkeSa, ...] = ()
    faults: tuple[Fault, ...] = ()
    idle: Mapping[str, float] = dataclasses.field(default_factory=dict, compare=False)
    lacking: Mapping[str, float] = dataclasses.field(default_factory=dict, compare=False)
    loaded: Mapping[str, float] = dataclasses.field(default_factory=dict, compare=False)
    outdated: Mapping[int, float] = dataclasses.field(default_factory=dict, compare=False)
    ranks: Mapping[str, int] = dataclasses.field(default_factory=dict, compare=False)
    refusals: Mapping[str, Refusal] = dataclasses.field(default_factory=dict, compare=False)
    since: float = dataclasses.field(default=0.0, compare=False)

    @property
    def spis(self) -> frozenset[int]:
        """Those of all its children."""
        return frozenset(s for sa in self.ike_sas for child in sa.children for s in child.spis)


# Actions


@dataclasses.dataclass(frozen=True, slots=True)
class StartCharon:
    """Start charon in the namespace and wait until it answers."""

    options: CharonOptions


@dataclasses.dataclass(frozen=True, slots=True)
class ReloadCharon:
    """Let the running charon take these options; its data plane stays, and so do all SAs."""

    options: CharonOptions


@dataclasses.dataclass(frozen=True, slots=True)
class StopCharon:
    """Stop charon, wait until it is gone, and remove its files."""


@dataclasses.dataclass(frozen=True, slots=True)
class LoadSecret:
    """Load or replace the connection's PSK; its id in charon is the connection's id."""

    connection: SiteConnection


@dataclasses.dataclass(frozen=True, slots=True)
class UnloadSecret:
    """Forget the PSK of a connection."""

    connection_id: ConnectionId


@dataclasses.dataclass(frozen=True, slots=True)
class LoadConfig:
    """Load an IKE config, or replace the children of the one of that name; no SA is touched.

    `quiet`: the peer isn't told to forget what it had with us before (docs/adr/0020). `rank`:
    of two children of a pair the kernel uses the one of the lower rank (core.handover).
    """

    config: IkeConfig
    quiet: bool = False
    rank: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class UnloadConfig:
    """Forget an IKE config; its SAs stay."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Initiate:
    """Begin to negotiate one child; doesn't wait for the outcome."""

    config: str
    child: str


@dataclasses.dataclass(frozen=True, slots=True)
class TerminateIke:
    """End an IKE SA and its children; `force` doesn't wait for the peer's answer."""

    unique_id: int
    force: bool


@dataclasses.dataclass(frozen=True, slots=True)
class DeclareDead:
    """End an IKE SA whose peer is dead: its config gets the fault `dpd_timeout`."""

    config: str
    unique_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class TerminateChild:
    """End one child SA."""

    unique_id: int


@dataclasses.dataclass(frozen=True, slots=True)
class RekeyChild:
    """Make a child SA anew in the IKE SA that has it, the new one before the old one ends."""

    unique_id: int


SwanAction = (
    StartCharon
    | ReloadCharon
    | StopCharon
    | LoadSecret
    | UnloadSecret
    | LoadConfig
    | UnloadConfig
    | Initiate
    | TerminateIke
    | DeclareDead
    | TerminateChild
    | RekeyChild
)
