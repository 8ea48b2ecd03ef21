"""Routers of L3 agents: where they are is Neutron's to say, and the agents' that have them."""

import datetime
import ipaddress

import pytest
import sqlalchemy as sa
from neutron_lib import context as n_context
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from sqlalchemy import exc as sa_exc

from swanherd.core.model import Home, HomeNamespace, Role, RouterReport, RowStatus, Status
from swanherd.server.handler import AgentHandler
from swanherd.server.l3_backend import L3Backend
from swanherd.server.sweep import Sweep
from tests.unit.server.cloud import uuid

from swanherd.server.db import head  # isort: skip - after neutron, whose import warns

TABLES = (
    "agents",
    "ha_router_agent_port_bindings",
    "ipallocations",
    "ml2_port_bindings",
    "networks",
    "ports",
    "router_extra_attributes",
    "routerl3agentbindings",
    "routers",
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

    def port(self, name, owner, address, subnet):
        self.insert(
            "ports",
            id=uuid(name),
            network_id=uuid("net"),
            device_id=R1,
            device_owner=owner,
            mac_address=f"02:00:00:00:{len(name):02x}:{sum(name.encode()) % 256:02x}",
        )
        self.insert(
            "ipallocations",
            port_id=uuid(name),
            ip_address=address,
            subnet_id=uuid(subnet),
            network_id=uuid("net"),
        )

    def router(self, *, distributed=False, ha=False):
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

    def bind(self, host, state=None):
        self.insert("routerl3agentbindings", router_id=R1, l3_agent_id=uuid(f"{host}L"))
        if state is not None:
            self.insert(
                "ha_router_agent_port_bindings",
                router_id=R1,
                l3_agent_id=uuid(f"{host}L"),
                port_id=uuid(f"p{host}"),
                state=state,
            )


@pytest.fixture
def neutron(engine, cloud):
    metadata = head.get_metadata()
    tables = [metadata.tables[name] for name in TABLES]
    metadata.create_all(engine, tables=tables)
    neutron = Neutron(engine)
    for host in "abc":
        neutron.agent(host)
        neutron.agent(host, "Swanherd VPN agent")
    yield neutron
    metadata.drop_all(engine, tables=tables)


@pytest.fixture
def scheduler(cloud):
    directory._PLUGIN_DIRECTORY._plugins.pop(plugin_const.L3, None)
    scheduler = Scheduler()
    directory.add_plugin(plugin_const.L3, scheduler)
    return scheduler


@pytest.fixture
def served(cloud, neutron, scheduler):
    """The backend in place of the scripted one, and what answers agents."""
    backend = L3Backend(cloud.store, cloud.looker.look)
    cloud.looker.backend = backend
    return AgentHandler(cloud.store, backend, cloud.intake)


def admin():
    return n_context.get_admin_context()


def test_a_legacy_router_is_served_by_the_host_that_it_is_bound_to(cloud, neutron, served):
    """By its own external address; other hosts learn no more than that it isn't theirs."""
    neutron.router()
    neutron.bind("a")
    service = cloud.create("vpnservice")
    assert service["external_v4_ip"] == "10.2.0.99"
    assert cloud.row().host == "a"
    desired = served.get_router("a", R1)
    assert desired.home.namespace is HomeNamespace.ROUTER
    assert desired.home.connected == (ipaddress.ip_network("10.1.0.0/24"),)
    assert str(desired.public.addresses[0]) == "10.2.0.99/24"
    assert (desired.transit, desired.public.port_id) == (None, uuid("gw"))
    assert_elsewhere(served.get_router("b", R1))


def assert_elsewhere(desired):
    """What a host is told of a router with a VPN that it doesn't have: that, and no secret."""
    assert desired.home == Home(namespace=None)
    assert (desired.services, desired.connections, desired.public) == ((), (), None)
    assert not desired.naming_key.value


def test_every_host_of_a_redundant_router_stands_ready(cloud, neutron, served):
    """The one that Neutron calls active serves first."""
    neutron.router(ha=True)
    neutron.bind("a", "standby")
    neutron.bind("b", "active")
    cloud.connection()
    assert cloud.row().host == "b"
    homes = [served.get_router(host, R1).home for host in "ab"]
    assert all(home.redundant and home.namespace is HomeNamespace.ROUTER for home in homes)
    assert {host for host, _ in cloud.hints} >= {"a", "b"}


def test_who_has_the_address_says_so_and_is_believed_before_neutron(cloud, neutron, served):
    """A report of an active host moves a redundant router; a look doesn't move it back."""
    neutron.router(ha=True)
    neutron.bind("a", "standby")
    neutron.bind("b", "active")
    cloud.connection()
    before = cloud.row()
    report = RouterReport(R1, before.revision, before.epoch, (), (), role=Role.ACTIVE)
    served.report_status("a", [report])
    assert (cloud.row().host, cloud.row().epoch) == ("a", before.epoch + 1)
    cloud.looker.look(R1)
    assert cloud.row().host == "a"
    served.report_status("c", [report])
    assert cloud.row().host == "a"


def test_no_agent_claims_a_router_that_isnt_redundant(cloud, neutron, served):
    """Unless Neutron has moved it there."""
    neutron.router()
    neutron.bind("a")
    cloud.connection()
    report = RouterReport(R1, 1, 1, (), (), role=Role.ACTIVE)
    served.report_status("b", [report])
    assert cloud.row().host == "a"


def test_a_distributed_routers_compute_nodes_steer(cloud, neutron, served, scheduler):
    """The node of the gateway has the central part; each node of a workload gets the detours."""
    neutron.router(distributed=True)
    neutron.bind("a")
    scheduler.notified = ["a", "c"]
    cloud.connection()
    central, compute = (served.get_router(host, R1).home for host in "ac")
    assert (central.namespace, compute.namespace) == (HomeNamespace.CENTRAL, None)
    (detour,) = compute.detours
    assert (detour.port_id, str(detour.gateway)) == (uuid("in"), "10.1.0.9")
    assert ("c", R1) in cloud.hints
    assert_elsewhere(served.get_router("b", R1))


def test_what_keeps_a_router_from_being_served_is_named(cloud, neutron, served, engine):
    """No L3 agent has it; the one that has it doesn't load the extension."""
    neutron.router()
    connection = cloud.connection()
    shown = cloud.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("ERROR", "router_not_scheduled")
    neutron.agent("d")
    neutron.bind("d")
    cloud.looker.look(R1)
    shown = cloud.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("ERROR", "no_agent")


def test_revisions_are_told_of_the_routers_that_neutron_gave_the_host(cloud, neutron, served):
    """By Neutron's own list, which knows of distributed parts too."""
    neutron.router()
    neutron.bind("a")
    cloud.connection()
    assert served.get_revisions("a") == {R1: cloud.row().revision}


def test_a_router_without_vpnservices_is_forgotten(cloud, neutron, served):
    """Its hosts are told, and have nothing to do with it any more."""
    neutron.router()
    neutron.bind("a")
    service = cloud.create("vpnservice")
    cloud.hints.clear()
    cloud.delete("vpnservice", service["id"])
    assert cloud.row() is None
    assert ("a", R1) in cloud.hints
    assert served.get_router("a", R1) is None


def claim(held=None, role=Role.ACTIVE):
    return RouterReport(R1, 1, 1, (), (), role=role, held=held)


@pytest.fixture
def split(cloud, neutron, served):
    """A redundant router on two hosts, of which a has it."""
    neutron.router(ha=True)
    neutron.bind("a", "active")
    neutron.bind("b", "standby")
    cloud.connection()
    return served


def test_while_two_have_the_address_the_router_is_where_it_came_last(cloud, split):
    """However often each says that it serves: else each word would move it."""
    for seconds in range(0, 90, 3):
        split.report_status("a", [claim(100.0 + seconds)])
        cloud.clock.advance(1)
        split.report_status("b", [claim(10.0 + seconds)])
        cloud.clock.advance(2)
        assert cloud.row().host == "b"
    assert cloud.row().epoch == 2


def test_who_had_it_all_along_gets_the_router_when_the_other_gives_it_up(cloud, split):
    """The agents are told that something changed, so that it says again that it serves."""
    split.report_status("b", [claim(10.0)])
    split.report_status("a", [claim(100.0)])
    revision = cloud.row().revision
    cloud.hints.clear()
    split.report_status("a", [claim(role=Role.STANDBY)])
    assert (cloud.row().host, cloud.row().revision, cloud.hints) == ("b", revision, [])
    split.report_status("b", [claim(role=Role.STANDBY)])
    assert cloud.row().revision > revision
    assert {host for host, _ in cloud.hints} >= {"a", "b"}
    split.report_status("b", [claim(role=Role.STANDBY)])
    split.report_status("a", [claim(101.0)])
    assert cloud.row().host == "a"


def test_what_a_host_said_whose_agent_is_gone_holds_for_nothing(cloud, split, neutron):
    """Its claim was the later one, but it died: the other serves."""
    split.report_status("b", [claim(10.0)])
    neutron.silence("b")
    split.report_status("a", [claim(100.0)])
    assert cloud.row().host == "a"


def test_a_report_that_was_late_on_the_bus_is_put_right_by_the_next(cloud, split):
    """It looks as if the host had got the address later than it did."""
    split.report_status("b", [claim(10.0)])
    cloud.clock.advance(60)
    split.report_status("a", [claim(5.0)])
    assert cloud.row().host == "a"
    split.report_status("a", [claim(165.0)])
    split.report_status("b", [claim(70.0)])
    assert cloud.row().host == "b"


def test_an_agent_that_does_not_say_since_when_is_believed(cloud, split):
    """It is of an older release."""
    split.report_status("b", [claim(10.0)])
    for host in "aba":
        split.report_status(host, [claim()])
        assert cloud.row().host == host


def serving(cloud, held, status=Status.ACTIVE):
    """What an agent reports that has every connection so."""
    ids = [c["id"] for c in cloud.api.get_ipsec_site_connections(cloud.fresh())]
    row = cloud.row()
    rows = tuple(RowStatus(i, status) for i in ids)
    return RouterReport(R1, row.revision, row.epoch, (), rows, held=held)


def test_who_got_the_address_first_is_told_that_the_other_serves(cloud, split):
    """For how long; by the role that it has then, too, and the other is told of nobody."""
    assert split.report_status("b", [claim(10.0)]) == {}
    assert split.report_status("b", [serving(cloud, 10.0)]) == {}
    cloud.clock.advance(5)
    assert split.report_status("a", [claim(100.0)]) == {R1: 15.0}
    assert split.report_status("a", [claim(100.0, Role.STANDBY)]) == {R1: 15.0}
    assert split.report_status("b", [serving(cloud, 15.0)]) == {}
    assert split.report_status("a", [claim(role=Role.STANDBY)]) == {}


@pytest.mark.parametrize("status", [Status.DOWN, Status.PENDING_UPDATE, Status.ERROR])
def test_nobody_is_silent_for_one_that_has_no_tunnel(cloud, split, status):
    """It may be the one that is cut off: then the other is all that there is."""
    split.report_status("b", [claim(10.0)])
    split.report_status("b", [serving(cloud, 10.0, status)])
    assert split.report_status("a", [claim(100.0)]) == {}


def test_what_was_up_before_the_router_moved_proves_nothing(cloud, split):
    """The status is of the one that had it."""
    split.report_status("a", [serving(cloud, 90.0)])
    split.report_status("b", [claim(10.0)])
    assert split.report_status("a", [claim(100.0)]) == {}


def test_who_is_silent_serves_again_when_the_other_is_gone(cloud, split, neutron):
    """It says all the time that it has the address, so the router is its own then."""
    split.report_status("b", [claim(10.0)])
    split.report_status("b", [serving(cloud, 10.0)])
    assert split.report_status("a", [claim(100.0, Role.STANDBY)]) == {R1: 10.0}
    neutron.silence("b")
    assert split.report_status("a", [claim(120.0, Role.STANDBY)]) == {}
    assert cloud.row().host == "a"


def test_who_is_silent_serves_again_when_the_other_stands_by(cloud, split):
    """Or has no tunnel any more."""
    split.report_status("b", [claim(10.0)])
    split.report_status("b", [serving(cloud, 10.0)])
    assert split.report_status("a", [claim(100.0, Role.STANDBY)]) == {R1: 10.0}
    split.report_status("b", [serving(cloud, 20.0, Status.DOWN)])
    assert split.report_status("a", [claim(120.0, Role.STANDBY)]) == {}
    split.report_status("b", [serving(cloud, 20.0)])
    split.report_status("b", [claim(role=Role.STANDBY)])
    assert split.report_status("a", [claim(120.0, Role.STANDBY)]) == {}
    assert cloud.row().host == "a"


def test_one_router_whose_look_breaks_keeps_none_from_the_sweep(cloud, neutron, served):
    """Nor the sweep from finding the agents that are gone, nor the next pass from coming."""
    neutron.router()
    neutron.bind("a")
    connection = cloud.connection()
    served.report_status("a", [serving(cloud, None)])
    cloud.create("vpnservice", router_id=uuid("r2"))
    neutron.silence("a")
    looked = []

    def look(router_id):
        looked.append(router_id)
        raise sa_exc.TimeoutError("QueuePool limit reached")

    Sweep(cloud.store, cloud.intake, look).run_safely()
    assert set(looked) == {R1, uuid("r2")}
    shown = cloud.show("ipsec_site_connection", connection["id"])
    assert (shown["status"], shown["status_code"]) == ("DOWN", "agent_lost")


def test_a_sweep_that_breaks_ends_no_worker(cloud, neutron, engine):
    """Neutron's periodic worker would never call it again."""
    tables = head.get_metadata().tables
    tables["agents"].drop(engine)
    try:
        Sweep(cloud.store, cloud.intake, cloud.looker.sweep).run_safely()
    finally:
        tables["agents"].create(engine)
