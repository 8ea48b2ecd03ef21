"""The backend for routers that L3 agents serve: legacy, redundant (HA) and distributed (DVR).

The VPN lives in the routers' own namespaces and uses their own external addresses: no port and no
row of another database is made. Which hosts have a router is Neutron's to say.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from neutron.common.ovn import utils as ovn_utils
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from oslo_log import log as logging

from swanherd.core.model import (
    Detour,
    Home,
    HomeNamespace,
    Reason,
    RouterId,
)
from swanherd.core.placement import began, earliest, keep_or_choose
from swanherd.server import topology
from swanherd.server.backend import Addresses, RouterRow, RouterStore, Wiring
from swanherd.server.l3_topology import L3Router, detours_of, l3_router_of, l3_routers_of
from swanherd.server.maintenance import Looks
from swanherd.server.placement import agents
from swanherd.server.shown import detached
from swanherd.server.topology import BoundPort, Outside, Router

LOG = logging.getLogger(__name__)

NO_GATEWAY = Reason(
    "no_gateway",
    "The router has no external gateway.",
    "Set the router's gateway to the external network.",
)
NOT_SCHEDULED = Reason(
    "router_not_scheduled",
    "No L3 agent has the router.",
    "The operator must look after the L3 agents; a router without interfaces isn't scheduled.",
)
NO_EXTENSION = Reason(
    "no_agent",
    "The L3 agent that has the router doesn't serve VPNs.",
    "The operator must add swanherd to [agent] extensions of the L3 agents.",
)


class L3Backend:
    """Follows Neutron's scheduling of routers to L3 agents (see `Backend`)."""

    has_maintenance_worker = False
    # An L3 agent that starts with our extension removes what keeps neutron-vpnaas' packets from
    # being translated: a tunnel that is left to it would send them in clear.
    leaves_others = False
    is_guest = True

    def __init__(self, store: RouterStore, look: Callable[[RouterId], None]) -> None:
        self._store = store
        self._look = look
        self._looks = Looks(store, look, NO_GATEWAY.code)
        self._looks.subscribe()
        registry.subscribe(self._port_changed, resources.PORT, events.AFTER_UPDATE)

    def serves(self, context: Any, router_id: RouterId) -> bool:
        """Tell whether L3 agents serve the router."""
        if ovn_utils.is_ovn_l3(directory.get_plugin(plugin_const.L3)):
            return False
        return bool(topology.outside_of(context.elevated(), [router_id]))

    def ensure(self, context: Any, router_id: RouterId) -> None:
        """Make the router's row fit what Neutron says; idempotent."""
        admin = n_context.get_admin_context()
        row = self._store.get_router_row(admin, router_id)
        if row is None:
            return
        if row.services == 0:
            self._store.forget_router(admin, router_id)
            return
        wanted = self._wanted(admin, [row])[router_id]
        self._store.set_external_addresses(admin, router_id, *wanted.addresses)
        if wanted.host != row.host:
            LOG.info("Router %s is served by %s, no longer %s", router_id, wanted.host, row.host)
            self._store.set_placement(admin, router_id, wanted.host)
        if wanted.problem != row.problem:
            self._store.set_problem(admin, router_id, wanted.problem)
        if wanted.problems != self._store.row_problems(admin, [router_id]).get(router_id, {}):
            self._store.set_row_problems(admin, router_id, wanted.problems)
        now = self._store.get_router_row(admin, router_id)
        if now is not None and now.northbound_revision < now.revision:
            self._store.set_northbound_revision(admin, router_id, now.revision)

    def unsettled(self, context: Any, rows: Sequence[RouterRow]) -> Collection[RouterId]:
        """Return the routers whose rows aren't yet, or aren't any more, as `ensure` makes them."""
        if ovn_utils.is_ovn_l3(directory.get_plugin(plugin_const.L3)):
            return [row.router_id for row in rows]
        wanted = self._wanted(context, rows)
        recorded = self._store.external_addresses(context, list(wanted))
        problems = self._store.row_problems(context, list(wanted))
        return [
            row.router_id
            for row in rows
            if not wanted[row.router_id].is_met(row, recorded[row.router_id])
            or wanted[row.router_id].problems != problems.get(row.router_id, {})
        ]

    def wiring(self, context: Any, row: RouterRow) -> Wiring:
        """Return how the router is attached now, wherever; reads only."""
        admin, router_id = context.elevated(), row.router_id
        found = l3_router_of(admin, router_id)
        router = topology.router_of(admin, router_id)
        port = self._gateway_port(admin, router)
        detours = detours_of(admin, router_id) if found.distributed else ()
        return Wiring(
            public=port.attachment() if port else None,
            hosts=_hosts(admin, router_id, found),
            home=_Home(found, router, detours).on if router else None,
        )

    def hosts(self, context: Any, row: RouterRow) -> Sequence[str]:
        """Return every host that Neutron has given a part of the router."""
        return _hosts(context, row.router_id, l3_router_of(context, row.router_id))

    def routers_of(self, context: Any, host: str) -> Collection[RouterId]:
        """Return the routers of which Neutron has given the host a part."""
        plugin = directory.get_plugin(plugin_const.L3)
        return frozenset(map(RouterId, plugin.list_router_ids_on_host(context, host)))

    def claimed(
        self, context: Any, seen: RouterRow, host: str, held: float | None = None
    ) -> float | None:
        """Move a router to this host, whose agent says that it serves it, or tell who does.

        If it is redundant, the host has its addresses: Neutron itself hears of that seconds later,
        and of a node that died perhaps never. Who got them last has it while two have them, for
        its IKE SAs are those that the peers know. Else Neutron has just moved it there.
        """
        since = began(self._store.now(), held)
        if _is_known(seen, host, since):
            return None
        router_id = seen.router_id
        row = self._store.get_router_row(context, router_id)
        if row is None or _is_known(row, host, since):
            return None
        if not self._claim(context, row, host, since):
            return None if held is None else self._served_later(context, row, host)
        LOG.info("Router %s is served by %s, no longer %s", router_id, host, row.host)
        self._look(router_id)
        return None

    def released(self, context: Any, seen: RouterRow, host: str) -> None:
        """Let another have the router that has its address, if this host had it till now."""
        router_id = seen.router_id
        if seen.host != host or seen.claimed_at is None:
            return
        if self._store.release(context, router_id, host):
            LOG.info("Router %s isn't served by %s any more", router_id, host)
            self._look(router_id)

    def maintenance_periodics(self, ovn_client: Any) -> Sequence[Any]:
        """None: OVN has no part in it."""
        return ()

    def start(self, trigger: Any) -> None:
        """Nothing to watch but Neutron's own callbacks."""

    # Parts

    def _claim(
        self, context: Any, row: RouterRow, host: str, since: datetime.datetime | None
    ) -> bool:
        """Let the host have the router, if it may and nobody got it later; tell whether it has."""
        found = l3_router_of(context, row.router_id)
        if host not in found.bound or not (found.redundant or row.host not in found.bound):
            return False
        # What a host said that is gone, or never was the router's, holds for nothing.
        counts = row.host in found.bound and row.host in agents(context).alive
        against = row.host if counts else None
        return self._store.claim(context, row.router_id, host, since, against)

    def _served_later(self, context: Any, row: RouterRow, host: str) -> float | None:
        """Return for how many seconds another host has had the addresses that this one has too.

        Only while that one has a tunnel: if it is who is cut off, none may be silent for it. One
        that isn't heard any more has lost the router to the claim.
        """
        if row.host in (None, host) or row.claimed_at is None:
            return None
        if not self._store.has_tunnel(context, row.router_id):
            return None
        return (self._store.now() - row.claimed_at).total_seconds()

    def _wanted(self, context: Any, rows: Sequence[RouterRow]) -> Mapping[RouterId, _Wanted]:
        """Return what Neutron says the rows should be; the same queries for one and for many."""
        ids = [row.router_id for row in rows]
        outside = topology.outside_of(context, ids)
        served = l3_routers_of(context, ids)
        known = agents(context).known
        local = self._store.local_subnets(context, ids)
        attached = topology.attached_of(context, ids)
        return {
            row.router_id: dataclasses.replace(
                _wanted(row, outside.get(row.router_id), served[row.router_id], known),
                problems=detached(local[row.router_id], attached[row.router_id]),
            )
            for row in rows
        }

    @staticmethod
    def _gateway_port(context: Any, router: Router | None) -> BoundPort | None:
        if router is None or router.gateway_port_id is None:
            return None
        return topology.port_of(context, router.gateway_port_id)

    def _port_changed(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        """A gateway port may get other addresses without its router being touched."""
        port = payload.latest_state
        if port.get("device_owner") == constants.DEVICE_OWNER_ROUTER_GW:
            self._looks.add(RouterId(port["device_id"]))


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """What a router's row should say, by Neutron."""

    host: str | None
    addresses: Addresses
    problem: Reason | None
    problems: Mapping[str, Reason] = dataclasses.field(default_factory=dict)

    def is_met(self, row: RouterRow, recorded: Collection[Addresses]) -> bool:
        """Tell whether a look would find nothing to do; without services nothing is recorded."""
        return (
            (row.host, row.problem) == (self.host, self.problem)
            and row.northbound_revision >= row.revision
            and set(recorded) == {self.addresses}
        )


def _wanted(
    row: RouterRow, outside: Outside | None, found: L3Router, known: frozenset[str]
) -> _Wanted:
    host = keep_or_choose(row.host, found.bound, found.masters, known)
    problem = None if host in known else NO_EXTENSION
    if host is None:
        problem = NOT_SCHEDULED
    if outside is None or outside.gateway_port_id is None:
        problem = NO_GATEWAY
    addresses = (outside.v4, outside.v6) if outside else (None, None)
    return _Wanted(host, addresses, problem)


@dataclasses.dataclass(frozen=True, slots=True)
class _Home:
    """The router's own namespaces on any of its hosts."""

    found: L3Router
    router: Router
    detours: tuple[Detour, ...]

    def on(self, host: str) -> Home:
        """Return what of it is on a host."""
        whole, there = HomeNamespace.ROUTER, host in self.found.bound
        if self.found.distributed:
            # Neutron makes the central part with the gateway.
            whole = HomeNamespace.CENTRAL
            there = there and self.router.gateway_port_id is not None
        return Home(
            namespace=whole if there else None,
            connected=tuple(sorted({i.cidr for i in self.router.inside}, key=str)),
            distributed=self.found.distributed,
            detours=self.detours,
            redundant=self.found.redundant,
        )


def _is_known(row: RouterRow, host: str, since: datetime.datetime | None) -> bool:
    """Tell whether the row says already that the host has the router, since then or earlier."""
    return row.host == host and earliest(row.claimed_at, since) == row.claimed_at


def _hosts(context: Any, router_id: RouterId, found: L3Router) -> tuple[str, ...]:
    """Return every host that has a part of the router."""
    hosts = set(found.bound)
    if found.distributed:
        plugin = directory.get_plugin(plugin_const.L3)
        hosts |= set(plugin.get_hosts_to_notify(context, router_id))
    return tuple(sorted(hosts))
