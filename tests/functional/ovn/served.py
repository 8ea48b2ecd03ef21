"""Routers of OVN on real OVN databases, with Neutron's tables on SQLite and its plugins faked."""

import ipaddress
import itertools
import warnings
from types import SimpleNamespace

import pytest
from neutron_lib import fixture
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory

from swanherd.core.steering import public_port_id
from tests.functional.ovn.daemons import until
from tests.unit.server.cloud import FakeCore, FakeL3, uuid
from tests.unit.server.cloud import sweep as sweep_once

with warnings.catch_warnings():
    # futurist imports eventlet where it is installed, which warns.
    warnings.simplefilter("ignore")
    from swanherd.server.maintenance import Leftovers
    from swanherd.server.ovn_backend import OvnBackend
    from swanherd.server.public_port import OWNER, PublicPorts

EXTERNAL, PUBLIC = uuid("ext"), ipaddress.ip_network("203.0.112.0/20")
PUBLIC6 = ipaddress.ip_network("2001:db8::/64")
HOSTS = {"chassis-1": "gateway-1", "chassis-2": "gateway-2"}


class Core(FakeCore):
    """Neutron's core plugin with ML2's OVN driver; it makes, binds and deletes public ports."""

    def __init__(self, neutron, nb, sb):
        self._neutron = neutron
        self._free = itertools.count(2000)
        driver = SimpleNamespace(nb_ovn=nb, sb_ovn=sb, ping_all_chassis=lambda: None)
        drivers = {"ovn": SimpleNamespace(obj=driver)}
        self.mechanism_manager = SimpleNamespace(mech_drivers=drivers)

    def create_port(self, context, port):
        body = port["port"]
        columns = ("id", "network_id", "device_id", "device_owner")
        self._neutron.insert("ports", **{c: body[c] for c in columns}, mac_address=self._mac())
        self._give(body["id"], body["network_id"], body["fixed_ips"])
        self._neutron.insert(
            "ml2_port_bindings",
            port_id=body["id"],
            host=body[portbindings.HOST_ID],
            status="ACTIVE",
            vif_type="ovs",
        )
        return body

    def update_port(self, context, port_id, port):
        body = port["port"]
        if portbindings.HOST_ID in body:
            self._neutron.bind_port(port_id, host=body[portbindings.HOST_ID], vif_type="ovs")
        lacking = [ip for ip in body.get("fixed_ips", ()) if "ip_address" not in ip]
        self._give(port_id, EXTERNAL, lacking)

    def delete_port(self, context, port_id, l3_port_check=True):
        self._neutron.delete_port(port_id)

    def _give(self, port_id, network_id, fixed_ips):
        for each in fixed_ips:
            number = next(self._free)
            is_v6 = each["subnet_id"] == uuid("e6")
            address = f"2001:db8::{number:x}" if is_v6 else str(PUBLIC[number])
            self._neutron.insert(
                "ipallocations",
                port_id=port_id,
                ip_address=address,
                subnet_id=each["subnet_id"],
                network_id=network_id,
            )

    def _mac(self):
        number = next(self._free)
        return f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}"


class OvnL3(FakeL3):
    """Neutron's L3 plugin of OVN."""

    _ovn_client_inst = None

    def get_router(self, context, router_id):
        return {"id": router_id, "external_gateway_info": {"network_id": EXTERNAL}}


class Neutron:
    """Writes what Neutron's tables and the databases of OVN say of routers."""

    def __init__(self, tables, ovn, replicas):
        self.tables = tables
        self.ovn = ovn
        self.nb, self.sb = replicas
        self._hosts = itertools.count(10)

    def __getattr__(self, name):
        return getattr(self.tables, name)

    def network(self):
        """Make the external network, and let the internal one have an MTU."""
        self.insert("networks", id=uuid("net"), mtu=1442)
        self.insert("networks", id=EXTERNAL, mtu=1500)
        self.subnet("e4", 4, PUBLIC)

    def subnet(self, name, version, network):
        """Add a subnet to the external network, from which all addresses may be given."""
        self.insert(
            "subnets",
            id=uuid(name),
            cidr=str(network),
            ip_version=version,
            gateway_ip=str(network[1]),
            network_id=EXTERNAL,
        )
        self.insert(
            "ipallocationpools",
            subnet_id=uuid(name),
            first_ip=str(network[2]),
            last_ip=str(network[-2]),
        )

    def router(self, *names):
        """Make routers that may be on both chassis, as Neutron and OVN have them."""
        commands = []
        for name in names:
            router_id, gateway = uuid(name), uuid(f"g{name}")
            self.forget(name)
            address = str(PUBLIC[next(self._hosts)])
            self.port(f"g{name}", "network:router_gateway", address, "e4", router=router_id)
            self.change("ports", gateway, network_id=EXTERNAL)
            self.insert("routers", id=router_id, gw_port_id=gateway)
            self.port(
                f"i{name}", "network:router_interface", self._inside(), "s4", router=router_id
            )
            row, port = f"neutron-{router_id}", f"lrp-{gateway}"
            commands += [
                ["lr-add", row],
                ["lrp-add", row, port, "02:00:00:00:02:01", f"{address}/20"],
                ["lrp-set-gateway-chassis", port, "chassis-1", "20"],
                ["lrp-set-gateway-chassis", port, "chassis-2", "10"],
                ["lr-route-add", row, "0.0.0.0/0", str(PUBLIC[1])],
            ]
        self.northbound(*commands)

    def _inside(self):
        number = next(self._hosts)
        return f"10.1.{number // 250 + 1}.{number % 250 + 2}"

    def northbound(self, *commands):
        """Run commands of ovn-nbctl in one transaction, and wait until the replicas know."""
        if commands:
            parts = [part for command in commands for part in ("--", *command)]
            self.ovn.nb.run("ovn-nbctl", *parts)
        self.replicated()

    def southbound(self, *command):
        self.ovn.sb.run("ovn-sbctl", *command)
        self.replicated()

    def replicated(self):
        """Wait until both replicas have what both databases have now."""
        self.ovn.settle()
        wanted = int(self.ovn.nb.run("ovn-nbctl", "get", "NB_Global", ".", "nb_cfg"))
        for replica, table in ((self.nb, "NB_Global"), (self.sb, "SB_Global")):
            until(lambda r=replica, t=table: self._count_of(r, t) >= wanted)

    @staticmethod
    def _count_of(replica, table):
        return max((row.nb_cfg for row in replica.tables[table].rows.values()), default=0)

    def bind_port(self, port_id, **values):
        model = self.table("ml2_port_bindings")
        self.run(model.update().where(model.c.port_id == port_id).values(**values))

    def change_all(self, table, **values):
        self.run(self.table(table).update().values(**values))

    def port_ids(self):
        """Return the ids of all public ports."""
        ports = self.table("ports")
        query = ports.select().where(ports.c.device_owner == OWNER)
        with self.tables._engine.connect() as connection:
            return {row.id for row in connection.execute(query)}

    def forget_all(self, router_id):
        """Let the VPN's tables know nothing of a router."""
        rows = self.table("swanherd_routers")
        self.run(rows.delete().where(rows.c.router_id == router_id))

    def delete_port(self, port_id):
        ips, bindings = self.table("ipallocations"), self.table("ml2_port_bindings")
        ports = self.table("ports")
        for column in (ips.c.port_id, bindings.c.port_id, ports.c.id):
            self.run(column.table.delete().where(column == port_id))

    def take_address(self, port_id):
        ips = self.table("ipallocations")
        self.run(ips.delete().where(ips.c.port_id == port_id))

    def table(self, name):
        return self.tables._tables[name]

    def run(self, statement):
        with self.tables._engine.begin() as connection:
            connection.execute(statement)

    def clean(self):
        """Leave no subnets of ours, which all tests of the process have."""
        subnets = self.table("subnets")
        self.run(subnets.delete().where(subnets.c.network_id == EXTERNAL))


def public(name):
    """Return the id of a router's public port."""
    return public_port_id(uuid(name))


def sweep(cloud):
    """Do one pass and let OVN have it; return at which routers it has looked."""
    looked = sweep_once(cloud)
    cloud.neutron.replicated()
    return looked


def remove_leftovers(cloud):
    """Remove what is left of routers that the database doesn't know."""
    Leftovers(cloud.store, cloud.neutron.nb, PublicPorts()).remove()
    cloud.neutron.replicated()


def ours(cloud, table):
    """Return the ids of the rows of ours in a table of the northbound database."""
    listed = cloud.neutron.ovn.nb.run(
        *("ovn-nbctl", "--bare", "--columns=_uuid", "find", table),
        f"external_ids:swanherd\\:router_id={uuid('r1')}",
    )
    return listed.split()


@pytest.fixture
def served(cloud, ovn, emptied, nb, sb, monkeypatch):
    """OVN's backend in place of the scripted one, with agents on both chassis."""
    callbacks = fixture.CallbackRegistryFixture()
    callbacks.setUp()
    neutron = cloud.neutron = Neutron(cloud.neutron, ovn, (nb, sb))
    plugins = directory._PLUGIN_DIRECTORY._plugins
    plugins.clear()
    directory.add_plugin(plugin_const.CORE, Core(neutron, nb, sb))
    directory.add_plugin(plugin_const.L3, OvnL3())
    for chassis, host in HOSTS.items():
        if chassis != "chassis-1":  # the module's own
            ovn.sb.run("ovn-sbctl", "--may-exist", "chassis-add", chassis, "geneve", "192.0.2.102")
            ovn.sb.run("ovn-sbctl", "set", "Chassis", chassis, f"hostname={host}")
        neutron.agent(host, "Swanherd VPN agent")
        # Neutron's own check of a port's attributes, which only a server's extensions define.
    monkeypatch.setattr(
        "swanherd.server.public_port.plugin_utils.create_port",
        lambda core, context, port, **_: core.create_port(context, port),
    )
    neutron.network()
    nb.ovsdb_connection.start()
    sb.ovsdb_connection.start()
    cloud.looker.backend = OvnBackend(cloud.store, cloud.looker.look, cloud.looker.tell)
    yield cloud
    callbacks.cleanUp()
    neutron.clean()
