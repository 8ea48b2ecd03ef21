"""Peers by name: the node looks the name up, again and again, as names move."""

from __future__ import annotations

import dataclasses
import ipaddress
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from swanherd.core.memo import remember_each
from swanherd.core.model import DesiredRouter, IPAddress, RouterId, SiteConnection
from swanherd.core.peering import ANY_PEER
from swanherd.reconcile.ports import Source

Resolve = Callable[[str], Sequence[IPAddress]]


class ResolvingSource:
    """Replaces peers' names by addresses of the local address' family.

    A name that can't be resolved stays, and nothing is begun to it. A name that moves to another
    address is a new generation of the connection, and so a swap.
    """

    def __init__(self, source: Source, resolve: Resolve) -> None:
        self._source = source
        self._resolve = resolve
        self._lock = threading.Lock()
        self._names: dict[RouterId, frozenset[str]] = {}

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be, with addresses for names."""
        desired = self._source.get_router(router_id)
        named = _named(desired)
        self._remember(router_id, named)
        if desired is None or not named:
            return desired
        names = {connection.id for connection in named}
        connections = tuple(self._resolved(c) if c.id in names else c for c in desired.connections)
        return dataclasses.replace(desired, connections=connections)

    def names(self) -> frozenset[str]:
        """Return the names of all peers that were asked for."""
        with self._lock:
            return frozenset(name for names in self._names.values() for name in names)

    def users(self, moved: Collection[str]) -> frozenset[RouterId]:
        """Return the routers that have a peer of one of these names."""
        with self._lock:
            return frozenset(i for i, names in self._names.items() if names & frozenset(moved))

    def _remember(self, router_id: RouterId, named: Iterable[SiteConnection]) -> None:
        names = frozenset(connection.peer_address for connection in named)
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
        if local is None:
            return connection
        addresses = sorted(
            (a for a in self._resolve(connection.peer_address) if a.version == local.version),
            key=int,
        )
        if not addresses:
            return connection
        return dataclasses.replace(connection, peer_address=str(addresses[0]))


def _named(desired: DesiredRouter | None) -> list[SiteConnection]:
    """Return the connections whose peer has a name."""
    connections = desired.connections if desired is not None else ()
    known = zip(connections, _each_has_address(connections), strict=True)
    return [connection for connection, has_address in known if not has_address]


@remember_each
def _each_has_address(connection: SiteConnection) -> bool:
    text = connection.peer_address
    if text in ANY_PEER:
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
