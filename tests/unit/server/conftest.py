"""A cloud without VPNs for each test."""

import pytest
import sqlalchemy as sa
from neutron_lib.db import api as db_api
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from neutron_lib.policy import _engine as policy
from oslo_config import cfg
from oslo_db import options as db_options
from sqlalchemy.pool import StaticPool

from swanherd.server.handler import AgentHandler
from swanherd.server.l3_backend import L3Backend
from tests.unit.server.cloud import (
    PENDING_CREATE_TIMEOUT,
    ROUTERS,
    SUBNETS,
    Api,
    Clock,
    Cloud,
    FakeCore,
    FakeL3,
    Intake,
    Looker,
    Repository,
    ScriptedBackend,
    uuid,
)
from tests.unit.server.l3 import TABLES, Neutron, Scheduler

from swanherd.server.db import head  # isort: skip - after neutron, whose import warns


@pytest.fixture(scope="session")
def engine():
    """The tables on SQLite in memory, with the subnets."""
    cfg.CONF(args=[], default_config_files=[])
    db_options.set_defaults(cfg.CONF, connection="sqlite://")
    policy.init()
    policy._ROLE_ENFORCER.use_conf = False  # else it looks for files at each check of each context
    metadata = head.get_metadata()
    engine = sa.create_engine("sqlite://", poolclass=StaticPool)
    tables = [metadata.tables[name] for name in (*head.OUR_TABLES, *TABLES, "subnets")]
    metadata.create_all(engine, tables=tables)
    subnets = metadata.tables["subnets"]
    with engine.begin() as connection:
        for number, (name, cidr) in enumerate(SUBNETS.items()):
            connection.execute(
                subnets.insert().values(
                    id=uuid(name),
                    cidr=cidr,
                    ip_version=4,
                    standard_attr_id=number,
                    network_id=uuid("net"),
                )
            )
    yield engine
    engine.dispose()


@pytest.fixture
def cloud(engine):
    """A cloud without VPNs."""
    restore_engine = db_api.get_context_manager().patch_engine(engine)
    before = directory._PLUGIN_DIRECTORY
    directory._PLUGIN_DIRECTORY = directory._PluginDirectory()
    core, l3 = FakeCore(), FakeL3()
    directory.add_plugin(plugin_const.CORE, core)
    directory.add_plugin(plugin_const.L3, l3)
    clock, hints = Clock(), []
    store = Repository(now=clock)
    looker = Looker(store, lambda host, router_id: hints.append((host, router_id)))
    looker.backend = backend = ScriptedBackend(store)
    intake = Intake(store, PENDING_CREATE_TIMEOUT)
    neutron = Neutron(engine)
    for name, has_gateway in ROUTERS.items():
        neutron.plain_router(name, gateway=has_gateway)
    yield Cloud(Api(store, looker), store, intake, backend, looker, clock, neutron, hints)
    directory._PLUGIN_DIRECTORY = before
    with engine.begin() as connection:
        for name in (*head.OUR_TABLES, *TABLES):
            connection.execute(sa.text(f"DELETE FROM {name}"))
    restore_engine()


@pytest.fixture
def selects(engine):
    """The queries that the test's code makes."""
    queries = []

    def note(*arguments):
        if arguments[2].startswith("SELECT"):
            queries.append(arguments[2])

    sa.event.listen(engine, "before_cursor_execute", note)
    yield queries
    sa.event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def neutron(cloud):
    """Hosts of L3 agents, and of ours beside them."""
    for host in "abc":
        cloud.neutron.agent(host)
        cloud.neutron.agent(host, "Swanherd VPN agent")
    return cloud.neutron


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


@pytest.fixture
def split(cloud, neutron, served):
    """A redundant router on two hosts, of which a has it."""
    neutron.router(ha=True)
    neutron.bind("a", "active")
    neutron.bind("b", "standby")
    cloud.connection()
    return served
