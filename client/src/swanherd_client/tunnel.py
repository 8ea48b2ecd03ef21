"""A connection as its peer must have it: values, and how they come out of the API's answers."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Rows = Mapping[str, Any]
Get = Callable[[str], Rows]

_EMAIL = re.compile(r"[^@*#\s][^@\s]*@[^@\s]+")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_HEX = re.compile(r"@#((?:[0-9A-Fa-f]{2})+)")


class Unsayable(ValueError):
    """Something that a device's configuration can't say; the sentence names it."""


class Kind(enum.StrEnum):
    """The type of an IKE identity (RFC 7296 §3.5)."""

    ADDRESS = "address"
    FQDN = "fqdn"
    EMAIL = "email"
    KEYID = "keyid"


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """An IKE identity as the peer must send or expect it."""

    kind: Kind
    value: bytes

    @property
    def text(self) -> str | None:
        """The value if it is printable ASCII, else None."""
        if all(0x21 <= byte <= 0x7E for byte in self.value):
            return self.value.decode("ascii")
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """One proposal in the API's words; lifetime in seconds."""

    encryption: str
    integrity: str
    group: int
    lifetime: int

    @property
    def cipher(self) -> tuple[str, int, int]:
        """The mode (`cbc`, `ctr`, `ccm`, `gcm`, `3des`), the key's bits, the check's bytes."""
        if self.encryption == "3des":
            return "3des", 168, 0
        _, bits, *rest = self.encryption.split("-")
        return (rest[0] if rest else "cbc"), int(bits), int(rest[1]) if len(rest) > 1 else 0

    @property
    def aead(self) -> bool:
        """Whether the cipher has an integrity of its own."""
        return self.cipher[2] > 0


@dataclasses.dataclass(frozen=True, slots=True)
class Tunnel:
    """What the peer's device must be told; `cloud_…` is our side, `peer_…` the device's.

    `peer_address` is None if the API says "whoever proves the identity"; `psk` is None unless
    the user asked for it.
    """

    id: str
    name: str
    cloud_address: str
    cloud_id: Identity
    peer_address: str | None
    peer_id: Identity
    cloud_networks: tuple[str, ...]
    peer_networks: tuple[str, ...]
    version: int
    aggressive: bool
    ike: Policy
    protocol: str
    transport: bool
    ipsec: Policy
    dpd_action: str
    dpd_interval: int
    dpd_timeout: int
    cloud_initiates: bool
    cloud_id_text: str
    peer_id_text: str
    psk: str | None = dataclasses.field(default=None, repr=False)

    @property
    def label(self) -> str:
        """A name for the device's configuration, of harmless characters, at most 15."""
        return f"cloud-{self.id[:8]}"

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each of the device's networks with each of the cloud's: a child SA each."""
        return tuple((here, there) for here in self.peer_networks for there in self.cloud_networks)

    @property
    def inner_version(self) -> int:
        """The IP version inside."""
        return ipaddress.ip_network(self.cloud_networks[0]).version

    @property
    def outer_version(self) -> int:
        """The IP version outside."""
        return ipaddress.ip_address(self.cloud_address).version


def identity(text: str) -> Identity:
    """Return an identity of the API with its type, as Swanherd's own gateway reads it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return Identity(Kind.ADDRESS, str(address).encode())
    if match := _HEX.fullmatch(text):
        return Identity(Kind.KEYID, bytes.fromhex(match[1]))
    prefix, colon, value = text.partition(":")
    if colon and value and prefix.lower() in ("keyid", "fqdn", "email"):
        return _typed(Kind(prefix.lower()), value)
    if _EMAIL.fullmatch(text):
        return _typed(Kind.EMAIL, text)
    name = text.removeprefix("@")
    if _NAME.fullmatch(name):
        return _typed(Kind.FQDN, name)
    return _typed(Kind.KEYID, text)


def _typed(kind: Kind, value: str) -> Identity:
    """Return the identity; a key id where strongSwan would see a wildcard."""
    return Identity(Kind.KEYID if value.startswith("*") else kind, value.encode())


def from_rows(
    connection: Rows, service: Rows, ike: Rows, ipsec: Rows, networks: tuple[Sequence[str], ...]
) -> Tunnel:
    """Return the tunnel that the API's rows describe; `networks` are the cloud's and the peer's.

    Raises Unsayable while the service has no public address that the peer can reach.
    """
    address = _cloud_address(service, connection["peer_address"])
    local_id = connection.get("local_id") or address
    anyone = connection["peer_address"] in ("0.0.0.0", "::")  # noqa: S104 - the API's word for it
    return Tunnel(
        id=connection["id"],
        name=connection["name"] or "",
        cloud_address=address,
        cloud_id=identity(local_id),
        cloud_id_text=local_id,
        peer_address=None if anyone else connection["peer_address"],
        peer_id=identity(connection["peer_id"]),
        peer_id_text=connection["peer_id"],
        cloud_networks=_networks(networks[0]),
        peer_networks=_networks(networks[1]),
        version=2 if ike["ike_version"] == "v2" else 1,
        aggressive=ike["ike_version"] == "v1" and ike["phase1_negotiation_mode"] == "aggressive",
        ike=_policy(ike),
        protocol=ipsec["transform_protocol"],
        transport=ipsec["encapsulation_mode"] == "transport",
        ipsec=_policy(ipsec),
        dpd_action=connection["dpd"]["action"],
        dpd_interval=connection["dpd"]["interval"],
        dpd_timeout=connection["dpd"]["timeout"],
        cloud_initiates=connection["initiator"] == "bi-directional",
    )


def _networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the networks without host bits, which the API takes and devices don't; each once."""
    return tuple(dict.fromkeys(str(ipaddress.ip_network(text, strict=False)) for text in texts))


def _policy(row: Rows) -> Policy:
    return Policy(
        encryption=row["encryption_algorithm"],
        integrity=row["auth_algorithm"],
        group=int(row["pfs"].removeprefix("group")),
        lifetime=row["lifetime"]["value"],
    )


def _cloud_address(service: Rows, peer_address: str) -> str:
    try:
        families = [ipaddress.ip_address(peer_address).version]
    except ValueError:
        families = [4, 6]
    for family in families:
        if found := service.get(f"external_v{family}_ip"):
            return str(found)
    raise Unsayable(f"the VPN service has no public IPv{families[0]} address yet")


def gather(get: Get, connection_id: str) -> tuple[Tunnel, str]:
    """Read a connection and what it refers to; return its tunnel without the key, and the key.

    `get` returns the resource at a path under /v2.0, without its envelope.
    """
    connection = get(f"vpn/ipsec-site-connections/{connection_id}")
    service = get(f"vpn/vpnservices/{connection['vpnservice_id']}")
    if service.get("subnet_id"):
        subnets, cidrs = [service["subnet_id"]], connection["peer_cidrs"]
    else:
        subnets = get(f"vpn/endpoint-groups/{connection['local_ep_group_id']}")["endpoints"]
        cidrs = get(f"vpn/endpoint-groups/{connection['peer_ep_group_id']}")["endpoints"]
    local = sorted(str(get(f"subnets/{subnet}")["cidr"]) for subnet in subnets)
    ike = get(f"vpn/ikepolicies/{connection['ikepolicy_id']}")
    ipsec = get(f"vpn/ipsecpolicies/{connection['ipsecpolicy_id']}")
    return from_rows(connection, service, ike, ipsec, (local, cidrs)), str(connection["psk"])
