"""What Neutron's API says of a VPN, as values; a pre-shared key isn't among them."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
ANYONE = ("0.0.0.0", "::")  # noqa: S104 - the API's word for it

# What is asked for: with these the key never leaves Neutron.
LISTED = (
    *("id", "name", "status", "status_code", "status_reason", "status_since", "peer_address"),
    *("vpnservice_id", "peer_cidrs", "local_ep_group_id", "peer_ep_group_id", "admin_state_up"),
    "peer_id",
)
SHOWN = (
    *LISTED,
    *("description", "local_id", "ikepolicy_id", "ipsecpolicy_id", "mtu"),
    *("initiator", "dpd", "revision_wanted", "revision_applied", "effective_mtu"),
    *("details", "events"),
)
LIVE = (
    *("id", "name", "status", "status_code", "status_reason", "status_since", "details"),
    *("events", "revision_wanted", "revision_applied", "effective_mtu", "vpnservice_id"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """A change of the status: when, to what, why."""

    at: datetime.datetime | None
    status: str
    code: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Ike:
    """What the IKE SA was negotiated with; times in seconds at the look."""

    version: str
    encryption: str
    integrity: str
    prf: str
    group: str
    initiator: bool
    established: int
    rekey_in: int | None
    nat: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Child:
    """A pair of networks with its algorithms, counters and times in seconds at the look."""

    local: str
    remote: str
    encryption: str
    integrity: str
    group: str
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    installed: int
    rekey_in: int | None
    expires_in: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Details:
    """What the tunnel was at the time of the look."""

    at: datetime.datetime | None
    ike: Ike
    children: tuple[Child, ...]

    def total(self, counter: str) -> int:
        """Return the sum of a counter over the children."""
        return sum(getattr(child, counter) for child in self.children)


@dataclasses.dataclass(frozen=True, slots=True)
class Dpd:
    """Dead peer detection; interval and timeout in seconds."""

    action: str = "hold"
    interval: int = 30
    timeout: int = 120


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """An IPsec site connection; what the server doesn't tell is empty or None."""

    id: str
    name: str
    status: str
    code: str = ""
    reason: str = ""
    since: datetime.datetime | None = None
    description: str = ""
    peer_address: str = ""
    peer_id: str = ""
    local_id: str = ""
    service_id: str = ""
    ike_id: str = ""
    ipsec_id: str = ""
    local_group_id: str = ""
    peer_group_id: str = ""
    peer_cidrs: tuple[str, ...] = ()
    mtu: int = 0
    initiator: str = ""
    dpd: Dpd = Dpd()
    up: bool = True
    wanted: int | None = None
    applied: int | None = None
    effective_mtu: int | None = None
    details: Details | None = None
    events: tuple[Event, ...] = ()

    @property
    def label(self) -> str:
        """The name, or the beginning of the id where there is none, as Horizon shows it."""
        return self.name or f"({self.id[:13]})"

    @property
    def applying(self) -> bool:
        """Whether the gateway hasn't applied the last change yet."""
        return self.wanted is not None and self.applied is not None and self.applied < self.wanted

    @property
    def peer(self) -> str:
        """The peer's address, or the identity of one that may come from any."""
        return self.peer_id if self.peer_address in ANYONE else self.peer_address


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """A vpnservice: a router that has a VPN, and its public addresses."""

    id: str
    name: str
    router_id: str
    subnet_id: str
    status: str
    v4: str
    v6: str
    code: str = ""
    reason: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """An IKE or IPsec policy; what only the other kind has is empty."""

    id: str
    name: str
    encryption: str
    integrity: str
    group: str
    lifetime: int
    version: str = ""
    mode: str = ""
    protocol: str = ""
    encapsulation: str = ""
    description: str = ""


def time_of(text: str | None) -> datetime.datetime | None:
    """Return the API's time (ISO 8601, UTC), None if there is none."""
    if not text:
        return None
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def connection(row: Row) -> Connection:
    """Return a connection of the API."""
    dpd = row.get("dpd") or {}
    return Connection(
        id=row["id"],
        name=row.get("name") or "",
        status=row.get("status") or "",
        code=row.get("status_code") or "",
        reason=row.get("status_reason") or "",
        since=time_of(row.get("status_since")),
        description=row.get("description") or "",
        peer_address=row.get("peer_address") or "",
        peer_id=row.get("peer_id") or "",
        local_id=row.get("local_id") or "",
        service_id=row.get("vpnservice_id") or "",
        ike_id=row.get("ikepolicy_id") or "",
        ipsec_id=row.get("ipsecpolicy_id") or "",
        local_group_id=row.get("local_ep_group_id") or "",
        peer_group_id=row.get("peer_ep_group_id") or "",
        peer_cidrs=tuple(row.get("peer_cidrs") or ()),
        mtu=row.get("mtu") or 0,
        initiator=row.get("initiator") or "",
        dpd=Dpd(**{key: dpd[key] for key in ("action", "interval", "timeout") if key in dpd}),
        up=row.get("admin_state_up") is not False,
        wanted=row.get("revision_wanted"),
        applied=row.get("revision_applied"),
        effective_mtu=row.get("effective_mtu"),
        details=_details(row.get("details")),
        events=tuple(_event(event) for event in row.get("events") or ()),
    )


def _event(row: Row) -> Event:
    return Event(
        at=time_of(row.get("at")),
        status=row.get("status") or "",
        code=row.get("code") or "",
        text=row.get("text") or "",
    )


def _details(row: Row | None) -> Details | None:
    if not row or not row.get("ike"):
        return None
    ike = row["ike"]
    return Details(
        at=time_of(row.get("at")),
        ike=Ike(
            version=ike["version"],
            encryption=ike["encryption"],
            integrity=ike.get("integrity") or "",
            prf=ike.get("prf") or "",
            group=ike.get("dh_group") or "",
            initiator=bool(ike.get("initiator")),
            established=ike.get("established_s") or 0,
            rekey_in=ike.get("rekey_in_s"),
            nat=bool(ike.get("nat")),
        ),
        children=tuple(_child(child) for child in row.get("children") or ()),
    )


def _child(row: Row) -> Child:
    return Child(
        local=row["local"],
        remote=row["remote"],
        encryption=row.get("encryption") or "",
        integrity=row.get("integrity") or "",
        group=row.get("dh_group") or "",
        bytes_in=row.get("bytes_in") or 0,
        bytes_out=row.get("bytes_out") or 0,
        packets_in=row.get("packets_in") or 0,
        packets_out=row.get("packets_out") or 0,
        installed=row.get("installed_s") or 0,
        rekey_in=row.get("rekey_in_s"),
        expires_in=row.get("expires_in_s"),
    )


def service(row: Row) -> Service:
    """Return a vpnservice of the API."""
    return Service(
        id=row["id"],
        name=row.get("name") or "",
        router_id=row.get("router_id") or "",
        subnet_id=row.get("subnet_id") or "",
        status=row.get("status") or "",
        v4=row.get("external_v4_ip") or "",
        v6=row.get("external_v6_ip") or "",
        code=row.get("status_code") or "",
        reason=row.get("status_reason") or "",
    )


def policy(row: Row) -> Policy:
    """Return an IKE or IPsec policy of the API."""
    return Policy(
        id=row["id"],
        name=row.get("name") or "",
        encryption=row["encryption_algorithm"],
        integrity=row["auth_algorithm"],
        group=row["pfs"],
        lifetime=row["lifetime"]["value"],
        version=row.get("ike_version") or "",
        mode=row.get("phase1_negotiation_mode") or "",
        protocol=row.get("transform_protocol") or "",
        encapsulation=row.get("encapsulation_mode") or "",
        description=row.get("description") or "",
    )


def matches(found: Connection, words: str) -> bool:
    """Whether every word is in what the list shows of the connection."""
    peer = (found.peer_address, found.peer_id)
    shown = " ".join((found.name, found.id, found.status, found.code, *peer))
    return all(word in shown.lower() for word in words.lower().split())


def page(rows: Sequence[Connection], number: int, size: int) -> tuple[Sequence[Connection], int]:
    """Return a page (from 1) of the rows and how many pages there are, at least one."""
    pages = max(1, -(-len(rows) // size))
    start = (min(max(number, 1), pages) - 1) * size
    return rows[start : start + size], pages
