"""Peers by name: the node looks the name up, again and again, as names move."""

from __future__ import annotations

import dataclasses
import ipaddress
import threading
from collections.abc import Callable, Collection, Mapping, Sequence

from swanherd.core.memo import remember
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
        self._lock = threading.Lock()
        self._names: dict[RouterId, frozenset[str]] = {}

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be, with addresses for names."""
        desired = self._source.get_router(router_id)
        self._remember(router_id, desired)
        if desired is None:
            return None
        connections = tuple(map(self._resolved, desired.connections))
        return dataclasses.replace(desired, connections=connections)

    def names(self) -> frozenset[str]:
        """Return the names of all peers that were asked for."""
        with self._lock:
            return frozenset(name for names in self._names.values() for name in names)

    def users(self, moved: Collection[str]) -> frozenset[RouterId]:
        """Return the routers that have a peer of one of these names."""
        with self._lock:
            return frozenset(i for i, names in self._names.items() if names & frozenset(moved))

    def _remember(self, router_id: RouterId, desired: DesiredRouter | None) -> None:
        connections = desired.connections if desired is not None else ()
        names = frozenset(c.peer_address for c in connections if not _has_address(c))
        with self._lock:
            if names:
                self._names[router_id] = names
            else:
                self._names.pop(router_id, None)

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Ask the server."""
        return self._source.get_revisions()

    def _resolved(self, connection: SiteConnection) -> SiteConnection:
        local = connection.local_address
        if local is None or _has_address(connection):
            return connection
        addresses = sorted(
            (a for a in self._resolve(connection.peer_address) if a.version == local.version),
            key=int,
        )
        if not addresses:
            return connection
        return dataclasses.replace(connection, peer_address=str(addresses[0]))


@remember
def _has_address(connection: SiteConnection) -> bool:
    text = connection.peer_address
    if text in ANY_PEER:
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
