"""What Neutron's tables say of routers that L3 agents serve, and what the agents report."""

import datetime
import ipaddress
import itertools

import sqlalchemy as sa
from neutron_lib import context as n_context

from swanherd.core.model import Role, RouterReport, RowStatus, Status
from tests.unit.server.cloud import SUBNETS, uuid

from swanherd.server.db import head  # isort: skip - after neutron, whose import warns

TABLES = (
    "agents",
    "ha_router_agent_port_bindings",
    "ipallocationpools",
    "ipallocations",
    "ml2_port_bindings",
    "networks",
    "ports",
    "router_extra_attributes",
    "routerl3agentbindings",
    "routers",
    "subnet_service_types",
)
R1 = uuid("r1")


class Scheduler:
    """The part of Neutron's L3 plugin that knows where distributed parts are."""

    def __init__(self):
        self.notified = []

    def get_router(self, context, router_id):
        return {"id": router_id, "external_gateway_info": {"network_id": uuid("ext")}}

    def get_hosts_to_notify(self, context, router_id):
        return self.notified

    def list_router_ids_on_host(self, context, host):
        return [R1]


class Neutron:
    """Writes what Neutron's tables say of the router r1."""

    def __init__(self, engine):
        self._engine = engine
        self._tables = head.get_metadata().tables
        self._count = 1000
        self._hosts = itertools.count(100)

    def insert(self, table, **values):
        model = self._tables[table]
        for column in model.columns:
            if column.name not in values and not column.nullable and column.default is None:
                values[column.name] = self._filler(column)
        with self._engine.begin() as connection:
            connection.execute(model.insert().values(**values))

    def _filler(self, column):
        self._count += 1
        if isinstance(column.type, sa.DateTime):
            return sa.func.now()
        if isinstance(column.type, sa.Boolean):
            return True
        if isinstance(column.type, sa.Integer | sa.BigInteger):
            return self._count
        return str(self._count)

    def plain_router(self, name, *, gateway):
        """A router of which no more is told than what a VPN needs."""
        self.insert("routers", id=uuid(name), gw_port_id=uuid(f"g{name}") if gateway else None)
        for number, (subnet, cidr) in enumerate(SUBNETS.items()):
            address = str(ipaddress.ip_network(cidr)[next(self._hosts)])
            owner = "network:router_interface"
            self.port(f"{name}{number}", owner, address, subnet, router=uuid(name))

    def port(self, name, owner, address, subnet, router=R1):
        self._count += 1
        self.insert(
            "ports",
            id=uuid(name),
            network_id=uuid("net"),
            device_id=router,
            device_owner=owner,
            mac_address=f"02:00:00:00:{self._count // 256:02x}:{self._count % 256:02x}",
        )
        self.allocate(name, address, subnet)

    def allocate(self, name, address, subnet):
        """Give a port an address."""
        self.insert(
            "ipallocations",
            port_id=uuid(name),
            ip_address=address,
            subnet_id=uuid(subnet),
            network_id=uuid("net"),
        )

    def disconnect(self, router, subnet=None):
        """Take a router's interfaces away, or that in a subnet."""
        ports, ips = self._tables["ports"], self._tables["ipallocations"]
        mine = sa.select(ports.c.id).where(ports.c.device_id == uuid(router))
        gone = ips.c.port_id.in_(mine)
        if subnet is not None:
            gone &= ips.c.subnet_id == uuid(subnet)
        with self._engine.begin() as connection:
            connection.execute(ips.delete().where(gone))

    def disconnect_port(self, name):
        """Take a port's addresses."""
        ips = self._tables["ipallocations"]
        with self._engine.begin() as connection:
            connection.execute(ips.delete().where(ips.c.port_id == uuid(name)))

    def forget(self, router):
        """Let there be no router of this name."""
        self.disconnect(router)
        tables, router_id = self._tables, uuid(router)
        with self._engine.begin() as connection:
            for column in (tables["ports"].c.device_id, tables["routers"].c.id):
                connection.execute(column.table.delete().where(column == router_id))

    def router(self, *, distributed=False, ha=False):
        self.forget("r1")
        self.insert("networks", id=uuid("net"), mtu=1500)
        self.port("gw", "network:router_gateway", "10.2.0.99", "t4")
        self.insert("routers", id=R1, gw_port_id=uuid("gw"))
        self.insert("router_extra_attributes", router_id=R1, distributed=distributed, ha=ha)
        inside = (
            "network:router_interface_distributed"
            if distributed
            else ("network:ha_router_replicated_interface" if ha else "network:router_interface")
        )
        self.port("in", inside, "10.1.0.1", "s4")
        if distributed:
            self.port("csnat", "network:router_centralized_snat", "10.1.0.9", "s4")

    def agent(self, host, kind="L3 agent"):
        self.insert(
            "agents",
            id=uuid(host + kind[:1]),
            host=host,
            agent_type=kind,
            admin_state_up=True,
            configurations="{}",
        )

    def silence(self, host):
        """Let the VPN agent of a host not be heard for an hour."""
        agents = self._tables["agents"]
        long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        mine = agents.c.id == uuid(f"{host}S")
        with self._engine.begin() as connection:
            connection.execute(
                agents.update()
                .where(mine)
                .values(heartbeat_timestamp=long_ago.replace(tzinfo=None))
            )

    def change(self, table, row_id, **values):
        """Change a row of Neutron's by its id."""
        model = self._tables[table]
        with self._engine.begin() as connection:
            connection.execute(model.update().where(model.c.id == row_id).values(**values))

    def unbind(self, host):
        """Let no router be on a host."""
        model = self._tables["routerl3agentbindings"]
        with self._engine.begin() as connection:
            connection.execute(model.delete().where(model.c.l3_agent_id == uuid(f"{host}L")))

    def bind(self, host, state=None, router=R1):
        self.insert("routerl3agentbindings", router_id=router, l3_agent_id=uuid(f"{host}L"))
        if state is not None:
            self.insert(
                "ha_router_agent_port_bindings",
                router_id=router,
                l3_agent_id=uuid(f"{host}L"),
                port_id=uuid(f"p{host}"),
                state=state,
            )


def admin():
    return n_context.get_admin_context()


def claim(held=None, role=Role.ACTIVE):
    return RouterReport(R1, 1, 1, (), (), role=role, held=held)


def serving(cloud, held, status=Status.ACTIVE):
    """What an agent reports that has every connection so."""
    ids = [c["id"] for c in cloud.api.get_ipsec_site_connections(cloud.fresh())]
    row = cloud.row()
    rows = tuple(RowStatus(i, status) for i in ids)
    return RouterReport(R1, row.revision, row.epoch, (), rows, held=held)
