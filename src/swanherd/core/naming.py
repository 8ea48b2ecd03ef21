"""The names by which charon's own lists tell which generation of what it runs.

An IKE config is named `<peering id>-<digest>`, where the digest covers all that an IKE SA was
negotiated with; a child is named `<digest of the pair>-<digest of the IPsec policy>`. A changed
attribute is a new name, and after any restart `list-conns` and `list-sas` alone tell what is
current. The key comes from the server, so that the digest of a PSK can't be guessed from a log,
and outlives the agent's disk.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import uuid

from swanherd.core.memo import remember
from swanherd.core.model import (
    ConnectionId,
    IpsecPolicy,
    Secret,
    SiteConnection,
    TrafficSelector,
)
from swanherd.core.spelling import as_address

_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9a-f]{16})")
_CHILD = re.compile(r"[0-9a-f]{12}-[0-9a-f]{8}")


def _digest(key: Secret, *parts: str) -> bytes:
    return hmac.new(key.value.encode(), "\0".join(parts).encode(), hashlib.sha256).digest()


@remember
def peering_id(connection: SiteConnection, key: Secret) -> ConnectionId:
    """Return the id that connections share if a responder can't tell them apart.

    A responder chooses a config by version, addresses and identities alone (RFC 7296 §2.9, the
    traffic selectors come into play only within it).
    """
    parts = (
        connection.ike.version,
        str(connection.local_address),
        as_address(connection.local_id) or str(connection.local_address),
        connection.peer_address,
        as_address(connection.peer_id),
    )
    return ConnectionId(str(uuid.UUID(bytes=_digest(key, "peering", *parts)[:16])))


@remember
def generation(connection: SiteConnection, key: Secret) -> str:
    """Return 16 hex digits that differ whenever the IKE SA has to be negotiated anew.

    Not covered are the children's (selectors, IPsec policies: compared one by one), the MTU (a
    matter of routes) and who initiates (a matter of the agent).
    """
    ike, dpd = connection.ike, connection.dpd
    parts = (
        str(connection.local_address),
        as_address(connection.local_id),
        connection.peer_address,
        as_address(connection.peer_id),
        connection.psk.value,
        *(ike.version, ike.mode, ike.encryption, ike.integrity, ike.dh_group, str(ike.lifetime)),
        *(dpd.action, str(dpd.interval), str(dpd.timeout)),
    )
    return _digest(key, "generation", *parts).hex()[:16]


def child_name(selector: TrafficSelector, policy: IpsecPolicy) -> str:
    """Return the name of the child config that protects the selector by the policy."""
    parts = (policy.transform, policy.mode, policy.encryption, policy.integrity, policy.dh_group)
    text = "\0".join((*parts, str(policy.lifetime)))
    return f"{pair_name(selector)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def is_child_name(name: str) -> bool:
    """Tell whether it is a name that `child_name` gives: others may load what they like."""
    return _CHILD.fullmatch(name) is not None


def pair_name(selector: TrafficSelector) -> str:
    """Return the part of a child's name that tells its selector."""
    text = f"{selector.local} {selector.remote}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=1 << 13)
def pair_of(child: str) -> str:
    """Return what `pair_name` did, out of a child's name."""
    return child.partition("-")[0]


def reqid_of(child: str) -> int:
    """Return the number by which the kernel tells the pair's SAs: the same in each charon.

    charon would count from 1 as children come. Of two charons one after the other the second
    one's SA of one pair would have the number of the first one's of another, and be taken for it.
    """
    return int(child[:8], 16) | 1 << 31


def config_name(peering: ConnectionId, digest: str) -> str:
    """Return the name of an IKE config."""
    return f"{peering}-{digest}"


def peering_of(config: str) -> ConnectionId | None:
    """Return whose generation a config's name tells, or None if the name isn't one of ours."""
    match = _NAME.fullmatch(config)
    return ConnectionId(match[1]) if match else None
