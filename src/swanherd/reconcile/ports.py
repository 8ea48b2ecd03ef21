"""What the wheel needs from the world. Adapters fit these; nothing imports them back.

Every verb raises only `swanherd.core.failures.Temporary` or `Permanent`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from swanherd.core.ike import ObservedCharon, SwanAction
from swanherd.core.model import DesiredRouter, RouterId, RouterReport
from swanherd.core.network import NetworkAction, ObservedNetwork


class Source(Protocol):
    """Where desired state comes from."""

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be; None if this host has nothing to do with it."""
        ...

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Return the revision of every router that this host serves."""
        ...


class Reporter(Protocol):
    """Who is told what is true."""

    def report(self, reports: Sequence[RouterReport]) -> object:
        """Tell the server; losing it is harmless, it is sent again."""
        ...


class Node(Protocol):
    """The network of this node's VPN namespaces."""

    def routers(self) -> frozenset[RouterId]:
        """Return every router of which something of ours is on this node."""
        ...

    def observe(
        self, router_id: RouterId, known: ObservedNetwork | None = None
    ) -> ObservedNetwork:
        """Return what the router's namespace is.

        `known`: it is that but for what charon has in the kernel.
        """
        ...

    def apply(self, router_id: RouterId, action: NetworkAction) -> None:
        """Do one action; idempotent."""
        ...


class Swan(Protocol):
    """The strongSwan daemons of this node."""

    def routers(self) -> frozenset[RouterId]:
        """Return every router that has a charon or files of one on this node."""
        ...

    def observe(
        self, router_id: RouterId, spis: frozenset[int] = frozenset(), *, recent: bool = False
    ) -> ObservedCharon:
        """Return what the router's charon is and has.

        At least as new as the SAs in the kernel that have these SPIs, if they are the charon's.
        `recent`: what no event spoke of may be as it was seen a while ago.
        """
        ...

    def apply(self, router_id: RouterId, action: SwanAction) -> None:
        """Do one action; idempotent."""
        ...
