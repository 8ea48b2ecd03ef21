"""The names by which charon's own lists tell which generation of what it runs.

An IKE config is named `<connection id>-<digest>`, where the digest covers all that an IKE SA was
negotiated with: a changed attribute is a new name, and after any restart `list-conns` and
`list-sas` alone tell what is current. The key comes from the server, so that the digest of a PSK
can't be guessed from a log, and outlives the agent's disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re

from swanherd.core.ike import IkeConfig
from swanherd.core.model import ConnectionId, Secret, SiteConnection, TrafficSelector

_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9a-f]{16})")


def generation(connection: SiteConnection, key: Secret) -> str:
    """Return 16 hex digits that differ whenever the SAs have to be negotiated anew.

    Not covered are the selectors (children are compared one by one), the MTU (a matter of routes)
    and who initiates (a matter of the agent).
    """
    ike, ipsec, dpd = connection.ike, connection.ipsec, connection.dpd
    covered = (
        str(connection.local_address),
        connection.local_id,
        connection.peer_address,
        connection.peer_id,
        connection.psk.value,
        *(ike.version, ike.mode, ike.encryption, ike.integrity, ike.dh_group, str(ike.lifetime)),
        *(ipsec.transform, ipsec.mode, ipsec.encryption, ipsec.integrity, ipsec.dh_group),
        str(ipsec.lifetime),
        *(dpd.action, str(dpd.interval), str(dpd.timeout)),
    )
    message = "\0".join(covered).encode()
    return hmac.new(key.value.encode(), message, hashlib.sha256).hexdigest()[:16]


def child_name(selector: TrafficSelector) -> str:
    """Return the name of the child config that protects the selector."""
    text = f"{selector.local} {selector.remote}".encode()
    return hashlib.sha256(text).hexdigest()[:12]


def ike_config(connection: SiteConnection, key: Secret) -> IkeConfig:
    """Return what charon should have loaded for the connection."""
    selectors = tuple(sorted(connection.selectors, key=lambda s: s.sort_key))
    children = sorted(((child_name(s), s) for s in selectors), key=lambda child: child[0])
    name = f"{connection.id}-{generation(connection, key)}"
    ordered = dataclasses.replace(connection, selectors=selectors)
    return IkeConfig(name, ordered, tuple(children))


def connection_of(config_name: str) -> ConnectionId | None:
    """Return whose generation a config's name tells, or None if the name isn't one of ours."""
    match = _NAME.fullmatch(config_name)
    return ConnectionId(match[1]) if match else None
