"""Desired state with the role that OVN gives this agent: the server's word doesn't decide it."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from swanherd.core.model import DesiredRouter, PortId, Role, RouterId
from swanherd.core.takeover import Binding, Hold, hold_of, role_of

LOG = logging.getLogger(__name__)

# Seconds before the fence is due at which it begins: what is stated is when all is silent.
HEAD_START = 1.0


class Remembering(Protocol):
    """A source that can also tell without asking; `reconcile.source.CachedSource` fits."""

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be; None if this host has nothing to do with it."""
        ...

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Return the revision of every router of this host."""
        ...

    def recall(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what was told last, at once."""
        ...


class PortBindings(Protocol):
    """What is known of ports; `ovn.bindings.Bindings` fits."""

    chassis: str

    def binding(self, router_id: RouterId, port_id: PortId) -> Binding | None:
        """Return what the port's row says; None if it isn't for this chassis."""
        ...

    def heard_at(self) -> float | None:
        """Return when the database last proved to be there; None: never."""
        ...


class RoleSource:
    """Implements `reconcile.ports.Source`.

    An agent that hasn't heard of the southbound database for `patience` seconds is fenced: a
    standby for every router, since it can't know whether another one serves it. `clock` returns
    monotonic seconds.
    """

    def __init__(
        self,
        source: Remembering,
        bindings: PortBindings,
        clock: Callable[[], float],
        patience: float,
    ) -> None:
        self._source = source
        self._bindings = bindings
        self._clock = clock
        self._patience = patience
        self._started_at = clock()
        self._lock = threading.Lock()
        self._roles: dict[RouterId, Role] = {}
        self._ports: dict[PortId, RouterId] = {}

    @property
    def fenced(self) -> bool:
        """Tell whether the southbound database has been away for too long."""
        heard_at = self._bindings.heard_at()
        since = self._started_at if heard_at is None else heard_at
        return self._clock() - since >= self._patience - HEAD_START

    def get_router(self, router_id: RouterId) -> DesiredRouter | None:
        """Return what the router should be, in its present role.

        A role that has changed takes effect by what is known: asking the server may take long.
        """
        known = self._source.recall(router_id)
        if known is None or (role := self._role(known)) is self.role(router_id):
            known = self._source.get_router(router_id)
            if known is None:
                self._forget(router_id)
                return None
            role = self._role(known)
        self._note(known, role)
        # The same object while nothing changes: what was worked out for it still holds.
        return known if known.role is role else dataclasses.replace(known, role=role)

    def get_revisions(self) -> Mapping[RouterId, int]:
        """Return the revision of every router of this host."""
        return self._source.get_revisions()

    def role(self, router_id: RouterId) -> Role:
        """Return the role that was last given; of an unknown router: standby."""
        with self._lock:
            return self._roles.get(router_id, Role.STANDBY)

    def router_of(self, port_id: PortId) -> RouterId | None:
        """Return the router whose public port this is, if it is one that is known."""
        with self._lock:
            return self._ports.get(port_id)

    def _role(self, desired: DesiredRouter) -> Role:
        if self.fenced or desired.public is None:
            return Role.STANDBY
        hold = self.hold(desired.id, desired.public.port_id)
        return role_of(hold, self.role(desired.id))

    def hold(self, router_id: RouterId, port_id: PortId) -> Hold:
        """Return where a router's public port is; Temporary if that was never told."""
        return hold_of(self._bindings.binding(router_id, port_id), self._bindings.chassis)

    def _note(self, desired: DesiredRouter, role: Role) -> None:
        with self._lock:
            before = self._roles.get(desired.id)
            self._roles[desired.id] = role
            if desired.public is not None:
                self._ports[desired.public.port_id] = desired.id
        if role is not before:
            LOG.info("Router %s: %s here", desired.id, role)

    def _forget(self, router_id: RouterId) -> None:
        with self._lock:
            self._roles.pop(router_id, None)
            self._ports = {p: r for p, r in self._ports.items() if r != router_id}
