"""The backend for routers that OVN serves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from neutron.common.ovn import utils as ovn_utils
from neutron_lib import context as n_context
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events as callback_events
from neutron_lib.callbacks import priority_group, registry, resources
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_log import log as logging

from swanherd.core import placement, steering
from swanherd.core.failures import Failure
from swanherd.core.model import IPAddress, PortId, Reason, RouterId
from swanherd.ovn import events, moving, northbound, southbound
from swanherd.ovn.northbound import Outcome
from swanherd.server import ovn_survey, ovn_wanted, predecessor, public_port, topology
from swanherd.server.backend import RouterRow, RouterStore, Wiring
from swanherd.server.compat import class_of, wsgi
from swanherd.server.maintenance import Apart, Leftovers, Line, Looks
from swanherd.server.ovn_wanted import NO_ADDRESS_CODE, driver
from swanherd.server.placement import agents
from swanherd.server.public_port import OWNER, PublicPorts
from swanherd.server.topology import Router

LOG = logging.getLogger(__name__)

# Seconds for which the API process whose turn it is may move a router, before all others do.
_OTHERS_TURN = 2.0

_LATE = priority_group.PRIORITY_DEFAULT + 1000
# Neutron's callbacks say nothing of theirs (neutron.plugins.ml2.ovo_rpc).
_BEFORE_NEUTRONS = priority_group.PRIORITY_DEFAULT - 1000


class OvnBackend:
    """Makes Neutron's ports and OVN's northbound rows fit each router (see `Backend`).

    `look` is what events call: it runs `ensure`, records failures and hints the agents. `tell`
    only hints them, in the middle of `ensure`.
    """

    has_maintenance_worker = True
    leaves_others = True
    is_guest = False

    def __init__(
        self,
        store: RouterStore,
        look: Callable[[RouterId], None],
        tell: Callable[[RouterId], None],
    ) -> None:
        self._store = store
        self._tell = tell
        self._moves: Apart[RouterId] = Apart(self.follow)
        self._late_moves: Line[tuple[RouterId, PortId]] = Line(self._follow_late, _OTHERS_TURN)
        self._transits: Line[RouterId] = Line(self._follow_with_transit)
        self._looks = Looks(store, look, NO_ADDRESS_CODE, self._moves.add)
        self._ports = PublicPorts()
        self._watching = False
        public_port.protect()
        # After ML2's OVN driver, which then has its replicas.
        registry.subscribe(
            self._process_started, resources.PROCESS, callback_events.AFTER_INIT, _LATE
        )

    def serves(self, context: Any, router_id: RouterId) -> bool:
        """Tell whether OVN serves the router."""
        if not ovn_utils.is_ovn_l3(directory.get_plugin(plugin_const.L3)):
            return False
        router = topology.router_of(context.elevated(), router_id)
        return router is not None and bool(
            ovn_utils.is_ovn_provider_router({"flavor_id": router.flavor_id})
        )

    def ensure(self, context: Any, router_id: RouterId) -> None:
        """Make the world fit the router's row; idempotent; raises Temporary or Permanent."""
        # Ports are made outside of the caller's transaction, and are no project's.
        admin = n_context.get_admin_context()
        row = self._row(admin, router_id)
        if row is None or row.services == 0:
            self._remove(admin, router_id, row)
            return
        if predecessor.is_returning(admin, router_id):
            self._return(admin, row)
            return
        router = topology.router_of(admin, router_id)
        # The guard comes first: whatever else fails, nothing leaves in clear.
        self._store.set_row_problems(admin, router_id, self._steer(admin, row, router))
        host = self._place(admin, row, router)
        problem = self._connect(admin, router_id, router, host)
        if problem != row.problem:
            self._store.set_problem(admin, router_id, problem)
        if predecessor.has_transit(admin, router_id):
            # Neutron takes seconds to remove that; the agent makes its tunnels meanwhile.
            self._tell(router_id)
            predecessor.clear(admin, router_id)
            # Its router port has the addresses of ours, so OVN may have steered by it.
            router = topology.router_of(admin, router_id)
            self._steer(admin, row, router)
        self._finish(admin, row, router)

    def follow(self, router_id: RouterId) -> None:
        """Move the router's VPN to where its gateway is, as far as packets need it.

        The rest of `ensure` follows. This may return late: when all is moved, Neutron waits for
        the message bus.
        """
        admin = n_context.get_admin_context()
        row = self._store.get_router_row(admin, router_id)
        if row is None or row.services == 0:
            return  # nor has any other router of the cloud a VPN to be moved
        router = topology.router_of(admin, router_id)
        if router is None:
            return
        host = self._place(admin, row, router)
        if host is not None and router.gateway_network_id is not None:
            self._ports.ensure(admin, router_id, router.gateway_network_id, host)

    def unsettled(self, context: Any, rows: Sequence[RouterRow]) -> Collection[RouterId]:
        """Return the routers that aren't yet, or aren't any more, as `ensure` makes them."""
        if not ovn_utils.is_ovn_l3(directory.get_plugin(plugin_const.L3)):
            return [row.router_id for row in rows]
        try:
            known = self._agents(context)
        except Failure as failure:
            LOG.warning("Routers can't be compared, each is looked at: %s", failure)
            return [row.router_id for row in rows]
        return ovn_survey.unsettled(context, rows, self._store, known)

    def wiring(self, context: Any, row: RouterRow) -> Wiring:
        """Return how the router is attached now; reads only."""
        admin, router_id = context.elevated(), row.router_id
        router = topology.router_of(admin, router_id)
        port = self._ports.find(admin, router_id)
        local = set(self._store.router_traffic(admin, router_id).local_subnet_ids)
        inside = router.inside if router else ()
        protected = [i for i in inside if i.subnet_id in local]
        mtus = [i.mtu for i in protected or inside]
        return Wiring(
            public=port.attachment() if port and port.addresses else None,
            transit=steering.transit_attachment(router_id, min(mtus)) if mtus else None,
            router_addresses=tuple(sorted({i.address for i in protected}, key=_by_family)),
            hosts=row.hosts,
        )

    def hosts(self, context: Any, row: RouterRow) -> Sequence[str]:
        """Return the hosts that the row says."""
        return row.hosts

    def routers_of(self, context: Any, host: str) -> Collection[RouterId] | None:
        """As the rows say."""
        return None

    def claimed(
        self, context: Any, seen: RouterRow, host: str, held: float | None = None
    ) -> float | None:
        """It changes nothing: the gateway's place decides, and a port is on one chassis."""
        return None

    def released(self, context: Any, seen: RouterRow, host: str) -> None:
        """It changes nothing."""

    def maintenance_periodics(self, ovn_client: Any) -> Sequence[Any]:
        """Return what the single active OVN maintenance worker runs for us."""
        nb = ovn_client._nb_idl  # noqa: SLF001 - Neutron's own extensions do the same
        return [Leftovers(self._store, nb, self._ports)]

    def start(self, trigger: Any) -> None:
        """Watch for what changes a router's surroundings; once in each API process."""
        if self._watching:
            return
        self._watching = True
        self._looks.subscribe()
        after = callback_events.AFTER_UPDATE
        registry.subscribe(self._port_bound, resources.PORT, after, _BEFORE_NEUTRONS)
        registry.subscribe(self._port_changed, resources.PORT, after)
        ovn = driver()
        listener = events.Listener(
            changed=self._looks.add,
            gateway_moved=self._moves.add,
            gateway_moved_somewhere=lambda *moved: self._late_moves.add(moved),
            public_port_moved=self._public_port_moved,
        )
        events.watch(ovn.nb_ovn, ovn.sb_ovn, listener)

    def _process_started(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        # Elsewhere the driver has no replica, or one that tells no worker apart.
        if class_of(trigger) is wsgi.WorkerService:
            self.start(trigger)

    def _port_bound(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        """Have OVN move a public port that Neutron has just recorded on another host.

        Neutron tells the message bus of it first, and waits for one that is away.
        """
        before, port = payload.states[0], payload.latest_state
        host = port.get(portbindings.HOST_ID)
        if port.get("device_owner") != OWNER or host in ("", None, before[portbindings.HOST_ID]):
            return
        router_id = RouterId(port["device_id"])
        try:
            moving.move(driver().nb_ovn, router_id, PortId(port["id"]), host)
        except Failure as failure:
            LOG.info("Neutron moves a public port itself: %s", failure)
            return
        self._moves.pass_on(router_id)

    def _port_changed(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        """Look at a router whose public port has other addresses now, by whomever."""
        before, port = payload.states[0], payload.latest_state
        if port.get("device_owner") == OWNER and any(
            port[key] != before[key] for key in ("fixed_ips", "mac_address")
        ):
            self._looks.add(RouterId(port["device_id"]))

    def _follow_late(self, moved: tuple[RouterId, PortId]) -> None:
        """Move the router, unless another process has: every one asks, so only its replicas."""
        router_id, gateway_port_id = moved
        ovn = driver()
        if moving.is_elsewhere(ovn.nb_ovn, ovn.sb_ovn, router_id, gateway_port_id):
            self._moves.add(router_id)

    def _public_port_moved(self, router_id: RouterId) -> None:
        """Have the transit follow at once; on the replica's thread, which must not wait."""
        moving.follow_next(driver().nb_ovn, router_id)
        self._transits.add(router_id)

    @staticmethod
    def _follow_with_transit(router_id: RouterId) -> None:
        moving.follow(driver().nb_ovn, router_id)

    # Parts of `ensure`

    def _row(self, context: Any, router_id: RouterId) -> RouterRow | None:
        """Return the router's row, of a revision that OVN's rows aren't above.

        They are if an older database was restored: then nothing of it would ever be written.
        """
        row = self._store.get_router_row(context, router_id)
        if row is None:
            return None
        written = northbound.revision_of(driver().nb_ovn, router_id)
        if written > row.revision:
            self._store.catch_up(context, router_id, written)
            row = self._store.get_router_row(context, router_id)
        return row

    def _steer(self, context: Any, row: RouterRow, router: Router | None) -> Mapping[str, Reason]:
        """Write the northbound rows of this row's revision; return which connections can't be.

        The traffic is read after the row: it is at least as new as what the row's revision says.
        """
        nb = driver().nb_ovn
        traffic = self._store.router_traffic(context, row.router_id)
        wanted, limitations = ovn_wanted.steered(nb, row, router, traffic)
        northbound.sync(nb, wanted)
        return limitations

    def _finish(self, context: Any, before: RouterRow, router: Router | None) -> None:
        """Steer at the revision that the other parts have made, and record it."""
        row = self._store.get_router_row(context, before.router_id)
        if row is None or row.services == 0:
            return  # deleted meanwhile: whoever did that looks again
        if (row.revision, row.host) != (before.revision, before.host):
            self._steer(context, row, router)
        else:
            moving.follow(driver().nb_ovn, row.router_id)
        if row.northbound_revision < row.revision:
            self._store.set_northbound_revision(context, row.router_id, row.revision)

    def _place(self, context: Any, row: RouterRow, router: Router | None) -> str | None:
        placed = ovn_wanted.placed(row, router, self._agents(context))
        if placed.host != row.host:
            LOG.info("Router %s goes to %s, from %s", row.router_id, placed.host, row.host)
        if (placed.host, placed.standbys) != (row.host, row.standbys):
            self._store.set_placement(context, row.router_id, placed.host, placed.standbys)
        if row.pin is not None and placed.pin is None:
            LOG.info("Router %s is no longer pinned to %s", row.router_id, row.pin)
            self._store.unpin(context, row.router_id, row.pin)
        return placed.host

    @staticmethod
    def _agents(context: Any) -> placement.Agents:
        """Return the VPN agents; of those that don't answer, OVN is asked for their chassis."""
        found = agents(context)
        silent = found.known - found.alive
        if not silent:
            return found
        ovn = driver()
        ovn.ping_all_chassis()  # at most every half of agent_down_time
        heard = southbound.heard(ovn.nb_ovn, ovn.sb_ovn, cfg.CONF.agent_down_time)
        return dataclasses.replace(found, gone=silent - heard)

    def _connect(
        self, context: Any, router_id: RouterId, router: Router | None, host: str | None
    ) -> Reason | None:
        """Make the public port and record its addresses; return what prevents it."""
        network_id = router.gateway_network_id if router else None
        if network_id is None:
            self._ports.remove(context, router_id)
            port = None
        else:
            port = self._ports.ensure(context, router_id, network_id, host)
        v4, v6 = (port.address(4), port.address(6)) if port else (None, None)
        self._store.set_external_addresses(context, router_id, v4, v6)
        return ovn_wanted.problem_of(router, host, port)

    def _remove(self, context: Any, router_id: RouterId, row: RouterRow | None) -> None:
        """Leave nothing of the router; a vpnservice that comes meanwhile gets all again."""
        if row is not None:
            removed = northbound.remove(driver().nb_ovn, router_id, row.revision)
            if removed is Outcome.NEWER:
                return
        self._ports.remove(context, router_id)
        predecessor.clear(context, router_id)
        predecessor.forget(context, router_id)
        if row is not None and not self._store.forget_router(context, router_id):
            self.ensure(context, router_id)

    def _return(self, context: Any, row: RouterRow) -> None:
        """Hand the router back to neutron-vpnaas: its objects first, so that nothing leaks."""
        router_id = row.router_id
        traffic = self._store.router_traffic(context, router_id)
        peers = sorted({str(s.remote) for s in traffic.selectors if s.remote.version == 4})
        predecessor.restore(context, router_id, row.host, peers)
        if northbound.remove(driver().nb_ovn, router_id, row.revision) is Outcome.NEWER:
            return
        self._store.let_go(context, router_id)
        predecessor.returned(context, router_id)
        LOG.info("Router %s is neutron-vpnaas' again", router_id)


def _by_family(address: IPAddress) -> tuple[int, bytes]:
    return address.version, address.packed
