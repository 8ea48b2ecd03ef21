"""What a backend does for routers, and what it may ask and tell the server's database.

A backend makes the world outside the VPN tables fit one router: its public port, its transit,
its steering rows, the agent that serves it. `ensure` is level-triggered: it is called after each
commit, by the periodic sweep and on events, in any server process and more than once at a time.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from swanherd.core.model import (
    Attachment,
    Home,
    IPAddress,
    Reason,
    RouterId,
    Secret,
    TrafficSelector,
)


@dataclasses.dataclass(frozen=True, slots=True)
class RouterRow:
    """What the server knows of one router with a VPN.

    `services` counts its vpnservices: 0 means that everything of it is to be removed and the
    row forgotten. `northbound_revision` is the last revision that the backend has fully applied.
    `host` serves the router; `standbys` are ready to, the next one first; `pin` is where an
    operator wants it. `ready`: hosts whose agents say that they have all of this revision.
    `claimed_at`: since when the host has had a redundant router's address (UTC, no zone).
    """

    router_id: RouterId
    revision: int
    northbound_revision: int
    host: str | None
    epoch: int
    naming_key: Secret
    problem: Reason | None
    services: int
    standbys: tuple[str, ...] = ()
    pin: str | None = None
    ready: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)
    claimed_at: datetime.datetime | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host whose agent has something of the router: who serves it comes first."""
        first = () if self.host is None else (self.host,)
        return (*first, *self.standbys)


# Of IP version 4 and of 6.
Addresses = tuple[str | None, str | None]


@dataclasses.dataclass(frozen=True, slots=True)
class RouterTraffic:
    """What steering needs of a router's connections, whether up or down (fail closed).

    `selectors` are sorted and unique; `peer_addresses` are the peers as the API has them, IP
    addresses and names; `local_subnet_ids` are the subnets behind the local side;
    `by_connection` tells whose the selectors are, `local_subnets` whose the subnets, services too.
    """

    selectors: tuple[TrafficSelector, ...]
    peer_addresses: tuple[str, ...]
    local_subnet_ids: tuple[str, ...]
    by_connection: Mapping[str, tuple[TrafficSelector, ...]] = dataclasses.field(
        default_factory=dict
    )
    local_subnets: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Wiring:
    """How the router's VPN namespace is attached, and where.

    `hosts` is every host whose agent has something of the router. `home` tells for a host what
    of it is there, where it is in the router's own namespaces.
    """

    public: Attachment | None = None
    transit: Attachment | None = None
    router_addresses: tuple[IPAddress, ...] = ()
    hosts: Sequence[str] = ()
    home: Callable[[str], Home] | None = None


class RouterStore(Protocol):
    """The server's database as a backend sees it (`server.db.repository.Repository`).

    Each verb is one short transaction of its own; `context` is Neutron's. Verbs that change what
    the agent must do (`set_placement`, `set_external_addresses`, `set_problem`,
    `set_row_problems`) raise the router's revision if, and only if, something changed.
    """

    def get_router_row(self, context: Any, router_id: RouterId) -> RouterRow | None:
        """Return the router's row; None if it has no VPN and nothing is left of one."""
        ...

    def list_router_rows(self, context: Any) -> tuple[RouterRow, ...]:
        """Return every row, those without vpnservices too."""
        ...

    def list_rows_with_problem(self, context: Any, code: str) -> tuple[RouterRow, ...]:
        """Return the rows of the routers whose problem has this code."""
        ...

    def router_traffic(self, context: Any, router_id: RouterId) -> RouterTraffic:
        """Return what must be steered into the router's namespace."""
        ...

    def traffic(
        self, context: Any, router_ids: Sequence[RouterId]
    ) -> Callable[[RouterId], RouterTraffic]:
        """Return what tells it of each of these routers, in as many queries as of one.

        What rows of one router can't be read is told when that one is asked for.
        """
        ...

    def local_subnets(
        self, context: Any, router_ids: Sequence[RouterId]
    ) -> Mapping[RouterId, Mapping[str, tuple[str, ...]]]:
        """Return the local subnets of the routers' services and connections, in few queries."""
        ...

    def set_placement(
        self, context: Any, router_id: RouterId, host: str | None, standbys: Sequence[str] = ()
    ) -> int:
        """Record who serves the router and who stands by; return the epoch.

        It is raised if the host changed.
        """
        ...

    def now(self) -> datetime.datetime:
        """Return the time as the rows tell it: UTC, without a zone, whole seconds."""
        ...

    def claim(
        self,
        context: Any,
        router_id: RouterId,
        host: str,
        since: datetime.datetime | None,
        against: str | None,
    ) -> bool:
        """Place the router on a host that has its address since then; return whether it moves.

        It doesn't if `against` has it and got it as late or later.
        """
        ...

    def release(self, context: Any, router_id: RouterId, host: str) -> bool:
        """Take the next claim if this host has the router; return whether that is news."""
        ...

    def has_tunnel(self, context: Any, router_id: RouterId) -> bool:
        """Tell whether a connection of the router is ACTIVE, by the last report of who has it."""
        ...

    def external_addresses(
        self, context: Any, router_ids: Collection[RouterId]
    ) -> Mapping[RouterId, Collection[Addresses]]:
        """Return what public addresses are recorded on the routers' vpnservices."""
        ...

    def unpin(self, context: Any, router_id: RouterId, host: str) -> None:
        """Take back an operator's pin to this host, and no other."""
        ...

    def set_external_addresses(
        self, context: Any, router_id: RouterId, v4: str | None, v6: str | None
    ) -> None:
        """Record the public addresses on all vpnservices of the router."""
        ...

    def set_problem(self, context: Any, router_id: RouterId, problem: Reason | None) -> None:
        """Record or clear the cause that keeps the router's VPN from working: it shows at once."""
        ...

    def set_row_problems(
        self, context: Any, router_id: RouterId, problems: Mapping[str, Reason]
    ) -> None:
        """Record the causes that keep single services and connections from working, no others."""
        ...

    def row_problems(
        self, context: Any, router_ids: Collection[RouterId]
    ) -> Mapping[RouterId, Mapping[str, Reason]]:
        """Return which single rows of the routers have a cause recorded."""
        ...

    def set_northbound_revision(self, context: Any, router_id: RouterId, revision: int) -> None:
        """Record that the backend has applied `revision`; never lowers what is recorded."""
        ...

    def catch_up(self, context: Any, router_id: RouterId, revision: int) -> None:
        """Raise the router's revision above this one, if it is lower."""
        ...

    def forget_router(self, context: Any, router_id: RouterId) -> bool:
        """Delete the router's row if it has no vpnservice; return whether it is gone."""
        ...

    def let_go(self, context: Any, router_id: RouterId) -> None:
        """Forget what is ours of the router; its services and connections stay another's."""
        ...


class Backend(Protocol):
    """One way to serve routers (OVN, or later the L3 agents).

    `server.plugin` makes it as `OvnBackend(store, look, tell)`: `look(router_id)` is what events
    and the sweep call. It runs `ensure`, records a failure as the router's problem, and hints the
    agents of the router's host before and after; it never raises. `has_maintenance_worker`:
    Neutron's worker for OVN runs the sweep. `leaves_others`: a router that another plugin served
    can wait to be taken over. `is_guest`: the VPN is in routers' own namespaces, which are on a
    host for a while that Neutron has taken the router from.
    """

    has_maintenance_worker: bool
    leaves_others: bool
    is_guest: bool

    def serves(self, context: Any, router_id: RouterId) -> bool:
        """Tell whether routers of this kind are this backend's."""
        ...

    def ensure(self, context: Any, router_id: RouterId) -> None:
        """Make the world fit the router's row; idempotent; raises Temporary or Permanent.

        Order that keeps ACTIVE honest: placement, public port, external addresses, problem;
        then read the row again, write the northbound rows of that revision, and record it by
        `set_northbound_revision`. Without vpnservices: remove everything, then `forget_router`.
        """
        ...

    def unsettled(self, context: Any, rows: Sequence[RouterRow]) -> Collection[RouterId]:
        """Return those of the routers at which a look may change something.

        The sweep asks for all routers at once, in as many queries as for one.
        """
        ...

    def wiring(self, context: Any, row: RouterRow) -> Wiring:
        """Return how the router is attached now; reads only."""
        ...

    def hosts(self, context: Any, row: RouterRow) -> Sequence[str]:
        """Return every host whose agent has something of the router."""
        ...

    def routers_of(self, context: Any, host: str) -> Collection[RouterId] | None:
        """Return the routers of which the host's agent has something; None: as the rows say."""
        ...

    def claimed(
        self, context: Any, seen: RouterRow, host: str, held: float | None = None
    ) -> float | None:
        """Hear that a host serves a router; `held`: for how many seconds it has had its addresses.

        `seen` is its row of a moment ago, which tells whether this is news. Return for how many
        seconds another host has had them too, if the router stays there; None if none serves it
        by them.
        """
        ...

    def released(self, context: Any, seen: RouterRow, host: str) -> None:
        """Hear that a host stands by for a router, whose row was so a moment ago."""
        ...

    def maintenance_periodics(self, ovn_client: Any) -> Sequence[Any]:
        """Return the periodics objects for Neutron's OVN maintenance worker (single active)."""
        ...

    def start(self, trigger: Any) -> None:
        """Begin to watch for events; called once in each process, after it has been forked.

        `trigger` is Neutron's worker class, None in an API process.
        """
        ...


class NoBackend:
    """Serves nothing outside the database: what is left where no backend fits the cloud."""

    has_maintenance_worker = True  # nothing needs a sweep
    leaves_others = True
    is_guest = False

    def __init__(self, store: RouterStore) -> None:
        self._store = store

    def serves(self, context: Any, router_id: RouterId) -> bool:
        """Every router, since nothing has to be made."""
        return True

    def ensure(self, context: Any, router_id: RouterId) -> None:
        """Record that nothing is left to do."""
        row = self._store.get_router_row(context, router_id)
        if row is None:
            return
        if row.services == 0:
            self._store.forget_router(context, router_id)
        else:
            self._store.set_northbound_revision(context, router_id, row.revision)

    def unsettled(self, context: Any, rows: Sequence[RouterRow]) -> Collection[RouterId]:
        """All: a look costs little."""
        return [row.router_id for row in rows]

    def wiring(self, context: Any, row: RouterRow) -> Wiring:
        """Nothing is attached."""
        return Wiring(hosts=row.hosts)

    def hosts(self, context: Any, row: RouterRow) -> Sequence[str]:
        """Those that the row says."""
        return row.hosts

    def routers_of(self, context: Any, host: str) -> Collection[RouterId] | None:
        """As the rows say."""
        return None

    def claimed(
        self, context: Any, seen: RouterRow, host: str, held: float | None = None
    ) -> float | None:
        """It changes nothing: nobody but the server places routers, and no host has addresses."""
        return None

    def released(self, context: Any, seen: RouterRow, host: str) -> None:
        """It changes nothing."""

    def maintenance_periodics(self, ovn_client: Any) -> Sequence[Any]:
        """None."""
        return ()

    def start(self, trigger: Any) -> None:
        """Nothing to watch."""
