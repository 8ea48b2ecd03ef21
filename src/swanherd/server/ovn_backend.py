"""The backend for routers that OVN serves."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from neutron.api import wsgi
from neutron.common.ovn import utils as ovn_utils
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib.callbacks import events as callback_events
from neutron_lib.callbacks import priority_group, registry, resources
from neutron_lib.exceptions import l3 as l3_exc
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from oslo_log import log as logging

from swanherd.core import placement, steering
from swanherd.core.model import Attachment, IPAddress, IPNetwork, PortId, Reason, RouterId
from swanherd.core.steering import Surroundings
from swanherd.ovn import events, northbound, southbound
from swanherd.ovn.northbound import Outcome
from swanherd.server import public_port
from swanherd.server.backend import RouterRow, RouterStore, Wiring
from swanherd.server.maintenance import Leftovers, Looks
from swanherd.server.placement import agents
from swanherd.server.public_port import Port, PublicPorts

LOG = logging.getLogger(__name__)

_LATE = priority_group.PRIORITY_DEFAULT + 1000

NO_GATEWAY = Reason(
    "no_gateway",
    "The router has no external gateway.",
    "Set the router's gateway to the external network.",
)
NO_ADDRESS_CODE = "public_port_no_address"
NO_ADDRESS = Reason(
    NO_ADDRESS_CODE,
    "The external network has no free address for the router's VPN.",
    "Free one, for instance by deleting an unused floating IP; it is then taken by itself.",
)


@dataclasses.dataclass(frozen=True, slots=True)
class _Inside:
    """One address of the router on an internal network."""

    subnet_id: str
    network_id: str
    address: IPAddress


class OvnBackend:
    """Makes Neutron's ports and OVN's northbound rows fit each router (see `Backend`).

    `look` is what events call: it runs `ensure`, records failures and hints the agents.
    """

    def __init__(self, store: RouterStore, look: Callable[[RouterId], None]) -> None:
        self._store = store
        self._looks = Looks(store, look, NO_ADDRESS_CODE)
        self._ports = PublicPorts()
        self._watching = False
        public_port.protect()
        # After ML2's OVN driver, which then has its replicas.
        registry.subscribe(
            self._process_started, resources.PROCESS, callback_events.AFTER_INIT, _LATE
        )

    def serves(self, context: Any, router_id: RouterId) -> bool:
        """Tell whether OVN serves the router."""
        if not ovn_utils.is_ovn_l3(_l3()):
            return False
        router = self._router(context.elevated(), router_id)
        return router is not None and bool(ovn_utils.is_ovn_provider_router(router))

    def ensure(self, context: Any, router_id: RouterId) -> None:
        """Make the world fit the router's row; idempotent; raises Temporary or Permanent."""
        # Ports are made outside of the caller's transaction, and are no project's.
        admin = n_context.get_admin_context()
        row = self._store.get_router_row(admin, router_id)
        if row is None or row.services == 0:
            self._remove(admin, router_id, row)
            return
        # The guard comes first: whatever else fails, nothing leaves in clear.
        self._steer(admin, row)
        router = self._router(admin, router_id)
        host = self._place(admin, row, router)
        problem = self._connect(admin, router_id, router, host) or self._limitation(admin, row)
        if problem is None and host is None:
            problem = placement.NO_AGENT
        self._store.set_problem(admin, router_id, problem)
        self._finish(admin, router_id)

    def wiring(self, context: Any, router_id: RouterId) -> Wiring:
        """Return how the router is attached now; reads only."""
        admin = context.elevated()
        row = self._store.get_router_row(admin, router_id)
        port = self._ports.find(admin, router_id)
        local = set(self._store.router_traffic(admin, router_id).local_subnet_ids)
        inside = self._inside(admin, router_id)
        protected = [i for i in inside if i.subnet_id in local]
        public = _public_attachment(admin, port) if port else None
        networks = {i.network_id for i in protected or inside}
        mtus = [_network(admin, network)["mtu"] for network in networks]
        return Wiring(
            public=public,
            transit=steering.transit_attachment(router_id, min(mtus)) if mtus else None,
            router_addresses=tuple(sorted({i.address for i in protected}, key=_by_family)),
            problem=row.problem if row else None,
        )

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
        driver = _driver()
        events.watch(driver.nb_ovn, driver.sb_ovn, self._looks.add)

    def _process_started(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        # Elsewhere the driver has no replica, or one that tells no worker apart.
        if ovn_utils.get_class(trigger) is wsgi.WorkerService:
            self.start(trigger)

    # Parts of `ensure`

    def _steer(self, context: Any, row: RouterRow) -> Outcome:
        """Write the northbound rows of this row's revision."""
        traffic = self._store.router_traffic(context, row.router_id)
        wanted = steering.northbound_of(
            row.router_id,
            row.revision,
            row.host,
            traffic.selectors,
            self._surroundings(context, row.router_id, traffic.peer_addresses),
        )
        return northbound.sync(_driver().nb_ovn, wanted)

    def _finish(self, context: Any, router_id: RouterId) -> None:
        """Steer at the revision that the other parts have made, and record it."""
        row = self._store.get_router_row(context, router_id)
        if row is None or row.services == 0:
            return  # deleted meanwhile: whoever did that looks again
        if self._steer(context, row) is not Outcome.NEWER:
            self._store.set_northbound_revision(context, router_id, row.revision)

    def _place(self, context: Any, row: RouterRow, router: Any) -> str | None:
        gateway = placement.Gateway()
        if router and router.get("gw_port_id"):
            driver = _driver()
            port_id = router["gw_port_id"]
            gateway = southbound.gateway(driver.nb_ovn, driver.sb_ovn, row.router_id, port_id)
        host = placement.choose(row.host, gateway, agents(context))
        if host != row.host:
            LOG.info("Router %s is served by %s, no longer %s", row.router_id, host, row.host)
            self._store.set_placement(context, row.router_id, host)
        return host

    def _connect(
        self, context: Any, router_id: RouterId, router: Any, host: str | None
    ) -> Reason | None:
        """Make the public port and record its addresses; return what prevents it."""
        gateway = (router or {}).get("external_gateway_info")
        if not gateway:
            self._ports.remove(context, router_id)
            self._store.set_external_addresses(context, router_id, None, None)
            return NO_GATEWAY
        port = self._ports.ensure(context, router_id, gateway["network_id"], host)
        addresses = _addresses(port)
        v4, v6 = (_first(addresses, version) for version in (4, 6))
        self._store.set_external_addresses(context, router_id, v4, v6)
        return None if addresses else NO_ADDRESS

    def _limitation(self, context: Any, row: RouterRow) -> Reason | None:
        traffic = self._store.router_traffic(context, row.router_id)
        around = Surroundings(
            default_routes=northbound.default_routes(_driver().nb_ovn, row.router_id)
        )
        return steering.limitation(traffic.selectors, around)

    def _remove(self, context: Any, router_id: RouterId, row: RouterRow | None) -> None:
        """Leave nothing of the router; a vpnservice that comes meanwhile gets all again."""
        if row is not None:
            removed = northbound.remove(_driver().nb_ovn, router_id, row.revision)
            if removed is Outcome.NEWER:
                return
        self._ports.remove(context, router_id)
        if row is not None and not self._store.forget_router(context, router_id):
            self.ensure(context, router_id)

    # What Neutron knows

    def _surroundings(
        self, context: Any, router_id: RouterId, peers: Iterable[str]
    ) -> Surroundings:
        subnets = {i.subnet_id for i in self._inside(context, router_id)}
        return Surroundings(
            connected=frozenset(_cidr(_subnet(context, subnet)) for subnet in subnets),
            peers=frozenset(a for a in map(_address, peers) if a is not None),
            default_routes=northbound.default_routes(_driver().nb_ovn, router_id),
        )

    @staticmethod
    def _inside(context: Any, router_id: RouterId) -> list[_Inside]:
        owners = list(constants.ROUTER_INTERFACE_OWNERS)
        filters = {"device_id": [router_id], "device_owner": owners}
        return [
            _Inside(ip["subnet_id"], port["network_id"], ipaddress.ip_address(ip["ip_address"]))
            for port in directory.get_plugin().get_ports(context, filters=filters)
            for ip in port["fixed_ips"]
        ]

    @staticmethod
    def _router(context: Any, router_id: RouterId) -> Any:
        try:
            return _l3().get_router(context, router_id)
        except l3_exc.RouterNotFound:
            return None


def _driver() -> Any:
    """Return ML2's OVN driver, which holds the replicas of OVN's databases."""
    return directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj


def _l3() -> Any:
    return directory.get_plugin(plugin_const.L3)


def _network(context: Any, network_id: str) -> Any:
    return directory.get_plugin().get_network(context, network_id)


def _subnet(context: Any, subnet_id: str) -> Any:
    return directory.get_plugin().get_subnet(context, subnet_id)


def _cidr(subnet: Any) -> IPNetwork:
    return ipaddress.ip_network(subnet["cidr"])


def _public_attachment(context: Any, port: Port) -> Attachment | None:
    subnets = [_subnet(context, ip["subnet_id"]) for ip in port["fixed_ips"]]
    if not subnets:
        return None
    gateways: dict[int, IPAddress] = {}
    for subnet in subnets:
        if subnet["gateway_ip"]:
            gateways.setdefault(subnet["ip_version"], ipaddress.ip_address(subnet["gateway_ip"]))
    return Attachment(
        port_id=PortId(port["id"]),
        mac=port["mac_address"],
        addresses=tuple(
            ipaddress.ip_interface(f"{ip['ip_address']}/{_cidr(subnet).prefixlen}")
            for ip, subnet in zip(port["fixed_ips"], subnets, strict=True)
        ),
        gateways=tuple(gateways.values()),
        mtu=_network(context, port["network_id"])["mtu"],
    )


def _address(text: str) -> IPAddress | None:
    """Return the address; None for a name, which only the agent resolves."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _addresses(port: Port | None) -> list[IPAddress]:
    fixed = port["fixed_ips"] if port else ()
    return [ipaddress.ip_address(ip["ip_address"]) for ip in fixed]


def _first(addresses: Iterable[IPAddress], version: int) -> str | None:
    return next((str(a) for a in addresses if a.version == version), None)


def _by_family(address: IPAddress) -> tuple[int, bytes]:
    return address.version, address.packed
