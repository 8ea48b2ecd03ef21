"""IKE identities that users write in different ways, and charon reads as one. Pure."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=1 << 13)
def as_address(identity: str) -> str:
    """Return the identity; an IP address in its one canonical form (RFC 5952)."""
    try:
        return str(ipaddress.ip_address(identity))
    except ValueError:
        return identity


def to_compare(identity: str) -> str:
    """Return what both sides of a connection make of an identity, however each writes it.

    `@name` is the name (swanherd.swan.identity).
    """
    return as_address(identity).removeprefix("@")
