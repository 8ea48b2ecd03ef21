"""Peers by name: the node looks the name up, again and again, as names move."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping, Sequence

from swanherd.core.model import DesiredRouter, IPAddress, RouterId, SiteConnection
from swanherd.core.peering import ANY_PEER
from swanherd.reconcile.ports import Source

Resolve = Callable[[str], Sequence[IPAddress]]


class ResolvingSource:
    """Replaces peers' names by addresses of the local address' family.

    A name that can't be resolved stays: charon then tells that it can't be reached. A name that
    moves to another address is a new generation of the connection, and so a swap.
    """

    def __init__(self, source: Source, resolve: Resolve) -> None:
        self._source = source
        self._resolve = resolve

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be, with addresses for names."""
        desired = self._source.get_router(router_id)
        if desired is None:
            return None
        connections = tuple(map(self._resolved, desired.connections))
        return dataclasses.replace(desired, connections=connections)

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Ask the server."""
        return self._source.get_revisions()

    def _resolved(self, connection: SiteConnection) -> SiteConnection:
        local = connection.local_address
        if local is None or _is_address(connection.peer_address):
            return connection
        addresses = sorted(
            (a for a in self._resolve(connection.peer_address) if a.version == local.version),
            key=int,
        )
        if not addresses:
            return connection
        return dataclasses.replace(connection, peer_address=str(addresses[0]))


def _is_address(text: str) -> bool:
    if text in ANY_PEER:
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
