"""The extension's part in an L3 agent's process, with a server on a bus in memory."""

from __future__ import annotations

import dataclasses
import threading
import time

import oslo_messaging
import pytest
from oslo_config import cfg

from swanherd.agent.l3 import L3Agent
from swanherd.config import agent as options
from swanherd.core.home import key_of
from swanherd.core.model import Home, HomeNamespace, Initiator, Role, Status
from swanherd.dataplane import namespace
from swanherd.dataplane.privileged import removals
from swanherd.rpc import server as rpc_server
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, Stand, desired, legacy, run, vrrp_daemon


class Server:
    """Answers one agent, and notes what it says."""

    def __init__(self) -> None:
        self.desired = desired(WEST, EAST, make.home())
        self.reports: list = []
        self.said = threading.Event()
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def get_router(self, host, router_id):
        self.asked.set()
        assert self.answers.wait(20)
        return self.desired if router_id == WEST.router_id else None

    def get_revisions(self, host):
        return {} if self.desired is None else {WEST.router_id: self.desired.revision}

    def report_status(self, host, reports):
        self.reports += reports
        self.said.set()
        return {}


@pytest.fixture
def start(stand: Stand):
    """What starts an agent that has that server."""
    conf = cfg.CONF
    options.register_beside_neutron(conf)
    conf.register_opts(options.DEFAULT_OPTS)
    conf([], project="swanherd", default_config_files=[])
    oslo_messaging.get_rpc_transport(conf, url="fake:/")  # registers what is overridden
    conf.set_override("transport_url", "fake:/")
    conf.set_override("state_path", str(stand.state), group="swanherd")
    conf.set_override("data_plane", "userspace", group="swanherd")
    started = []

    def begin(server: Server) -> L3Agent:
        listening = rpc_server.start(server, conf, "server")
        agent = L3Agent(conf, lambda _: ())
        started.append((agent, listening))
        agent.server = server
        agent.start()
        return agent

    yield begin
    for agent, listening in started:
        agent.stop()
        listening.stop()
        listening.wait()
    namespace.wait_for_removals((), 0.0)  # lets go of what was watched
    conf.clear_override("transport_url")
    conf.clear_override("state_path", group="swanherd")
    conf.clear_override("data_plane", group="swanherd")


@pytest.fixture
def agent(start):
    legacy(WEST)
    return start(Server())


def until(met, limit=20):
    deadline = time.monotonic() + limit
    while not met():
        assert time.monotonic() < deadline


KEY = key_of(WEST.router_id, HomeNamespace.ROUTER)


def test_a_router_comes_is_told_of_by_its_own_id_and_goes(agent):
    """What Neutron deletes has no charon when the callback returns; it is closed until it goes.

    The router still forwards for a while then.
    """
    agent.look(WEST.router_id)
    until(lambda: agent.swan.observe(KEY).configs)
    assert agent.server.said.wait(20)
    assert {report.router_id for report in agent.server.reports} == {WEST.router_id}
    agent.leave(WEST.router_id, tuple(HomeNamespace))
    assert agent.swan.routers() == frozenset()
    assert is_guarded()
    assert not run("ip", "netns", "pids", KEY)


def test_what_neutron_takes_apart_is_left_alone(agent):
    """No charon begins anew in a namespace that is about to go; but in one that comes again."""
    agent.look(WEST.router_id)
    until(lambda: agent.swan.observe(KEY).configs)
    until(lambda: KEY in removals._watched)
    agent.leave(WEST.router_id, tuple(HomeNamespace))
    for what in (("route", "flush", "table", "all"), ("link", "set", WEST.qg, "down")):
        run("ip", "-n", KEY, *what)
        agent.look_again(WEST.router_id)
    # Whoever asks: the periodic look for drift, the server, the comparison with it.
    agent.wheel.look_at_known()
    agent._on_hint(WEST.router_id)
    agent._compare()
    # Nothing tells that nothing comes: so long as it would take several times.
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert agent.swan.routers() == frozenset()
    agent.look(WEST.router_id)
    until(lambda: agent.swan.observe(KEY).configs)


def test_what_is_taken_from_a_router_comes_back(agent):
    """At once: nobody has the agent look."""
    agent.look(WEST.router_id)
    until(lambda: agent.swan.observe(KEY).configs)
    until(lambda: KEY in removals._watched and not len(agent.wheel))
    run("ip", "netns", "exec", KEY, "nft", "delete", "table", "inet", "swanherd")
    until(is_guarded, 3)


def test_a_router_that_is_elsewhere_now_stays_closed_until_its_namespace_goes(agent, caplog):
    """Its charon ends, whoever is told first; what still comes to its old node stays there."""
    agent.look(WEST.router_id)
    until(lambda: agent.swan.observe(KEY).configs)
    agent.server.desired = dataclasses.replace(
        agent.server.desired, services=(), connections=(), home=Home(namespace=None)
    )
    agent.look(WEST.router_id)
    until(lambda: not agent.swan.routers())
    assert turned(agent, caplog) == []
    assert is_guarded()
    run("ip", "netns", "delete", KEY)
    assert turned(agent, caplog) != []
    assert turned(agent, caplog) == []


def turned(agent, caplog):
    """Let the agent look, and return what it did."""
    caplog.clear()
    with caplog.at_level("INFO", "swanherd.reconcile.loop"):
        agent.look_again(WEST.router_id)
        until(lambda: not len(agent.wheel))
    return caplog.messages


def is_guarded():
    return "swanherd" in run("ip", "netns", "exec", KEY, "nft", "list", "tables")


def test_a_redundant_router_is_taken_over_while_the_server_is_silent(agent, tmp_path):
    """No turn waits for it, not even one of just before; what it says in the end counts."""
    run("ip", "-n", KEY, "address", "flush", "dev", WEST.qg)
    server = agent.server
    server.desired = desired(WEST, EAST, make.home(redundant=True))
    with vrrp_daemon(KEY, tmp_path):
        agent.look(WEST.router_id)
        until(lambda: role(agent) is Role.STANDBY)
        server.desired = dataclasses.replace(server.desired, revision=2)
        server.asked.clear()
        server.answers.clear()
        agent.look(WEST.router_id)
        assert server.asked.wait(20)
        run("ip", "-n", KEY, "address", "add", f"{WEST.public[0]}/24", "dev", WEST.qg)
        until(lambda: role(agent) is Role.ACTIVE, 2.5)  # the agent's patience is 3 s
        server.answers.set()
        until(lambda: agent.wheel.reports()[0].revision == 2)


def test_a_tunnel_begins_when_the_routers_address_comes(stand, start, caplog):
    """Neutron takes its time for that: charon, which would ask ever later, hasn't begun before."""
    legacy(WEST)
    east = stand.site(EAST, legacy)
    east.source.desired = desired(EAST, WEST, make.home(), initiator=Initiator.RESPONSE_ONLY)
    east.settle()
    run("ip", "-n", KEY, "address", "flush", "dev", WEST.qg)
    with caplog.at_level("INFO", "swanherd.reconcile.wheel"):
        agent = start(Server())
        agent.look(WEST.router_id)
        # By now the next try of its own is seconds away.
        until(lambda: "again in 4." in caplog.text)
    (report,) = agent.wheel.reports()
    assert [row.reason.code for row in report.connections] == ["router_address_missing"]
    assert is_guarded()
    assert not agent.swan.observe(KEY).ike_sas
    run("ip", "-n", KEY, "address", "add", f"{WEST.public[0]}/24", "dev", WEST.qg)
    run("ip", "-n", KEY, "route", "replace", "default", "via", "203.0.113.1")
    until(lambda: agent.wheel.reports()[0].connections[0].status is Status.ACTIVE, 2)


def test_a_namespace_has_its_name_again_before_neutron_comes_to_its_router(stand, start):
    """An agent that begins asks nobody for that, and returns to Neutron's when it is done."""
    west = stand.site(WEST, legacy)
    (stand.state / "routers").symlink_to(stand.state / WEST.name)
    west.source.desired = desired(WEST, EAST, make.home())
    west.turn()
    west.swan.close()
    inode = namespace.namespace_inode(KEY)
    run("ip", "netns", "del", KEY)
    server = Server()
    server.answers.clear()
    start(server)
    assert namespace.namespace_inode(KEY) == inode
    server.answers.set()


def role(agent):
    return next((report.role for report in agent.wheel.reports()), None)


def test_a_router_that_is_no_longer_here_is_planned_away(agent):
    """The server says so; whoever is told first."""
    agent.look(WEST.router_id)
    until(lambda: agent.swan.observe(KEY).configs)
    agent.server.desired = None
    agent.look(WEST.router_id)
    until(lambda: not agent.swan.routers())
    until(lambda: not is_guarded())
