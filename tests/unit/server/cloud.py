"""A cloud in memory: the tables on SQLite, and fakes of Neutron's core and L3 plugins."""

import dataclasses
import datetime
import itertools
import warnings
from typing import Any

with warnings.catch_warnings():
    # futurist imports eventlet where it is installed, which warns.
    warnings.simplefilter("ignore")
    import neutron  # noqa: F401

from neutron_lib import context as n_context
from neutron_lib.exceptions import l3 as l3_exc

from swanherd.core.failures import Failure
from swanherd.server.backend import NoBackend
from swanherd.server.db.repository import Repository
from swanherd.server.intake import Intake
from swanherd.server.looker import Looker
from swanherd.server.resources.connections import Connections
from swanherd.server.resources.endpoint_groups import EndpointGroups
from swanherd.server.resources.policies import Policies
from swanherd.server.resources.vpnservices import VpnServices
from swanherd.server.sweep import Sweep

PENDING_CREATE_TIMEOUT = 300
SUBNETS = {"s4": "10.1.0.0/24", "t4": "10.2.0.0/24", "s6": "fd01::/64"}
# Routers, and whether they have a gateway; each has an interface in every subnet.
ROUTERS = {"r1": True, "r2": True, "r3": False}


# The names of so many routers that a query for each would show.
MANY = [f"m{number:02}" for number in range(20)]


def uuid(name):
    """Return a UUID that a person recognises."""
    return f"{name.encode().hex():0>8}-0000-4000-8000-000000000000"


class FakeCore:
    """Neutron's core plugin: subnets."""

    def get_subnets(self, context, filters, fields):
        if "network_id" in filters:
            return [{"ip_version": 4}, {"ip_version": 6}]
        known = {uuid(name) for name in SUBNETS}
        return [{"id": subnet_id} for subnet_id in filters["id"] if subnet_id in known]


class FakeL3:
    """Neutron's L3 plugin."""

    def get_router(self, context, router_id):
        routers = {uuid(name): has_gateway for name, has_gateway in ROUTERS.items()}
        if router_id not in routers:
            raise l3_exc.RouterNotFound(router_id=router_id)
        gateway = {"network_id": uuid("ext")} if routers[router_id] else None
        return {"id": router_id, "external_gateway_info": gateway}


class ScriptedBackend(NoBackend):
    """Places each router on a host with the addresses it is told, or fails as it is told."""

    def __init__(self, store):
        super().__init__(store)
        self.host = None
        self.standbys = ()
        self.addresses = (None, None)
        self.failure = None
        self.northbound = True

    def ensure(self, context, router_id):
        if isinstance(self.failure, Failure):
            raise self.failure
        row = self._store.get_router_row(context, router_id)
        if row is not None and row.services:
            self._store.set_placement(context, router_id, self.host, self.standbys)
            self._store.set_external_addresses(context, router_id, *self.addresses)
            self._store.set_problem(context, router_id, None)
        if self.northbound:
            super().ensure(context, router_id)


class Clock:
    """Time that moves when it is told to."""

    def __init__(self):
        self.time = datetime.datetime(2026, 11, 23, 12, 0, 0)  # noqa: DTZ001 - as the tables

    def __call__(self):
        return self.time

    def advance(self, seconds):
        self.time += datetime.timedelta(seconds=seconds)


class FakeProviders:
    """Service providers: each flavor `x` has a provider `x`."""

    def __init__(self):
        self.of_service = {}

    def of_flavor(self, context, flavor_id):
        return flavor_id or "default"

    def associate(self, context, service_id, provider):
        self.of_service[service_id] = provider

    def dissociate(self, context, service_id):
        del self.of_service[service_id]


class Api(VpnServices, Connections, Policies, EndpointGroups):
    """The plugin without Neutron around it."""

    def __init__(self, store, looker):
        self.store = store
        self.looker = looker
        self.providers = FakeProviders()


@dataclasses.dataclass
class Cloud:
    """What a test holds; requests by a member of project `p`."""

    api: Api
    store: Repository
    intake: Intake
    backend: ScriptedBackend
    looker: Looker
    clock: Clock
    neutron: Any
    hints: list

    def create(self, resource, **body):
        """Create a resource as the API layer would, with its defaults."""
        create = getattr(self.api, f"create_{resource}")
        return create(self.fresh(), {resource: {**DEFAULTS[resource], **body}})

    def update(self, resource, row_id, **body):
        return getattr(self.api, f"update_{resource}")(self.fresh(), row_id, {resource: body})

    def delete(self, resource, row_id):
        getattr(self.api, f"delete_{resource}")(self.fresh(), row_id)

    def show(self, resource, row_id):
        return getattr(self.api, f"get_{resource}")(self.fresh(), row_id)

    def fresh(self):
        return n_context.Context(user_id="u", project_id="p", roles=["member", "reader"])

    def connection(self, service=None, number=itertools.count(1), **body):  # noqa: B008
        """Create a connection with policies of its own and peer CIDRs of its own."""
        service = service or self.create("vpnservice")
        parents = {
            "vpnservice_id": service["id"],
            "ikepolicy_id": self.create("ikepolicy")["id"],
            "ipsecpolicy_id": self.create("ipsecpolicy")["id"],
        }
        cidrs = {"peer_cidrs": [f"10.9.{next(number)}.0/24"]}
        return self.create("ipsec_site_connection", **{**parents, **cidrs, **body})

    def row(self, router="r1"):
        return self.store.get_router_row(n_context.get_admin_context(), uuid(router))


_NAMED = {"name": "", "description": "", "project_id": "p"}
_PROPOSAL = {
    "auth_algorithm": "sha1",
    "encryption_algorithm": "aes-128",
    "lifetime": {},
    "pfs": "group5",
}
DEFAULTS = {
    "vpnservice": {
        **_NAMED,
        "router_id": uuid("r1"),
        "subnet_id": uuid("s4"),
        "flavor_id": None,
        "admin_state_up": True,
    },
    "ikepolicy": {
        **_NAMED,
        **_PROPOSAL,
        "phase1_negotiation_mode": "main",
        "ike_version": "v1",
    },
    "ipsecpolicy": {
        **_NAMED,
        **_PROPOSAL,
        "transform_protocol": "esp",
        "encapsulation_mode": "tunnel",
    },
    "endpoint_group": _NAMED,
    "ipsec_site_connection": {
        **_NAMED,
        "local_id": "",
        "peer_address": "198.51.100.1",
        "peer_id": "198.51.100.1",
        "peer_cidrs": [],
        "local_ep_group_id": None,
        "peer_ep_group_id": None,
        "mtu": 1500,
        "initiator": "bi-directional",
        "psk": "secret",
        "dpd": {},
        "admin_state_up": True,
    },
}


def sweep(cloud):
    """Do one pass; return at which routers it has looked."""
    looked, look = [], cloud.looker.sweep
    cloud.looker.sweep = lambda router_id: (looked.append(router_id), look(router_id))
    try:
        Sweep(cloud.store, cloud.intake, cloud.looker).run()
    finally:
        cloud.looker.sweep = look
    return looked
